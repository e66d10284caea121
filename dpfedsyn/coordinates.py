"""Coordinates of one column: its values as numbers of about unit size, and back.

number, date  [-2, 2], linear (or by the declared scale) between the public bounds; with
              `at_least` the difference to the other column, between 0 and the public most
              a sum of other columns has no coordinate
ordinal       -2 + 4 (position + 1/2) / k, the middle of the level's share of [-2, 2]
both          with missing codes: a second coordinate, +1 where the value is missing (then the
              first is 0, the public centre), else -1
binary        -1 or +1
categorical   2 (one-hot - 1/k), k coordinates
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import constraints
from dpfedsyn.columns import Binary, Categorical, Code, Column, Date, Ordered, Ordinal
from dpfedsyn.columns.ordered import forward, inverse

Array = NDArray[np.float64]
CELLS = 128
"""The most cells of a number's histogram."""


@dataclass(frozen=True, eq=False)
class Number:
    """Where a number, a date or a level lies in a vector, and on which values it is counted.

    Attributes:
        coordinate: its place. indicator: the place of its missing indicator, or None.
        values: rising encoded values, one for each cell of a histogram.
    """

    coordinate: int
    indicator: int | None
    values: Array


def names(column: Column) -> list[str]:
    """Return names of a column's coordinates."""
    if isinstance(column, Categorical):
        return [f"{column.name} = {category}" for category in column.options]
    if isinstance(column, Binary):
        return [column.name]
    if column.sum_of:
        return []
    name = column.name if column.at_least is None else f"{column.name} - {column.at_least}"
    return [name, f"{column.name} is missing"] if column.missing_codes else [name]


def pairs(column: Column) -> list[tuple[float, float]]:
    """Return the (low, high) that each coordinate can take; NaN where it takes more."""
    if isinstance(column, Binary):
        return [(-1.0, 1.0)]
    if isinstance(column, Categorical):
        k = len(column.options)
        return [(-2.0 / k, 2.0 - 2.0 / k)] * k
    return [(math.nan, math.nan), (-1.0, 1.0)][: len(names(column))]


def largest_square(column: Column) -> float:
    """Return the largest squared L2 norm of a column's coordinates, as float32 holds them."""
    if isinstance(column, Binary):
        return 1.0
    if isinstance(column, Categorical):
        k = len(column.options)
        on, off = float(np.float32(2 - 2 / k)), float(np.float32(-2 / k))
        return on**2 + (k - 1) * off**2
    if column.sum_of:
        return 0.0
    end = 2.0
    if isinstance(column, Ordinal):
        end = float(np.float32(_spread(column, column.reach, np.array(column.limits[1]))))
    return end**2 + (1.0 if column.missing_codes else 0.0)


def encode(column: Column, values: Mapping[str, Array], columns: Mapping[str, Column]) -> Array:
    """Return a column's coordinates (n, its names).

    Args:
        values: (n,) of this column and of those that it depends on, as `constraints.settled`.
    """
    own = values[column.name]
    if isinstance(column, Binary):
        return 2.0 * own[:, None] - 1.0
    if isinstance(column, Categorical):
        k = len(column.options)
        return np.where(own[:, None] == np.arange(k), 2.0 - 2.0 / k, -2.0 / k)
    if column.sum_of:
        return np.empty((len(own), 0))
    place = _spread(column, _reach(column, columns), own - _base(column, values))
    if not column.missing_codes:
        return place[:, None]
    missing = np.isin(own, column.missing)
    return np.stack([np.where(missing, 0.0, place), np.where(missing, 1.0, -1.0)], axis=1)


def decode(
    column: Column, block: Array, values: Mapping[str, Array], columns: Mapping[str, Column]
) -> Array:
    """Return the allowed values (n,) nearest to coordinates (n, its names), as columns read them.

    Args:
        values: (n,) decoded values of the columns that it depends on.
    """
    if isinstance(column, Binary):
        return np.where(block[:, 0] > 0.0, 1.0, 0.0)
    if isinstance(column, Categorical):
        return np.asarray(np.argmax(block, axis=1), dtype=np.float64)
    if column.sum_of:
        return _rounded(column, constraints.total(column.sum_of, values))
    # The bounds reach up to those of the column below and down to `within` above it, so that the
    # nearest of them breaks no order.
    found = _gathered(column, _reach(column, columns), block[:, 0])
    found = np.clip(_base(column, values) + _rounded(column, found), *column.limits)
    found = _rounded(column, found)
    if column.missing_codes:
        found = np.where(block[:, 1] > 0.0, column.missing[0], found)
    return found


