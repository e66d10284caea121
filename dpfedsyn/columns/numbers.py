"""Columns of numbers."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from dpfedsyn.columns.cells import LARGEST, Code, code_faults, number, token
from dpfedsyn.columns.ordered import MAX_STEPS, Ordered, Outside, Scale, too_fine
from dpfedsyn.errors import DataError
from dpfedsyn.misspelt import remark

MAX_DECIMALS = 6
"""Digits behind the point that synthetic numbers have at most."""

_TEXT = -math.inf  # no cell is read as such a number


@dataclass(frozen=True)
class Numeric(Ordered):
    """A number with public bounds; the other fields are those of `Ordered`.

    Args:
        bounds: lowest and highest value, in `unit`; multiples of 10^-decimals.
        missing_codes: numbers outside the bounds, or texts.
    """

    kind: ClassVar[str] = "numeric"

    name: str
    bounds: tuple[float, float]
    decimals: int = 0
    missing_codes: tuple[Code, ...] = ()
    outside: Outside = "error"
    title: str = ""
    unit: str = ""
    scale: Scale | None = None
    at_least: str | None = None
    within: float | None = None
    sum_of: tuple[str, ...] | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """The bounds."""
        return self.bounds

    @property
    def missing(self) -> tuple[float, ...]:
        """The missing codes, and minus infinity for texts."""
        return tuple(_TEXT if isinstance(c, str) else float(c) for c in self.missing_codes)

    @cached_property
    def _texts(self) -> frozenset[float | str]:
        return frozenset(token(code) for code in self.missing_codes if isinstance(code, str))

    def value(self, cell: object) -> float:
        """Return the number that a cell holds, in `unit`; DataError if it holds none."""
        value = number(cell)
        if value is None and token(cell) in self._texts:
            return _TEXT
        if value is None:
            raise DataError(
                f"{cell!r} is not a finite number{remark(cell)}; correct the cell, or list the "
                "text under `missing` in the schema if it marks a missing value (under "
                "`missing_codes` of the column to keep the row)"
            )
        return value

    def shown(self, value: float) -> str:
        """Return a number with as many digits as it takes."""
        return f"{value:.12g}"

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        low, high = self.bounds
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            return [f"`bounds` = [{low:g}, {high:g}] is no interval; write [lowest, highest]"]
        if not -MAX_DECIMALS <= self.decimals <= MAX_DECIMALS:
            return [f"`decimals` = {self.decimals}; give {-MAX_DECIMALS} to {MAX_DECIMALS}"]
        if not max(abs(low), abs(high)) * 10.0**self.decimals <= LARGEST:
            return [
                f"`bounds` reach beyond 2^53 steps of {self.step:g}; narrow `bounds` or lower "
                "`decimals`"
            ]
        if self.scale is not None and low < 0.0 and self.at_least is None:
            return [
                f'scale = "{self.scale}" is for numbers from 0 on, and `bounds` begin at {low:g}; '
                "raise the lower one or remove `scale`"
            ]
        faults = []
        if self.at_least is None and self.sum_of is None and too_fine(self, high - low):
            faults.append(
                f"`bounds` hold more steps of {self.step:g} than the encoding can tell apart "
                f"({MAX_STEPS:,}, half of it for sqrt); narrow `bounds`, lower `decimals`, or "
                'declare scale = "log"'
            )
        numbers = [code for code in self.missing_codes if not isinstance(code, str)]
        for value in (low, high, *numbers):
            if round(value, self.decimals) != value:
                faults.append(f"{value!r} needs more than {self.decimals} `decimals`; raise them")
        for code in self.missing_codes:
            if isinstance(code, str) and number(code) is not None:
                faults.append(f"missing code {code!r} is a number; write it without quotes")
        for code in numbers:
            if low <= code <= high:
                faults.append(
                    f"missing code {code:g} lies inside `bounds` [{low:g}, {high:g}] and would be "
                    "taken for a value; narrow `bounds` or drop the code"
                )
        return faults + code_faults(self.missing_codes, "missing_codes", 0, blank=True)


@dataclass(frozen=True)
class Integer(Numeric):
    """A whole number with public bounds: a count, or whole hundreds with decimals = -2."""

    kind: ClassVar[str] = "integer"

    def value(self, cell: object) -> float:
        """Return the whole number that a cell holds; DataError if it holds none."""
        value = super().value(cell)
        if not value.is_integer() and value != _TEXT:
            raise DataError(
                f'{cell!r} is no whole number; correct the cell, or declare kind = "numeric" with '
                "`decimals` in the schema"
            )
        return value

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        if self.decimals > 0:
            return [
                f"`decimals` = {self.decimals} for whole numbers; remove it, or declare "
                'kind = "numeric"'
            ]
        return super().faults()
