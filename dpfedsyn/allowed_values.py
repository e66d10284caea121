"""Which values a setting may have: its field's metadata, which `dpfedsyn.config` enforces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Allowed:
    """A range or a list of values, and the words that name it."""

    words: str
    test: Callable[[Any], bool]


def within(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> Allowed:
    words = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    return Allowed(
        words,
        # NaN and infinity fail these comparisons by themselves.
        lambda v: (v > low if open_low else v >= low) and (v < high if open_high else v <= high),
    )


def one_of(*values: str) -> Allowed:
    return Allowed(" | ".join(values), lambda v: v in values)


def setting(default: Any, allowed: Allowed) -> Any:
    return field(default=default, metadata={"allowed": allowed})


def names_among(*known: str) -> Any:
    """A list of some of these names; one name may stand without its brackets."""
    return field(default=(), metadata={"names": known})


POSITIVE = within(0, 1e12, open_low=True)
SHARE = within(0, 1, open_low=True, open_high=True)
SHARE_OR_ALL = within(0, 1, open_low=True)
COUNT = within(1, 10_000_000)
CHANNELS = Allowed("multiples of 8 in [8, 256]", lambda v: v % 8 == 0 and 8 <= v <= 256)
