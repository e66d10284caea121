"""Typed reading of one TOML table: every fault is collected, none stops the reading.

`Section` hands out values by key. A wrong type, a missing key and an unknown key each become one
sentence with the mend; the placeholder that is returned instead lets the reading go on, so that
the reader of a message sees all faults at once.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from dpfedsyn.columns import Code, listing
from dpfedsyn.errors import ConfigError

T = TypeVar("T")


class Section:
    """One table of a TOML file.

    Args:
        table: keys and values, as `tomllib` returns them.
        where: dotted name for messages; empty at the top of the file.
        faults: the list that faults are appended to, shared between sections.
    """

    def __init__(self, table: Mapping[str, Any], where: str, faults: list[str]) -> None:
        self._table, self._where, self._faults = table, where, faults
        self._known: list[str] = []
        self.broken = False
        """Some value is a placeholder, so what was read must not be used or judged further."""

    def need(self, key: str, convert: Callable[[Any], T], placeholder: T) -> T:
        """Return a value that must be there; else note the fault, return the placeholder."""
        if key not in self._table:
            self._known.append(key)
            self.broken = True
            self.fault(f"`{key}` is missing; add it")
            return placeholder
        return self.take(key, convert, placeholder)

    def take(self, key: str, convert: Callable[[Any], T], default: T) -> T:
        """Return an optional value, the default where the key is absent or its value wrong."""
        self._known.append(key)
        if key not in self._table:
            return default
        try:
            return convert(self._table[key])
        except TypeError as expected:
            self.broken = True
            self.fault(f"`{key}` = {self._table[key]!r} is not {expected}; write {expected}")
            return default

    def close(self) -> None:
        """Note every key that was never asked for, each with the nearest one that was."""
        for key in self._table:
            if key not in self._known:
                self.fault(f"unknown key `{key}`; {nearest(key, self._known)}")

    def fault(self, text: str) -> None:
        """Note a fault of this table."""
        self._faults.append(f"{self._where}: {text}" if self._where else text)


def read(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: it cannot be read, is no UTF-8 text or no TOML; names the line.
    """
    try:
        # A mark at the beginning, as some editors write it, says nothing and hurts nobody.
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            f"{path}: the file cannot be read ({error.strerror}), so nothing was run; correct the "
            "path"
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}, line {line}: not a TOML file but text of another encoding, so nothing was "
            "run; save it as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path}: not a TOML file ({error}), so nothing was run. Mend that line."
        ) from None


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the mend for an unknown name: the nearest known one, or the list of all."""
    close = get_close_matches(name, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known are {listing(known)}"


def text(value: Any) -> str:
    """Convert to a text."""
    if not isinstance(value, str):
        raise TypeError("a text in quotes")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """Convert to a list of texts."""
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise TypeError('a list of texts, for example ["a", "b"]')
    return tuple(value)


def flag(value: Any) -> bool:
    """Convert to true or false."""
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def whole(value: Any) -> int:
    """Convert to a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("a whole number")
    return value


def reals(value: Any) -> tuple[float, ...]:
    """Convert to a list of numbers."""
    if not isinstance(value, list) or not all(_is_number(entry) for entry in value):
        raise TypeError("a list of numbers, for example [0, 1.5]")
    return tuple(float(entry) for entry in value)


def interval(value: Any) -> tuple[float, float]:
    """Convert to a pair of numbers."""
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        raise TypeError("two numbers, [lowest, highest]")
    return float(value[0]), float(value[1])


def days(value: Any) -> tuple[date, date]:
    """Convert to a pair of days: of TOML, or texts as in ISO 8601."""
    expected = "two days, [2015-01-01, 2024-12-31]"
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError(expected)
    first, last = value
    try:
        return _day(first), _day(last)
    except (TypeError, ValueError):
        raise TypeError(expected) from None


def _day(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    return date.fromisoformat(value)


def real(value: Any) -> float:
    """Convert to a number."""
    if not _is_number(value):
        raise TypeError("a number")
    return float(value)


def codes(value: Any) -> tuple[Code, ...]:
    """Convert to a list of numbers or texts."""
    if not isinstance(value, list) or not all(
        isinstance(entry, str) or _is_number(entry) for entry in value
    ):
        raise TypeError('a list of numbers or texts, for example [0, 1] or ["no", "yes"]')
    return tuple(value)


def table(value: Any) -> Mapping[str, Any]:
    """Convert to a table of keys and values."""
    if not isinstance(value, Mapping):
        raise TypeError("a section of keys and values")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def refuse(where: str, faults: Sequence[str]) -> None:
    """Raise `ConfigError` with every fault, if there is one."""
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        lines = "".join(f"\n  {fault}" for fault in faults)
        raise ConfigError(f"{where}: {count}, so nothing was read:{lines}")
