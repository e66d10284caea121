"""Columns of levels."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from dpfedsyn.columns.cells import Code, code_faults, listing, name_faults, position, token
from dpfedsyn.columns.ordered import Ordered


@dataclass(frozen=True)
class Ordinal(Ordered):
    """One of k public levels, from the lowest to the highest.

    Args:
        levels: all of them, in their order.
        missing_codes: values that mean "not known"; the row is kept.
    """

    kind: ClassVar[str] = "ordinal"

    name: str
    levels: tuple[Code, ...]
    names: tuple[str, ...] = ()
    missing_codes: tuple[Code, ...] = ()
    title: str = ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The levels."""
        return self.levels

    @property
    def limits(self) -> tuple[float, float]:
        """First and last position."""
        return 0.0, len(self.levels) - 1.0

    @property
    def reach(self) -> tuple[float, float]:
        """Every level has an equal share of the coordinate, and lies in its middle."""
        return -0.5, len(self.levels) - 0.5

    @property
    def missing(self) -> tuple[float, ...]:
        """A negative number for each missing code."""
        return tuple(-1.0 - place for place in range(len(self.missing_codes)))

    @cached_property
    def _positions(self) -> dict[float | str, int]:
        places = {token(code): -1 - place for place, code in enumerate(self.missing_codes)}
        return places | {token(code): place for place, code in enumerate(self.levels)}

    def value(self, cell: object) -> float:
        """Return the position of a cell in `levels`, or a missing code's place; else DataError."""
        return position(self._positions, cell, "levels", self.levels)

    def shown(self, value: float) -> str:
        """Return a level as the schema writes it."""
        return str(self.levels[int(value)])

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        faults = code_faults(self.levels, "levels", 1)
        if len(self.levels) < 3:
            faults.append(
                f"`levels` lists {listing(self.levels)}; an order needs at least three, so use "
                'kind = "binary" with `values` for two'
            )
        faults += code_faults(self.missing_codes, "missing_codes", 0, blank=True)
        levels = {token(level) for level in self.levels}
        for code in self.missing_codes:
            if token(code) in levels:
                faults.append(f"{code!r} is a level and a missing code; keep one of the two")
        return faults + name_faults(self.names, self.levels, "levels")
