"""Kinds of column that a public schema declares, and how one cell of each is read.

A column knows public things only: bounds, categories, codes. `read` turns one cell into a
number and looks at no other cell, so nothing here depends on other records.

    Numeric      read -> the value, clipped to the bounds if the schema says so, or a code
    Binary       read -> 0 or 1, the position in `values`
    Categorical  read -> 0 .. k - 1, the position in `categories`
    Target       read -> 0 .. labels - 1, the position in `labels`
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias

from dpfedsyn.errors import DataError
from dpfedsyn.misspelt import remark

Code: TypeAlias = int | float | str

MAX_DECIMALS = 6
MAX_STEPS = 4_000_000
"""Steps between the bounds that a float32 coordinate in [-2, 2] still tells apart (2^-24 error)."""

MOST_SHOWN = 30
"""Public values that a message lists."""

_LARGEST_CODE = 2.0**53  # beyond it, floats no longer tell whole numbers apart
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_RULE = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


def number(cell: object) -> float | None:
    """Return the finite number that a cell holds, or None if it holds none."""
    if isinstance(cell, str):
        # float() alone would also take "nan", "1_000" and digits of other scripts.
        if not _NUMBER.fullmatch(cell.strip()):
            return None
    elif not isinstance(cell, int | float):
        return None
    try:
        value = float(cell)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def token(cell: object) -> float | str:
    """Return what a cell is compared by: its number ("1" is "1.0"), else its stripped text."""
    value = number(cell)
    return str(cell).strip() if value is None else value


def listing(values: Iterable[object]) -> str:
    """Return public values as one line of a message, the first of many."""
    shown = [f"{text[:60]}..." if len(text) > 63 else text for text in map(str, values)]
    more = f" and {len(shown) - MOST_SHOWN} more" if len(shown) > MOST_SHOWN else ""
    return ", ".join(shown[:MOST_SHOWN]) + more


def _code_faults(codes: tuple[Code, ...], key: str, at_least: int) -> list[str]:
    faults = []
    if len(codes) < at_least:
        faults.append(f"`{key}` lists {len(codes)} value(s); list at least {at_least}")
    if len({token(code) for code in codes}) < len(codes):
        faults.append(f"`{key}` lists a value twice ({listing(codes)}); keep one of each")
    for code in codes:
        if token(code) == "" or (not isinstance(code, str) and not abs(code) <= _LARGEST_CODE):
            faults.append(f"`{key}` lists {code!r}; give a finite number below 2^53 or a text")
    return faults


def _name_faults(names: tuple[str, ...], codes: tuple[Code, ...], key: str) -> list[str]:
    if not names or len(names) == len(codes):
        return []
    return [f"`names` has {len(names)} entries for {len(codes)} in `{key}`; give one name each"]


def _folded(code: object) -> str:
    """A text without what people spell differently: case, blanks, dashes."""
    return "".join(c for c in str(code).casefold() if c not in " \t\u00a0-_")


def _position(
    positions: Mapping[float | str, int], cell: object, key: str, codes: tuple[Code, ...]
) -> int:
    found = positions.get(token(cell))
    if found is None:
        spelt = [code for code in codes if _folded(code) == _folded(cell)]
        meant = f" (it is spelt {spelt[0]!r} there)" if spelt else ""
        raise DataError(
            f"{cell!r} is not among the public `{key}` {listing(codes)}{meant}; "
            f"correct the cell, add the value to `{key}` in the schema, or list it under `missing`"
        )
    return found


@dataclass(frozen=True)
class Numeric:
    """A number with public bounds.

    Args:
        bounds: lowest and highest value, in `unit`; multiples of 10^-decimals.
        decimals: digits after the point that synthetic values get.
        missing_codes: numbers outside the bounds that mean "not measured"; the row is kept.
        outside: "clip" moves values beyond the bounds onto them, "error" refuses the file.
    """

    kind: ClassVar[str] = "numeric"

    name: str
    bounds: tuple[float, float]
    decimals: int = 0
    missing_codes: tuple[float, ...] = ()
    outside: Literal["clip", "error"] = "error"
    title: str = ""
    unit: str = ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """Codes that no missing marker may equal."""
        return self.missing_codes

    def read(self, cell: object) -> float:
        """Return the cell's value in `unit` within the bounds, or the missing code it holds.

        Raises:
            DataError: not a finite number, or outside the bounds with outside = "error".
        """
        value = number(cell)
        if value is None:
            raise DataError(
                f"{cell!r} is not a finite number{remark(cell)}; correct the cell, or list the "
                "text under `missing` in the schema if it marks a missing value"
            )
        low, high = self.bounds
        if value in self.missing_codes or low <= value <= high:
            return value
        if self.outside == "clip":
            return min(max(value, low), high)
        raise DataError(
            f"{value:g} lies outside the public bounds [{low:g}, {high:g}]; correct the cell, "
            'widen `bounds` in the schema, or set outside = "clip"'
        )

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        low, high = self.bounds
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            return [f"`bounds` = [{low:g}, {high:g}] is no interval; write [lowest, highest]"]
        if not 0 <= self.decimals <= MAX_DECIMALS:
            return [f"`decimals` = {self.decimals}; give 0 to {MAX_DECIMALS}"]
        faults = []
        if (high - low) * 10**self.decimals > MAX_STEPS:
            faults.append(
                f"`bounds` hold more than {MAX_STEPS:,} steps of 10^-{self.decimals}, which the "
                "encoding cannot tell apart; narrow `bounds` or lower `decimals`"
            )
        for value in (low, high, *self.missing_codes):
            if round(value, self.decimals) != value:
                faults.append(f"{value!r} needs more than {self.decimals} `decimals`; raise them")
        for code in self.missing_codes:
            if low <= code <= high:
                faults.append(
                    f"missing code {code:g} lies inside `bounds` [{low:g}, {high:g}] and would be "
                    "taken for a value; narrow `bounds` or drop the code"
                )
        return faults + _code_faults(self.missing_codes, "missing_codes", 0)


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
        return {token(code): position for position, code in enumerate(self.values)}

    def read(self, cell: object) -> float:
        """Return 0 or 1, the cell's position in `values`; DataError if it is neither."""
        return _position(self._positions, cell, "values", self.values)

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        faults = _code_faults(self.values, "values", 2)
        if len(self.values) > 2:
            faults.append(
                f'`values` lists {len(self.values)} values; use kind = "categorical" with '
                "`categories` for more than two"
            )
        return faults + _name_faults(self.names, self.values, "values")


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
        return {token(code): position for position, code in enumerate(self.categories)}

    def read(self, cell: object) -> float:
        """Return the cell's position in `categories`; DataError if it is none of them."""
        return _position(self._positions, cell, "categories", self.categories)

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        faults = _code_faults(self.categories, "categories", 2)
        return faults + _name_faults(self.names, self.categories, "categories")


