"""When a simulated silo is away: texts of the configuration, read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dpfedsyn.errors import ConfigError

_AWAY = re.compile(r"(?P<name>\S+) +(?P<first>\d+)-(?P<last>\d*)")


@dataclass(frozen=True)
class Away:
    """Rounds of the run, from 1 and inclusive, that a silo is not there for."""

    name: str
    first: int
    last: float  # infinity: it does not come back

    def covers(self, name: str, round_number: int) -> bool:
        """Whether this silo is away in this round."""
        return name == self.name and self.first <= round_number <= self.last


def aways(texts: Sequence[str], silos: Sequence[str]) -> tuple[Away, ...]:
    """Read "NAME FIRST-LAST" for each absence; without LAST the silo does not come back.

    Raises:
        ConfigError: a text of another form, an unknown silo, or a LAST before its FIRST.
    """
    return tuple(_away(text, silos) for text in texts)


def _away(text: str, silos: Sequence[str]) -> Away:
    match = _AWAY.fullmatch(text.strip())
    if match is None or match["name"] not in silos:
        raise ConfigError(
            f"participation.away: {text!r} names no rounds of a silo, so nothing was run. Write "
            f'"NAME FIRST-LAST" (or "NAME FIRST-" for good), NAME one of {", ".join(silos)}.'
        )
    away = Away(match["name"], int(match["first"]), float(match["last"] or "inf"))
    if away.last < away.first:
        raise ConfigError(
            f"participation.away: {text!r} ends before it begins, so nothing was run. "
            "Write the first round first."
        )
    return away
