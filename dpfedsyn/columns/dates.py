"""Columns of dates."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property
from typing import ClassVar

from dpfedsyn.columns.cells import Code, code_faults
from dpfedsyn.columns.ordered import Ordered, Outside, Scale
from dpfedsyn.errors import DataError

ISO = "%Y-%m-%d"
"""Format of a date column that names none."""

_DIRECTIVE = re.compile(r"%(.)")
_KNOWN = frozenset("Ymdj%")
EARLIEST = 1000
"""Years before it are not written with four digits everywhere."""


@dataclass(frozen=True)
class Date(Ordered):
    """A day between two public days; the other fields are those of `Ordered`.

    Args:
        bounds: first and last day.
        format: how cells are written, of %Y, %m, %d and %j (day of the year).
        missing_codes: texts, such as a day outside the bounds that means "not known".
        within: days.
    """

    kind: ClassVar[str] = "date"

    name: str
    bounds: tuple[date, date]
    format: str = ISO
    missing_codes: tuple[str, ...] = ()
    outside: Outside = "error"
    title: str = ""
    scale: Scale | None = None
    at_least: str | None = None
    within: float | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """First and last day, as `read` counts."""
        first, last = self.bounds
        return float(first.toordinal()), float(last.toordinal())

    @property
    def missing(self) -> tuple[float, ...]:
        """A negative number for each missing code."""
        return tuple(-1.0 - place for place in range(len(self.missing_codes)))

    @cached_property
    def _places(self) -> dict[Code, float]:
        return dict(zip(self.missing_codes, self.missing, strict=True))

    def value(self, cell: object) -> float:
        """Return a cell's day, counted from 1 January of the year 1, or a missing code's place.

        Args:
            cell: a text in `format`, or a date.

        Raises:
            DataError: it is no such day.
        """
        text = str(cell).strip()
        # A missing day of pandas is a moment that equals nothing, itself included.
        if isinstance(cell, date) and cell == cell and getattr(cell, "time", time)() == time():
            text = cell.strftime(self.format)
        if text in self._places:
            return self._places[text]
        try:
            return float(datetime.strptime(text, self.format).toordinal())
        except ValueError:
            raise DataError(
                f"{str(cell)!r} is no day written as `{self.format}`; correct the cell (days have "
                "no time of day), declare another `format`, or list the text under `missing` in "
                "the schema if it marks a missing value (under `missing_codes` of the column "
                "to keep the row)"
            ) from None

    def shown(self, value: float) -> str:
        """Return a day in the column's own format."""
        return date.fromordinal(int(value)).strftime(self.format)

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        first, last = self.bounds
        if not first < last or first.year < EARLIEST:
            return [
                f"`bounds` = [{first}, {last}] is no interval of days from the year {EARLIEST} on; "
                "write [first, last]"
            ]
        faults = self._format_faults()
        if self.scale is not None and self.at_least is None:
            faults.append(
                f'scale = "{self.scale}" is for days that are counted from another column; add '
                "`at_least` or remove `scale`"
            )
        if faults:
            return faults
        for code in self.missing_codes:
            try:
                day = datetime.strptime(code, self.format).date()
            except ValueError:
                continue
            if first <= day <= last:
                faults.append(
                    f"missing code {code!r} lies inside `bounds` and would be taken for a day; "
                    "narrow `bounds` or drop the code"
                )
        return faults + code_faults(self.missing_codes, "missing_codes", 0, blank=True)

    def _format_faults(self) -> list[str]:
        used = _DIRECTIVE.findall(self.format)
        if set(used) <= _KNOWN and "Y" in used and ({"m", "d"} <= set(used) or "j" in used):
            return []
        return [
            f"`format` = {self.format!r}; write days with %Y, %m and %d, or with %Y and %j (years "
            "of two digits leave the century open, and names of months depend on the machine)"
        ]
