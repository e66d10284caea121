"""Columns of public codes without an order: two values, and categories."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from dpfedsyn.columns.cells import Code, code_faults, name_faults, position, token


@dataclass(frozen=True)
class Binary:
    """Two public values; the first is encoded as -1, the second as +1."""

    kind: ClassVar[str] = "binary"

    name: str
    values: tuple[Code, ...] = (0, 1)
    names: tuple[str, ...] = ()
    title: str = ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The two values."""
        return self.values

    @cached_property
    def _positions(self) -> dict[float | str, int]:
        return {token(code): place for place, code in enumerate(self.values)}

    def read(self, cell: object) -> float:
        """Return 0 or 1, the cell's position in `values`; DataError if it is neither."""
        return position(self._positions, cell, "values", self.values)

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        faults = code_faults(self.values, "values", 2)
        if len(self.values) > 2:
            faults.append(
                f'`values` lists {len(self.values)} values; use kind = "categorical" with '
                "`categories` for more than two"
            )
        return faults + name_faults(self.names, self.values, "values")


@dataclass(frozen=True)
class Categorical:
    """One of k public categories.

    Args:
        missing_codes: what stands for "not known"; one category more, and the row is kept, also
            where the code is one of the file's missing markers.
    """

    kind: ClassVar[str] = "categorical"

    name: str
    categories: tuple[Code, ...]
    names: tuple[str, ...] = ()
    missing_codes: tuple[Code, ...] = ()
    title: str = ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The categories."""
        return self.categories

    @property
    def options(self) -> tuple[Code, ...]:
        """What synthetic tables hold: the categories, and the first missing code."""
        return (*self.categories, *self.missing_codes[:1])

    @cached_property
    def _positions(self) -> dict[float | str, int]:
        missing = dict.fromkeys(map(token, self.missing_codes), len(self.categories))
        return missing | {token(code): place for place, code in enumerate(self.categories)}

    def read(self, cell: object) -> float:
        """Return the cell's position in `options`; DataError if it is none of them."""
        return position(self._positions, cell, "categories", self.categories)

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        faults = code_faults(self.categories, "categories", 2)
        faults += code_faults(self.missing_codes, "missing_codes", 0, blank=True)
        categories = {token(category) for category in self.categories}
        for code in self.missing_codes:
            if token(code) in categories:
                faults.append(f"{code!r} is a category and a missing code; keep one of the two")
        return faults + name_faults(self.names, self.categories, "categories")
