"""Intervals for what an attack achieves, over records as if each were drawn by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, norm

from dpfedsyn.audit.binomial import lower_rate, upper_rate

Array = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """A measured share in [0, 1] and its interval at `CONFIDENCE`."""

    value: float
    low: float
    high: float


def share(hits: int, of: int, confidence: float = CONFIDENCE) -> Share:
    """A share of independent trials: exact (Clopper & Pearson 1934)."""
    side = (1.0 - confidence) / 2.0
    return Share(hits / of, lower_rate(hits, of, side), upper_rate(hits, of, side))


def false_positive_rate(rank: int, of: int, confidence: float = CONFIDENCE) -> Share:
    """The rate at which fresh records exceed the `rank`-th largest of `of` held-out scores.

    For scores without ties it is Beta(rank, of + 1 - rank) whatever their law; ties only lower it.
    """
    law = beta(rank, of + 1 - rank)
    low, high = law.interval(confidence)
    return Share(rank / (of + 1), float(low), float(high))


def area(used: Array, control: Array) -> Share:
    """Area under the curve: how often a used record scores above a held-out one, ties half.

    Interval: method 5 of Newcombe (2006), "Confidence intervals for an effect size measure based on
    the Mann-Whitney statistic. Part 2"; the variance is Hanley & McNeil's at the interval's end, so
    0, 1 and small samples keep sensible intervals. Approximate.
    """
    ordered = np.sort(control)
    below = np.searchsorted(ordered, used, "left") + np.searchsorted(ordered, used, "right")
    value = float(below.sum() / (2.0 * len(used) * len(control)))
    reach = float(norm.ppf((1.0 + CONFIDENCE) / 2.0))

    def beyond(end: float) -> float:
        half = (len(used) + len(control)) / 2.0 - 1.0
        spread = 1.0 + half * ((1.0 - end) / (2.0 - end) + end / (1.0 + end))
        variance = end * (1.0 - end) * spread / (len(used) * len(control))
        return (value - end) ** 2 - reach**2 * variance

    # Not from the value itself: at 0 and at 1 that is a root, and the wrong one.
    low = 0.0 if value == 0.0 else brentq(beyond, 0.0, value * (1.0 - 1e-9))
    high = 1.0 if value == 1.0 else brentq(beyond, value + (1.0 - value) * 1e-9, 1.0)
    return Share(value, float(low), float(high))


def pairs(used: Array, control: Array, rng: np.random.Generator) -> Share:
    """How often the used record of a pair is told from the held-out one: exact, pairs disjoint.

    Every record is in one pair at most; a tie is decided by a coin.
    """
    count = min(len(used), len(control))
    first, second = rng.permutation(used)[:count], rng.permutation(control)[:count]
    won = np.where(first == second, rng.random(count) < 0.5, first > second)
    return share(int(won.sum()), count)


def threshold(control: Array, fpr: float) -> tuple[int, float] | None:
    """Rank and value of the held-out score above which fresh records lie with rate <= `fpr`.

    None where the held-out records are too few for it: at least 1 / fpr - 1 are needed.
    """
    rank = math.floor(fpr * (len(control) + 1) * (1.0 + 1e-12))
    if rank == 0:
        return None
    return rank, float(np.sort(control)[-rank])
