"""What the worst of several claims means to an attacker: somebody may be in several silos."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from accountants import Adjacency, Composed, Event
from dpfedsyn import risk

MOST_SUBSETS = 16  # of silos whose curves are computed, a tenth of a second each
NUMBERS = ("advantage", "right_guess_from_even_odds", "posterior_from_even_odds")


def worst(
    events: Sequence[Event], delta: float, adjacency: Adjacency, deviation: float
) -> dict[str, Any]:
    """Return what `dpfedsyn.risk.of` says of the claims, the worst of which counts.

    Args:
        delta: of the run. deviation: total variation between ideal and drawn noise, generator
            included.

    Guarantee:
        At every false-positive rate, and for every other number, the largest of all claims: what
        holds of each of them holds of whichever is somebody's own.
    """
    found = [risk.of(e, delta, adjacency=adjacency, deviation=deviation) for e in events]
    pairs = zip(*(one["tradeoff"] for one in found), strict=True)
    points = [max(rates, key=lambda point: float(point["tpr"])) for rates in pairs]
    return {
        **found[0],
        **{key: max(one[key] for one in found) for key in NUMBERS},
        "at_low_rate": next(point for point in points if point["fpr"] == risk.LOW),
        "tradeoff": points,
    }


def subsets(events: Sequence[Event], size: int) -> tuple[Event, ...] | None:
    """Return the distinct compositions of so many events; None where there are too many."""
    if size == 1:
        return tuple(dict.fromkeys(events))
    found: dict[Event, None] = {}
    for chosen in combinations(sorted(events, key=repr), size):
        found[Composed(chosen)] = None
        if len(found) > MOST_SUBSETS:
            return None
    return tuple(found)