Column: TypeAlias = Numeric | Binary | Categorical


@dataclass(frozen=True)
class Target:
    """The label: public values of one column, and the public label that each stands for.

    Args:
        column: name of the column in the file.
        values: every value that the column may hold.
        labels: public names; y = 0 .. len(labels) - 1 counts in this order.
        positive: a rule such as "> 0" for two labels: values that meet it get the second label.
            Empty: `values` and `labels` correspond one to one.
    """

    column: str
    values: tuple[Code, ...]
    labels: tuple[str, ...]
    positive: str = ""
    title: str = ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The values."""
        return self.values

    @cached_property
    def _positions(self) -> dict[float | str, int]:
        return {
            token(code): self._label(code) if self.positive else position
            for position, code in enumerate(self.values)
        }

    @cached_property
    def representatives(self) -> tuple[Code, ...]:
        """The first value of each label: what synthetic tables hold in this column."""
        order = [self.read(code) for code in self.values]
        return tuple(self.values[order.index(label)] for label in range(len(self.labels)))

    def _label(self, code: Code) -> int:
        rule, value = _RULE.fullmatch(self.positive), number(code)
        if rule is None or value is None:
            return 0
        return int(_COMPARE[rule[1]](value, float(rule[2])))

    def read(self, cell: object) -> int:
        """Return the label of a cell, 0 .. len(labels) - 1; DataError if it is none of `values`."""
        return _position(self._positions, cell, "values", self.values)

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        faults = _code_faults(self.values, "values", 2)
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            faults.append(f"`labels` = {list(self.labels)}; give at least two different names")
        if not self.positive:
            if len(self.values) != len(self.labels):
                faults.append(
                    f"{len(self.values)} `values` for {len(self.labels)} `labels`; give one value "
                    'for each label, or a rule such as positive = "> 0" for two labels'
                )
            return faults
        return faults + self._rule_faults()

    def _rule_faults(self) -> list[str]:
        rule = _RULE.fullmatch(self.positive)
        if rule is None or number(rule[2]) is None:
            return [
                f"`positive` = {self.positive!r} is no rule; write one of "
                f'{listing(_COMPARE)} and a number, for example "> 0"'
            ]
        if len(self.labels) != 2:
            return [f"`positive` makes two labels, `labels` names {len(self.labels)}; give two"]
        words = [code for code in self.values if number(code) is None]
        if words:
            return [f"`positive` compares numbers, `values` holds {listing(words)}; drop the rule"]
        if {self._label(code) for code in self.values} != {0, 1}:
            return [
                f'`positive` = "{self.positive}" gives every one of `values` '
                f"{listing(self.values)} the same label; change the rule or add values"
            ]
        return []
