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
    """One of k public categories."""

    kind: ClassVar[str] = "categorical"

    name: str
    categories: tuple[Code, ...]
    names: tuple[str, ...] = ()
    title: str = ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The categories."""
        return self.categories

    @cached_property
    def _positions(self) -> dict[float | str, int]:
        return {token(code): place for place, code in enumerate(self.categories)}

    def read(self, cell: object) -> float:
        """Return the cell's position in `categories`; DataError if it is none of them."""
        return position(self._positions, cell, "categories", self.categories)

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        faults = code_faults(self.categories, "categories", 2)
        return faults + name_faults(self.names, self.categories, "categories")
