"""What an audit could have found: its power against less noise than claimed.

For a shift of the outputs' means, in the direction that is hardest to learn: spread evenly over all
values, with noise that is independent between them. The gain of a likelihood bet per call is a
random variable whose mean and spread follow from the alternative's posterior, so that the log
wealth is nearly normal. After m calls the direction is known up to an error of the means: of a
shift mu over d values the share mu^2 / (mu^2 + 4 d / m) of mu^2 lies along it.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from dpfedsyn.audit.bets import POWER_PRIOR, POWERS
from dpfedsyn.audit.binomial import mu_of_accuracy
from dpfedsyn.audit.claims import POSTERIORS, Curve, gaussian_curve
from dpfedsyn.audit.process import FULL, MOST_TRAINING, TAILS, WARM_UP, Test, next_block, rule_prior
from dpfedsyn.audit.scores import reach
from dpfedsyn.audit.spread import WIDE

Array = NDArray[np.float64]

_MOST = 10**12
_SHARES = np.linspace(0.0, 1.0, 17)  # of mu, along the learnt direction
# Measured: slopes are learnt too, and from half of the calls, in units of the means' error; and
# where spreads and slopes of all values are fitted as well, in units of values / calls.
_ERRORS, _FITTED = 1.5, 5.0


def power(test: Test, alternative: Curve, calls: int, values: int = 1) -> float:
    """Chance that `calls` calls show a mechanism to break the claim that just keeps `alternative`.

    Args:
        test: the claim's. alternative: of the privacy that the mechanism really has.
        values: numbers in an output, over which what differs is spread.
    """
    for end, mean, variance in _grown(test, alternative, values, calls):
        if end >= calls:
            return _chance(test, mean, variance)
    return 0.0


def calls_for(test: Test, alternative: Curve, wanted: float = 0.95, values: int = 1) -> int | None:
    """Fewest calls with this power, within 1 %; None where even 10^12 have less.

    Args:
        test, alternative, values: as of `power`.
    """
    low, before = WARM_UP, (np.zeros(len(POWERS)), np.zeros(len(POWERS)))
    for end, mean, variance in _grown(test, alternative, values, _MOST):
        if _chance(test, mean, variance) >= wanted:
            return _within(test, wanted, (low, *before), (end, mean, variance))
        low, before = end, (mean, variance)
    return None


def _within(
    test: Test,
    wanted: float,
    first: tuple[int, Array, Array],
    last: tuple[int, Array, Array],
) -> int:
    """Fewest calls of a block, in which gains are alike."""
    low, high = first[0], last[0]
    while high > 1.01 * low + 1:
        middle = (low + high) // 2
        share = (middle - first[0]) / (last[0] - first[0])
        grown = [a + share * (b - a) for a, b in zip(first[1:], last[1:], strict=True)]
        low, high = (low, middle) if _chance(test, *grown) >= wanted else (middle, high)
    return high


def _grown(
    test: Test, alternative: Curve, values: int, most: int
) -> Iterator[tuple[int, Array, Array]]:
    """(calls, mean, variance) of the log wealth of each power at the ends of blocks."""
    mu = mu_of_accuracy(alternative.accuracy)
    lost, masses = _lost(mu), alternative.masses()
    mean, variance, made, learnt = np.zeros(len(POWERS)), np.zeros(len(POWERS)), 0, 0
    while made < most:
        block = next_block(made, most)
        if made >= WARM_UP:
            share = 1.0 if test.score is not None else _share(mu, values, learnt)
            first, second = _moments(masses, reach(min(learnt, MOST_TRAINING)))
            gained = POWERS * (first - float(np.interp(share, _SHARES, lost)))
            mean = mean + block * (gained - np.log(test.prices))
            variance = variance + block * np.square(POWERS) * max(second - first**2, 0.0)
        made += block
        if made <= 2 * FULL:
            learnt = made
        if made >= WARM_UP:
            yield made, mean, variance


def _share(mu: float, values: int, calls: int) -> float:
    """Of mu, what lies along a direction that was learnt from so many calls."""
    if not math.isfinite(mu):
        return 1.0
    wide = values > WIDE
    each = max(values, 1) / (calls if wide else min(calls, MOST_TRAINING))
    fitted = 0.0 if wide or values <= 1 else _FITTED
    return mu / math.sqrt(mu**2 * (1.0 + fitted * each) + 4.0 * _ERRORS * each) if mu > 0.0 else 0.0


def _chance(test: Test, mean: Array, variance: Array) -> float:
    needed = test.log_limit - np.log(POWER_PRIOR * (1 - TAILS) * rule_prior(test.rules).min())
    reached = (mean - needed) / np.maximum(np.sqrt(variance), 1e-12)
    return float(ndtr(np.where(mean > 0, reached, -np.inf)).max())


def _lost(mu: float) -> Array:
    """What a bet gains less, in units of its power, at each of `_SHARES` of a shift mu."""
    if not math.isfinite(mu):
        return np.zeros(len(_SHARES))
    known = np.array([_gaussian_moment(share * mu) for share in _SHARES])
    lost: Array = known[-1] - known
    return lost


@lru_cache(maxsize=1024)
def _gaussian_moment(mu: float) -> float:
    return _moments(gaussian_curve(mu).masses(), math.inf)[0]


def _moments(masses: Array, reach: float) -> tuple[float, float]:
    """Means of log q_b and of its square per call, where q is the posterior, within a reach."""
    least = 1.0 / (1.0 + math.exp(min(reach, 700.0)))
    log_one = np.log(np.clip(POSTERIORS, least, 1.0 - least))
    weight = 2.0 * masses * POSTERIORS  # and as much for label 0, at 1 - posterior
    other = 2.0 * masses * (1.0 - POSTERIORS)
    first = weight @ log_one + other @ log_one[::-1]
    second = weight @ np.square(log_one) + other @ np.square(log_one[::-1])
    return float(first) / 2.0, float(second) / 2.0
