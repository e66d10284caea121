"""delta and epsilon of everything but cascades: each engine where it is good, all of them valid.

Gaussians alone have a closed form, and so has a single sampled step. Compositions of sampled steps
and Gaussians are taken by a contour; beside (epsilon, delta) claims they are mixed. Where that
leaves a gap (few steps with far jumps), and for every other mechanism, there is a lattice; Renyi
bounds and total variation always exist. Bounds of several engines intersect.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accountants import certified, claims, gaussian, loss_lattice, rdp
from accountants.events import ApproximateDP
from accountants.moments import log_moments
from accountants.parts import Parts
from accountants.search import crossing
from accountants.steps import ADD, REMOVE, Step

Array = NDArray[np.float64]

_ROUNDING = 1e-15  # of a sum of squares, correctly rounded, and its square root
_CLEARLY = 1e-12  # relative: above what logarithms and their inverse may be off
_LOOSE = 1e-3  # relative width of delta above which other engines are asked
_DEEP = 1e-18  # delta below which no lattice is made
_CLOSED = 1e-6  # width of epsilon, relative to 1 + epsilon, above which they are


def delta_bounds(parts: Parts, direction: int, epsilon: Array) -> tuple[Array, Array]:
    """Return certified (lower, upper) delta at each real epsilon, (k,), one direction.

    Args:
        parts: without cascades.
    Guarantee:
        lower <= delta(epsilon) <= upper. An epsilon gets the same answer alone and in company.
    """
    if parts.unbounded:
        return np.ones_like(epsilon), np.ones_like(epsilon)
    if not (parts.sampled or parts.others):
        return _gaussian(parts.mu2, epsilon)
    if (mixed := claims.losses(parts.others)) is not None:
        rest = replace(parts, others=())
        return claims.delta_bounds(mixed, lambda at: delta_bounds(rest, direction, at), epsilon)
    lower, upper = np.zeros_like(epsilon), np.ones_like(epsilon)
    ahead = epsilon >= 0
    if ahead.any():
        lower[ahead], upper[ahead] = _ahead(parts, direction, epsilon[ahead])
    if not ahead.all():
        size = -epsilon[~ahead]
        below, above = _ahead(parts, 1 - direction, size)
        lower[~ahead] = np.maximum(behind(size, below) * (1 - 4e-15), 0.0)
        upper[~ahead] = behind(size, above)
    return lower, upper


def _certain(parts: Parts) -> float:
    """Return how much of delta no epsilon takes away: the chance that some (., delta) claim fails.

    The pair that stands for a claim of (epsilon, delta) tells all with probability delta; of
    several together delta(infinity) = 1 - prod(1 - delta_i)^n_i.
    """
    logs = (
        n * math.log1p(-step.delta) for step, n in parts.others if isinstance(step, ApproximateDP)
    )
    return -math.expm1(math.fsum(logs))


def epsilon_bounds(parts: Parts, direction: int, delta: float) -> tuple[float, float]:
    """Return certified (lower, upper) epsilon >= 0, one direction; `parts` without cascades.

    Guarantee:
        delta(upper) <= delta, and delta(lower) > delta unless lower is 0, by `delta_bounds`.
    """
    if parts.unbounded or _certain(parts) > delta * (1.0 + _CLEARLY):
        return math.inf, math.inf
    if not (parts.sampled or parts.others):
        return gaussian.epsilon_bounds(math.sqrt(parts.mu2), delta, _ROUNDING)
    start = 1.0
    if not parts.others:
        found = certified.epsilon_bounds(parts.sampled, direction, np.array([parts.mu2]), delta)
        lower, upper = float(found[0][0]), float(found[1][0])
        if math.isfinite(upper) and upper - lower <= _CLOSED * (1 + upper):
            return lower, upper
        start = upper if math.isfinite(upper) else 1.0
    upper = crossing(lambda e: delta_bounds(parts, direction, e)[1], delta, start)[1]
    start = upper if math.isfinite(upper) else 1.0
    lower = crossing(lambda e: delta_bounds(parts, direction, e)[0], delta, start)[0]
    return min(lower, upper), upper


def behind(epsilon: Array, delta: Array) -> Array:
    """delta(-epsilon) = 1 - e^-epsilon + e^-epsilon delta_rev(epsilon), rounded up."""
    with np.errstate(over="ignore", under="ignore"):
        scaled = np.exp(-np.maximum(epsilon, 0.0))
        value: Array = np.where(epsilon >= 0, 1 - scaled * (1 - delta), 1.0)
    return np.minimum(value * (1 + 1e-15), 1.0)


def _ahead(parts: Parts, direction: int, epsilon: Array) -> tuple[Array, Array]:
    """(lower, upper) at epsilon >= 0: the contour, and where that leaves a gap, the others too."""
    if parts.others:
        return loss_lattice.delta_bounds(parts, direction, epsilon)
    mu2 = np.full_like(epsilon, parts.mu2)
    lower, upper = certified.delta_bounds(parts.sampled, direction, mu2, epsilon)

    def narrow(gap: NDArray[np.bool_], found: tuple[Array, Array]) -> NDArray[np.bool_]:
        lower[gap], upper[gap] = np.maximum(lower[gap], found[0]), np.minimum(upper[gap], found[1])
        return (upper > lower * (1 + _LOOSE)) & (upper > _DEEP)

    gap = upper > lower * (1 + _LOOSE)
    if gap.any():
        gap = narrow(gap, _always(parts, direction, epsilon[gap]))
    if gap.any() and parts.mu2 == 0.0 and len(parts.sampled) == 1 and parts.sampled[0][1] == 1:
        gap = narrow(gap, _one_step(*parts.sampled[0][0], direction, epsilon[gap]))
    if gap.any():
        narrow(gap, loss_lattice.delta_bounds(parts, direction, epsilon[gap]))
    return np.minimum(lower, upper), upper


def _one_step(rate: float, sigma: float, direction: int, epsilon: Array) -> tuple[Array, Array]:
    """One sampled Gaussian in closed form, by the Gaussian's own profile at another epsilon.

    remove: rate * delta_G(log(1 + (e^eps - 1) / rate)) (Balle, Barthe & Gaboardi 2018, Theorem 8);
    add: with r = 1 - (1 - rate) e^eps > 0 it is r * delta_G(log(rate e^eps / r)), and 0 otherwise.
    """
    if direction == REMOVE:
        at = np.logaddexp(0.0, epsilon - math.log(rate) + np.log(-np.expm1(-epsilon) + 1e-300))
        scale = np.full_like(epsilon, rate)
    else:
        scale = -np.expm1(np.minimum(epsilon + math.log1p(-rate), 0.0))
        with np.errstate(divide="ignore"):
            at = np.where(scale > 0, math.log(rate) + epsilon - np.log(scale), np.inf)
        at = np.minimum(at, 1e300)
    relative = 1e-14 + (4e-16 / np.maximum(scale, 1e-16) if direction == ADD else 0.0)
    slack = 1e-14 * (1 + np.abs(at)) + relative
    upper = gaussian.delta_bounds(1 / sigma * (1 + _ROUNDING), at - slack)[1] * scale
    lower = gaussian.delta_bounds(1 / sigma * (1 - _ROUNDING), at + slack)[0] * scale
    nothing = scale < 1e-14  # delta is at most `scale`, which is rounding here
    lower = np.where(nothing, 0.0, lower * (1 - np.minimum(relative, 1.0)))
    upper = np.where(nothing, scale + 1e-15, upper * (1 + relative))
    return lower, np.minimum(upper, 1.0)


def _always(parts: Parts, direction: int, epsilon: Array) -> tuple[Array, Array]:
    """Bounds that always exist: below the Gaussians alone, above the least of three."""
    by_moments = np.maximum(rdp.log_delta(moments(parts, direction), epsilon), -690.0)
    least = np.exp(by_moments) * (1 + 1e-12)
    # Sampling never hurts: with every unit in every sample it is one Gaussian.
    unsampled = parts.mu2 + sum(count * sigma**-2 for (_, sigma), count in parts.sampled)
    least = np.minimum(least, _gaussian(unsampled * (1 + 1e-14), epsilon)[1])
    # Total variations add up, and q of one step's counts: the bound that matters for tiny q.
    steps = sum(
        count * rate * float(gaussian.delta(1 / sigma, 0.0))
        for (rate, sigma), count in parts.sampled
    )
    total = (steps + float(gaussian.delta(math.sqrt(parts.mu2), 0.0))) * (1 + 1e-12)
    return _gaussian(parts.mu2, epsilon)[0], np.minimum(least, min(total, 1.0))


def moments(parts: Parts, direction: int) -> Array:
    """Upper log moments on `rdp.ORDERS`, cascades apart; infinite where a loss may be infinite."""
    total = rdp.gaussian(parts.mu2)
    for (rate, sigma), count in parts.sampled:
        total = total + count * rdp.subsampled(rate, sigma)[direction]
    for step, count in parts.others:
        total = total + count * _step_moments(step, direction)
    return total


@lru_cache(maxsize=64)
def _step_moments(step: Step, direction: int) -> Array:
    logs, infinite = log_moments(step, direction, rdp.ORDERS)
    return logs if infinite == 0.0 else np.full_like(logs, np.inf)


def _gaussian(mu2: float, epsilon: Array) -> tuple[Array, Array]:
    # A sum of squares and its root, each rounded to nearest: a few ulp outward cover both.
    root = math.sqrt(mu2)
    lower = gaussian.delta_bounds(root * (1 - _ROUNDING), epsilon)[0]
    return lower, gaussian.delta_bounds(root * (1 + _ROUNDING), epsilon)[1]
