"""What an audit could have found: its power against less noise than claimed.

For the best possible score: what a learnt one finds comes close where few values tell, and falls
behind where many do. The gain of a likelihood bet per call is a random variable whose mean and
spread follow from the alternative's posterior, so that the log wealth is nearly normal.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from dpfedsyn.audit.bets import POWER_PRIOR, POWERS
from dpfedsyn.audit.claims import POSTERIORS, Curve
from dpfedsyn.audit.process import TAILS, WARM_UP, Test

Array = NDArray[np.float64]

_MOST = 10**12


def power(test: Test, alternative: Curve, calls: int) -> float:
    """Chance that `calls` calls show a mechanism to break the claim that just keeps `alternative`.

    Args:
        test: the claim's. alternative: of the privacy that the mechanism really has.
    """
    return _chance(test, _gains(test, alternative), calls)


def calls_for(test: Test, alternative: Curve, wanted: float = 0.95) -> int | None:
    """Fewest calls with this power, within 1 %; None where even 10^12 have less."""
    gains = _gains(test, alternative)
    if _chance(test, gains, _MOST) < wanted:
        return None
    low, high = WARM_UP, _MOST
    while high > 1.01 * low + 1:
        middle = int(math.sqrt(low * high))
        low, high = (low, middle) if _chance(test, gains, middle) >= wanted else (middle, high)
    return high


def _chance(test: Test, gains: tuple[Array, Array], calls: int) -> float:
    bets = calls - WARM_UP
    if bets <= 0:
        return 0.0
    mean, spread = gains
    needed = test.log_limit - np.log(POWER_PRIOR * (1 - TAILS))
    reached = (bets * mean - needed) / np.maximum(np.sqrt(bets) * spread, 1e-12)
    return float(ndtr(np.where(mean > 0, reached, -np.inf)).max())


def _gains(test: Test, alternative: Curve) -> tuple[Array, Array]:
    """Mean and standard deviation of log(q_b^t / price) per call, for each power t."""
    masses = alternative.masses()
    with np.errstate(divide="ignore"):
        log_one = np.log(POSTERIORS)
    kept = (masses > 0) & (POSTERIORS > 0)
    weight = 2.0 * masses[kept] * POSTERIORS[kept]  # by symmetry: label 1 with posterior q
    weight /= weight.sum()
    first = float(weight @ log_one[kept])
    second = float(weight @ np.square(log_one[kept]))
    mean = POWERS * first - np.log(test.prices)
    return mean, POWERS * math.sqrt(max(second - first**2, 0.0))