def written(column: Column, values: Array) -> NDArray[Any]:
    """Return values (n,) as cells of a synthetic table; `read` takes each back."""
    match column:
        case Binary():
            return chosen(column.values, values.astype(np.int64))
        case Categorical():
            return chosen(column.options, values.astype(np.int64))
        case Ordinal():  # a missing code is read as -1
            codes = (*column.levels, *column.missing_codes[:1])
            return chosen(codes, values.astype(np.int64))
        case Date():
            days, places = np.unique(values, return_inverse=True)
            return np.array([_day(column, day) for day in days.tolist()], dtype=np.object_)[places]
    texts = np.isneginf(values)
    numbers = np.where(texts, 0.0, values)
    numbers = numbers.astype(np.int64) if column.decimals <= 0 else numbers
    if not texts.any():
        return numbers
    return np.where(texts, column.missing_codes[0], numbers.astype(np.object_))


def chosen(codes: Sequence[Code], positions: NDArray[np.int64]) -> NDArray[Any]:
    """Return the codes at these positions, numbers as numbers and anything else as objects."""
    plain = all(isinstance(code, int) for code in codes)
    real = all(isinstance(code, int | float) for code in codes)
    kind = np.int64 if plain else np.float64 if real else np.object_
    return np.array(codes, dtype=kind)[positions]


def cells(column: Ordered, columns: Mapping[str, Column]) -> Array:
    """Return encoded round values between the bounds: every 1, 2, 5, 10 ... steps of a decimal.

    Numbers are often rounded by those who write them down, and then lie on such values. On a
    scale, the bounds and round values that lie about equally far apart on it.
    """
    reach, step = _reach(column, columns), column.step
    low, high = (round(end / step) for end in reach)
    if isinstance(column, Ordinal):
        low, high = 0, len(column.levels) - 1
    strides = (k * 10**power for power in itertools.count() for k in (1, 2, 5))
    stride = next(s for s in strides if (high - low) // s < CELLS)
    places = stride * np.arange(-(-low // stride), high // stride + 1)
    if column.scale is not None:
        even = _gathered(column, reach, np.linspace(-2.0, 2.0, CELLS - 1)) / step
        places = _round(even[:-1], np.diff(even))
        places = np.array([low, *places[(places > low) & (places < high)], high])
    return _spread(column, reach, places * step)


def _round(places: Array, gaps: Array) -> Array:
    """Return rising multiples of the largest power of ten that is no more than each place's gap."""
    units = 10.0 ** np.floor(np.log10(np.maximum(gaps, 1.0)))
    found: Array = np.unique(np.round(places / units) * units)
    return found


def _reach(column: Ordered, columns: Mapping[str, Column]) -> tuple[float, float]:
    """Return what lies at -2 and at +2."""
    if column.at_least is None:
        return column.reach
    base = columns[column.at_least]
    assert isinstance(base, Ordered)
    return 0.0, constraints.width(column, base)


def _base(column: Ordered, values: Mapping[str, Array]) -> Array | float:
    """Return what a column is counted from."""
    return 0.0 if column.at_least is None else values[column.at_least]


def _spread(column: Ordered, reach: tuple[float, float], values: Array) -> Array:
    low, high = forward(column.scale, np.array(reach))
    place = 4.0 * (forward(column.scale, np.clip(values, *reach)) - low) / (high - low) - 2.0
    found: Array = np.clip(place, -2.0, 2.0)
    return found


def _gathered(column: Ordered, reach: tuple[float, float], places: Array) -> Array:
    """Undo `_spread`; places beyond [-2, 2] count as its ends."""
    low, high = forward(column.scale, np.array(reach))
    found = low + (np.clip(places, -2.0, 2.0) + 2.0) / 4.0 * (high - low)
    return inverse(column.scale, found)


def _rounded(column: Ordered, values: Array) -> Array:
    """Return values rounded to the column's decimals."""
    rounded: Array = np.round(values, column.decimals) + 0.0  # + 0.0: no minus zero
    return rounded


def _day(column: Date, value: float) -> str:
    return column.missing_codes[0] if value < 0.0 else column.shown(value)
