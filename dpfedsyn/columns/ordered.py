"""What numbers, dates and levels have in common: an order, public limits, ties to other columns."""

from abc import ABC, abstractmethod
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.columns.cells import Code
from dpfedsyn.errors import DataError

Outside: TypeAlias = Literal["clip", "error"]
"""What happens to a value beyond the bounds: it is moved to the nearest, or the file is refused."""

Scale: TypeAlias = Literal["log", "sqrt"]
"""What is encoded in place of a value that is mostly small."""

MAX_STEPS = 2**24
"""Steps of equal length between the bounds that a float32 coordinate in [-2, 2] still tells apart:
each is 4 / 2^24, and rounding moves a coordinate by at most 2^-24."""


class Ordered(ABC):
    """A column of values that have an order and public limits.

    Attributes:
        missing_codes: what stands for "not measured"; the row is kept, also where the code is one
            of the file's missing markers.
    """

    name: str
    missing_codes: tuple[Any, ...]

    @property
    def decimals(self) -> int:
        """Digits after the point that synthetic values get; -2 means whole hundreds."""
        return 0

    @property
    def outside(self) -> Outside:
        """What becomes of values beyond the bounds, or against `at_least`, `within`, `sum_of`.

        "clip" moves them to the nearest that are allowed; "error" refuses the file.
        """
        return "error"

    @property
    def scale(self) -> Scale | None:
        """How values, or with `at_least` differences, are spread over the coordinate.

        As log(1 + value), which keeps six digits of a large value, as its square root, or (None)
        evenly.
        """
        return None

    @property
    def at_least(self) -> str | None:
        """Name of a column whose value in the same row is never above this one's."""
        return None

    @property
    def within(self) -> float | None:
        """The most that this one's value is above it; None: as far as the bounds go."""
        return None

    @property
    def sum_of(self) -> tuple[str, ...] | None:
        """Names of columns whose values in the same row add up to this one's."""
        return None

    @property
    @abstractmethod
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value that `read` returns, missing codes apart."""

    @property
    @abstractmethod
    def missing(self) -> tuple[float, ...]:
        """What `read` returns for each missing code; outside `limits`."""

    @abstractmethod
    def value(self, cell: object) -> float:
        """Return what a cell holds, whatever the bounds; DataError if it is no value at all."""

    @abstractmethod
    def shown(self, value: float) -> str:
        """Return a value as messages write it."""

    @property
    def reach(self) -> tuple[float, float]:
        """What lies at the ends of the coordinate."""
        return self.limits

    @property
    def codes(self) -> tuple[Code, ...]:
        """Values that no missing marker may equal."""
        return ()

    @property
    def step(self) -> float:
        """Distance of neighbouring synthetic values."""
        return 10.0**-self.decimals

    def read(self, cell: object) -> float:
        """Return the cell's value within the bounds, or the missing code it holds.

        Raises:
            DataError: no value, or outside the bounds with outside = "error".
        """
        return self.bounded(self.value(cell))

    def bounded(self, value: float) -> float:
        """Return a value as `read` does."""
        low, high = self.limits
        if value in self.missing or low <= value <= high:
            return value
        if self.outside == "clip":
            return min(max(value, low), high)
        raise DataError(
            f"{self.shown(value)} lies outside the public bounds [{self.shown(low)}, "
            f"{self.shown(high)}]; correct the cell, widen `bounds` in the schema, or set "
            'outside = "clip"'
        )


def forward(scale: Scale | None, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values >= 0 (any values without a scale) as they are spread over a coordinate."""
    match scale:
        case "log":
            return np.log1p(values)
        case "sqrt":
            return np.sqrt(values)
    return values


def inverse(scale: Scale | None, spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Undo `forward`."""
    match scale:
        case "log":
            return np.expm1(spread)
        case "sqrt":
            return np.square(spread)
    return spread


def too_fine(column: Ordered, width: float) -> bool:
    """Return whether a float32 coordinate as wide as this confuses a column's neighbouring values.

    On a log scale sizes matter, not steps: large values keep six digits. Of square roots the
    uppermost two lie half as far apart as if they were spread evenly.
    """
    if column.scale == "log":
        return False
    most = MAX_STEPS if column.scale is None else MAX_STEPS // 2
    return width > most * column.step
