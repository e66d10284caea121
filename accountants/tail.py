"""How fast a tilted step's characteristic function falls: proofs for all frequencies beyond one.

|rho(w)| of one step is bounded in two ways that hold for *every* w, so nothing has to be walked:
near by the variance within a part of the law on which the phases differ little, far by integration
by parts. CERTIFICATE.md proves Lemmas 5 and 6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accountants.steps import REMOVE
from accountants.tilted import ONE_MORE, laws_of

Array = NDArray[np.float64]

_FINER = 8.0  # closer nodes, since sums stand for integrals of pieces here
_REGIONS = 48
_PHASE = 2.4  # below sqrt(6): up to there x^2 (1 - x^2/12) rises


@dataclass(frozen=True, eq=False)
class Tail:
    """Bounds on |rho|, one step.

    Attributes:
        left, height: (m,); |rho(w)| <= left_j + height_j / w for every j and w > 0 (Lemma 6).
        width, variance: (b,); |rho(w)|^2 <= 1 - w^2 (1 - (w width)^2 / 12) variance as long as
            w width <= sqrt(6), and this falls in w (Lemma 5).
    """

    left: Array
    height: Array
    width: Array
    variance: Array

    def log_beyond(self, w: Array) -> Array:
        """Return log of a bound on |rho| over [w_i, infinity) for each w_i > 0 (ascending), <= 0.

        Both bounds fall in w: on [w_i, w_{i+1}] they are at most their values at w_i, as far as
        they still hold at w_{i+1}. Beyond the last w only the second one is used.
        """
        apart = (self.left + self.height / w[:, None]).min(axis=1, initial=1.0)
        phase = w[:, None] * self.width
        end = np.append(w[1:], np.inf)[:, None] * self.width
        square = 1 - (w * w)[:, None] * (1 - phase * phase / 12) * self.variance / ONE_MORE
        square = np.where(end < _PHASE, square, 1.0).min(axis=1, initial=1.0)
        best = np.minimum(apart, np.sqrt(np.maximum(square, 0.0)))
        beyond = np.maximum.accumulate(best[::-1])[::-1]
        logs: Array = np.log(np.maximum(beyond, 1e-300))
        return logs


@lru_cache(maxsize=512)
def tail_of(rate: float, sigma: float, direction: int, theta: float) -> Tail:
    """Return the bounds for one Poisson-sampled Gaussian step tilted by theta > 0."""
    power = theta + 1 if direction == REMOVE else -theta
    laws = laws_of(rate, sigma, direction, np.array([power]), 1.0, _FINER)
    if laws is None:
        return Tail(*(np.zeros(0) for _ in range(4)))
    mass = laws.masses[0] / laws.total[0]
    left, height = _by_parts(mass, laws.share, laws.spacing, sigma, power)
    width, variance = _regions(mass, laws.log_u, laws.share, laws.spacing, rate, sigma, power)
    return Tail(left, height, width, variance)


def _by_parts(
    mass: Array, share: Array, spacing: float, sigma: float, power: float
) -> tuple[Array, Array]:
    """Integrate by parts on z >= z_j; what lies left of z_j counts whole: Lemma 6.

    With f = density / |L'| the part has modulus at most (f(z_j) + variation of f) / w.
    """
    with np.errstate(over="ignore"):
        f = mass / spacing * sigma / np.maximum(share, 1e-300)
    # (log f)'' and (log mass)'' are at least -curvature: how far a maximum between nodes may rise.
    curvature = 1.0 + max(0.0, -power) / (4 * sigma * sigma)
    rise = math.expm1(curvature * spacing * spacing / 8)
    # The sum of a function is off its integral by its variation at most.
    right = np.cumsum(mass[::-1])[::-1] - _variation(mass, rise)
    left = 1.0 - right * (1 - 1e-9) + 1e-12
    height = (f + _variation(f, rise)) * ONE_MORE
    places = np.flatnonzero(np.isfinite(height) & (left < 1.0))
    places = places[:: max(1, places.size // _REGIONS)]
    return left[places], height[places]


def _variation(values: Array, rise: float) -> Array:
    """Bound on the variation of a function with two maxima, from each node to infinity."""
    steps = np.append(np.abs(np.diff(values)), values[-1])
    highest = np.maximum.accumulate(values[::-1])[::-1]
    variation: Array = np.cumsum(steps[::-1])[::-1] + 4 * rise * highest
    return variation * ONE_MORE


def _regions(
    mass: Array,
    log_u: Array,
    share: Array,
    spacing: float,
    rate: float,
    sigma: float,
    power: float,
) -> tuple[Array, Array]:
    """Return (width of L, half the mean squared difference of two draws) on z <= z_b: Lemma 5.

    Cells between nodes get a lower bound of their mass and stand at the mean loss of their ends,
    which is off by at most `bend`: (d - e)^2 >= .99 d^2 - 99 e^2.
    """
    bulge = max(0.0, power / (4 * sigma * sigma) - 1.0)  # (log mass)'' is at most this
    least = np.minimum(mass[1:], mass[:-1]) * math.exp(-bulge * spacing * spacing / 8) * (1 - 1e-9)
    lowest = math.log1p(-rate)
    height = np.maximum(0.5 * (log_u[1:] + log_u[:-1]) - lowest, 0.0)
    bend = spacing * spacing * share[1:] / (12 * sigma * sigma)
    zeroth, first, second = (np.cumsum(least * height**n) for n in range(3))
    spread = zeroth * second - first * first
    variance = 0.99 * (0.99 * spread - 99 * (bend * zeroth) ** 2)
    width = (log_u[1:] - lowest) * ONE_MORE + 1e-300
    places = np.flatnonzero(variance > 0)
    places = places[:: max(1, places.size // _REGIONS)]
    return width[places], variance[places]
