"""Upper log moments of single steps, for bounds that add them up."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from accountants.events import ApproximateDP, Laplace
from accountants.laws import upper_law
from accountants.sketch import sketch
from accountants.steps import Glued, Step

Array = NDArray[np.float64]

_NODES = 2**14
_RAREST = -600.0  # log of the tail beyond which losses count as infinite
_ROUNDING = 1e-12


def log_moments(step: Step, direction: int, t: Array) -> tuple[Array, float]:
    """(upper log E_P[e^(t L); L finite] at each t > 0, upper P(L = infinity)).

    Laplace: Mironov (2017), Proposition 6. (epsilon, delta): randomised response. Else the upper
    law of a fine lattice: e^(t L) is convex and falls in e^-L, so that connecting dots raises it.

    Guarantee:
        Moments and probability are those of one law that dominates the step: they may be added
        up, and turned into delta by any bound that holds for dominating pairs.
    """
    match step:
        case Laplace(noise_multiplier):
            reach = 1 / noise_multiplier
            high = np.log1p(t) - np.log1p(2 * t) + t * reach
            low = np.log(t) - np.log1p(2 * t) - (t + 1) * reach
            return _up(np.logaddexp(high, low), t * reach), 0.0
        case ApproximateDP(reach, chance):
            odds = math.log1p(math.exp(-min(reach, 700.0)))
            high, low = t * reach - odds, -(t + 1) * reach - odds
            return _up(np.logaddexp(high, low) + math.log1p(-chance), t * reach), chance
    at, log_mass = sketch(step, direction)
    tail = np.logaddexp.accumulate(log_mass[::-1])[::-1]
    lowest, highest = float(at[0]), float(at[tail > _RAREST][-1])
    lowest = max(lowest, -highest - 50.0)
    spacing = (highest - lowest) / _NODES
    low_node, high_node = math.floor(lowest / spacing), math.ceil(highest / spacing)
    if isinstance(step, Glued):
        low_node, high_node = min(low_node, -1), max(high_node, 1)
    law = upper_law(step, direction, spacing, low_node, high_node)
    nodes = (low_node + np.arange(law.mass.size, dtype=np.float64)) * spacing + law.offset
    logs = np.log(np.maximum(law.mass, 1e-320))
    sums = np.array([logsumexp(one * nodes + logs) for one in t])
    return _up(sums, t * max(abs(lowest), abs(highest))), law.infinite


def _up(value: Array, exponent: Array) -> Array:
    """Moved up by more than rounding; exponents of this size went in."""
    return value + _ROUNDING * (1 + np.abs(value)) + 1e-15 * exponent
