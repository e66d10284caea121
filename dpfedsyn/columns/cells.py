"""What one cell of a table holds: a number, a text, a public code."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from dpfedsyn.errors import DataError

Code: TypeAlias = int | float | str
"""A value as a file spells it: a number or a text."""

LARGEST = 2.0**53
"""Beyond it, floats no longer tell whole numbers apart."""

MOST_SHOWN = 30
"""Public values that a message lists."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


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


def code_faults(
    codes: tuple[Code, ...], key: str, at_least: int, *, blank: bool = False
) -> list[str]:
    """Return what is wrong with a list of public codes, one sentence each.

    Args:
        key: its name in the schema.
        blank: an empty cell may be one of them.
    """
    faults = []
    if len(codes) < at_least:
        faults.append(f"`{key}` lists {len(codes)} value(s); list at least {at_least}")
    if len({token(code) for code in codes}) < len(codes):
        faults.append(f"`{key}` lists a value twice ({listing(codes)}); keep one of each")
    for code in codes:
        empty = token(code) == "" and not blank
        if empty or (not isinstance(code, str) and not abs(code) <= LARGEST):
            faults.append(f"`{key}` lists {code!r}; give a finite number below 2^53 or a text")
    return faults


def name_faults(names: tuple[str, ...], codes: tuple[Code, ...], key: str) -> list[str]:
    """Return what is wrong with the names of public codes, one sentence each."""
    if not names or len(names) == len(codes):
        return []
    return [f"`names` has {len(names)} entries for {len(codes)} in `{key}`; give one name each"]


def _folded(code: object) -> str:
    """A text without what people spell differently: case, blanks, dashes."""
    return "".join(c for c in str(code).casefold() if c not in " \t\u00a0-_")


def position(
    positions: Mapping[float | str, int], cell: object, key: str, codes: tuple[Code, ...]
) -> int:
    """Return the position of a cell among public codes; DataError if it is none of them."""
    found = positions.get(token(cell))
    if found is None:
        spelt = [code for code in codes if _folded(code) == _folded(cell)]
        meant = f" (it is spelt {spelt[0]!r} there)" if spelt else ""
        raise DataError(
            f"{cell!r} is not among the public `{key}` {listing(codes)}{meant}; "
            f"correct the cell, add the value to `{key}` in the schema, or list it under `missing`"
        )
    return found
