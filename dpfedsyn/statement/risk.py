"""What a claim means to an attacker who wants to know whether one unit was in the data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

from accountants import Adjacency, Composed, Event, tradeoff
from dpfedsyn import attacker

# The false-positive rates of the curve; it is symmetric and convex, so few points tell it.
RATES = (1e-4, 1e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
LOW = 1e-3  # the rate of which attacks are told apart


MOST_SUBSETS = 16  # of silos whose curves are computed, a tenth of a second each


def of(
    events: Sequence[Event], adjacency: Adjacency, deviation: float, delta: float
) -> dict[str, Any]:
    """Return the risks of a claim as JSON-ready values, all of them upper bounds.

    Args:
        events: the claims, the worst of which counts.
        deviation: total variation between ideal and drawn noise, generator included.
        delta: of the claim, with which the posterior may be passed.

    Guarantee:
        No test that accuses with a false-positive rate on the curve finds a unit with a
        probability above the curve's, drawn noise included; none has a larger advantage; and an
        accusation at even odds is right with no larger a probability than the point's posterior.
    """
    curves = [_curve(event, adjacency, deviation) for event in events]
    worst = [max(rates) for rates in zip(*curves, strict=True)]
    points = [
        {"fpr": rate, "tpr": found, "posterior": found / (found + rate)}
        for rate, found in zip(RATES, worst, strict=True)
    ]
    most = max(_advantage(event, adjacency, deviation) for event in events)
    return {
        "of": "the claim at the caps, what drawn noise deviates included; all are upper bounds",
        "advantage": most,
        "right_guess_from_even_odds": min(1.0, 0.5 + 0.5 * most),
        "posterior_from_even_odds": max(
            _posterior(event, adjacency, deviation, delta) for event in events
        ),
        "posterior_holds": "but for outputs that come with a probability of delta at most",
        "at_low_rate": next(point for point in points if point["fpr"] == LOW),
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


@lru_cache(maxsize=64)
def _curve(event: Event, adjacency: Adjacency, deviation: float) -> tuple[float, ...]:
    """True-positive rates, computed once for silos of one budget."""
    return tuple(
        attacker.true_positive_rate(event, rate, adjacency=adjacency, deviation=deviation)
        for rate in RATES
    )


@lru_cache(maxsize=64)
def _posterior(event: Event, adjacency: Adjacency, deviation: float, delta: float) -> float:
    return attacker.posterior(event, delta, adjacency=adjacency, deviation=deviation)


@lru_cache(maxsize=64)
def _advantage(event: Event, adjacency: Adjacency, deviation: float) -> float:
    most = tradeoff(event, adjacency=adjacency).advantage.upper
    return min(1.0, most + 2.0 * deviation)
