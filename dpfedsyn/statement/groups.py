"""Somebody whose data lie in several silos: which compositions there are, and the worst of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from accountants import Composed, Event

MOST = 16  # compositions whose curves are computed, a tenth of a second and more each


def of(claims: Sequence[Event], size: int) -> tuple[Event, ...]:
    """Return the distinct compositions of so many claims; none where there are too many of them."""
    if size == 1:
        return tuple(dict.fromkeys(claims))
    found: dict[Event, None] = {}
    for chosen in combinations(sorted(claims, key=repr), size):
        found[Composed(chosen)] = None
        if len(found) > MOST:
            return ()
    return tuple(found)


def worst(risks: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the largest of each number of several risks; None of none.

    Args:
        risks: as `dpfedsyn.risk.of` returns them.

    Guarantee:
        No number of the result is below that of any of the risks.
    """
    several = list(risks)
    if not several:
        return None
    first = dict(several[0])
    for key in ("advantage", "right_guess_from_even_odds", "posterior_from_even_odds"):
        first[key] = max(risk[key] for risk in several)
    curves = zip(*(risk["tradeoff"] for risk in several), strict=True)
    first["tradeoff"] = [_worst(points) for points in curves]
    low = first["at_low_rate"]["fpr"]
    first["at_low_rate"] = next(point for point in first["tradeoff"] if point["fpr"] == low)
    return first


def _worst(points: Sequence[dict[str, float]]) -> dict[str, float]:
    """The largest rate at one false-positive rate; its posterior grows with it."""
    return dict(max(points, key=lambda point: point["tpr"]))
