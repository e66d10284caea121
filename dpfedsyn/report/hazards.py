"""The hazards that a statement answers one by one, and how many stand how."""

from collections import Counter
from dataclasses import dataclass

from dpfedsyn.report import wording
from dpfedsyn.report.wording import Json

ANSWERED, OPEN = "answered", "open"
AFTER = "hazards"


@dataclass(frozen=True)
class Hazard:
    """A hazard and what the statement says to it.

    Args:
        name: with its number. status: as the statement calls it. settled: nothing is left to do.
    """

    name: str
    status: str
    answer: str
    settled: bool


def of(statement: Json) -> tuple[Hazard, ...]:
    """Return them in the statement's order; none where it answers none."""
    return tuple(
        Hazard(
            wording.plain(f"{hazard['number']}. {hazard['name']}"),
            wording.plain(hazard["status"]),
            wording.plain(hazard["answer"]),
            hazard["status"] == ANSWERED,
        )
        for hazard in statement.get("hazards") or ()
    )


def summary(statement: Json) -> str:
    """How many hazards stand how; empty where none is answered."""
    counts = Counter(hazard.status for hazard in of(statement))
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    after = wording.plain(statement.get("hazards_after") or AFTER)
    return f"{sum(counts.values())} {after}: {told}." if told else ""
