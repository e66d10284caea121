"""Which unit of privacy a row is part of: itself, or a person who may have several rows.

A person weighs as much as any other, however many rows they have: sums take the mean of a person's
rows, a step of DP-SGD the mean over draws that each pick one of them. So nobody adds more than a
single row could, and what is modelled is a random row of a random person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.cells import distinct

Positions = NDArray[np.int64]
Points = NDArray[np.int64]
Rows = NDArray[np.floating[Any]]
"""Records (n, d) as they are kept, float32; what is computed of them is float64, piece by piece."""


@dataclass(frozen=True, eq=False)
class Units:
    """The units of n rows, some of which have more than one.

    Args:
        of_row: (n,) each row's unit.
        sizes: how many rows every unit has, those that are not among the n included.
    """

    of_row: Positions
    sizes: Positions

    @classmethod
    def named(cls, names: Sequence[str]) -> Units | None:
        """Return the units whose rows carry one name; None where no name occurs twice."""
        of_row, different = distinct(names)
        if len(different) == len(names):
            return None
        return cls(of_row.astype(np.int64), np.bincount(of_row, minlength=len(different)))

    @property
    def count(self) -> int:
        """Number of units."""
        return len(self.sizes)

    @property
    def weights(self) -> NDArray[np.float64]:
        """What each row counts (n,): one over the number of its unit's rows."""
        return 1.0 / self.sizes[self.of_row]

    def part(self, rows: Positions) -> Units:
        """Return the units of some rows, each with all of its rows or with none."""
        return Units(self.of_row[rows], self.sizes)

    def pieces(self, rows: int) -> Iterator[Positions]:
        """Yield the positions of about so many rows at a time, whole units each."""
        ends, begin = np.cumsum(self.sizes), 0
        while begin < len(self._order):
            last = int(np.searchsorted(ends, begin + rows, side="right"))
            reached = int(ends[last - 1]) if last and ends[last - 1] > begin else 0
            end = reached or int(ends[min(last, self.count - 1)])
            yield self._order[begin:end]
            begin = end

    def picked(self, chosen: NDArray[np.bool_], words: NDArray[np.uint64]) -> Positions:
        """Return positions (B, M) of rows: for each of B chosen units, M that random words pick.

        Args:
            chosen: (count,).
            words: (B, M) of 64 bits, uniform.
        """
        sizes = self.sizes[chosen][:, None]
        return self._order[self._starts[chosen][:, None] + (words % sizes.astype(np.uint64)).astype(
            np.int64
        )]  # fmt: skip

    @property
    def first_rows(self) -> Positions:
        """The position of the first row of every unit (count,)."""
        return self._order[self._starts]

    @cached_property
    def _order(self) -> Positions:
        return np.argsort(self.of_row, kind="stable")

    @cached_property
    def _starts(self) -> Positions:
        return np.cumsum(self.sizes) - self.sizes


def pieces(count: int, rows: int, units: Units | None) -> Iterator[Positions]:
    """Yield the positions of `count` rows, about so many at a time, whole units each."""
    if units is not None:
        yield from units.pieces(rows)
        return
    for start in range(0, count, rows):
        yield np.arange(start, min(start + rows, count))


def added(points: Points, places: Positions, length: int, units: Units | None) -> Points:
    """Sum rows of whole numbers (n, w) at their places: (length, w), for a unit their mean.

    Args:
        places: (n,) in 0 .. length - 1.
        units: of the rows, each with all of them; None: every row is its own.

    Guarantee:
        One unit adds a vector (length, w) of whole numbers whose norm is at most that of its
        longest row, however many rows it has: a mean is no longer than the longest of its terms,
        and truncation toward zero makes no entry longer.
    """
    total = np.zeros((length, points.shape[1]), dtype=np.int64)
    if units is None:
        np.add.at(total, places, points)
        return total
    found, group = np.unique(units.of_row * length + places, return_inverse=True)
    sums = np.zeros((len(found), points.shape[1]), dtype=np.int64)
    np.add.at(sums, group, points)
    sizes = units.sizes[found // length][:, None]
    np.add.at(total, found % length, np.sign(sums) * (np.abs(sums) // sizes))
    return total


def weighed(values: NDArray[np.float64], units: Units | None) -> NDArray[np.float64]:
    """Return rows (n, w) times what each counts."""
    return values if units is None else values * units.weights[:, None]
