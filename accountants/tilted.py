"""One Poisson-sampled Gaussian step under an exponential tilt, with every error bounded.

With u(z) = 1 - q + q exp(z/sigma - 1/(2 sigma^2)) and z ~ N(0, 1), a step's privacy loss L has

    remove:  L = log u,   E_P[e^{sL}] = E[u^{s+1}]
    add:     L = -log u,  E_P[e^{sL}] = E[u^{-s}]

For s = theta + i w the moment is M(theta) rho(w), where rho is the characteristic function of L
under the law tilted by theta. Both come from one trapezoid rule on nodes z_j = j h: masses g_j of
the tilted law, so that rho(w) = sum g_j e^{i w L_j} / sum g_j. CERTIFICATE.md proves the lemmas
that are named here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accountants.steps import REMOVE

Array = NDArray[np.float64]

ULP = 2.0**-53
_STRIP: Array = np.linspace(0.03, 0.99, 33)  # a / (pi sigma)
_LOG_COS: Array = np.log(np.cos(_STRIP * math.pi / 2))  # of a / (2 sigma)
_MARGINS = (10.0, 13.0, 18.0, 26.0, 40.0)  # standard deviations beyond both peaks
_LEAST_OUTSIDE = 1e-20  # relative mass that nodes beyond the window may have
_MOST_NODES = 100_000
ONE_MORE = 1.01  # covers products of small errors and the rounding of bounds themselves


@dataclass(frozen=True, eq=False)
class Tilted:
    """The tilted law on quadrature nodes, and the errors of what is computed from it.

    Attributes:
        log_moment: log M(theta), with `log_error` on it. variance: about that of L.
        centre: c, any number near the tilted mean of L. loss: (n,) L_j - c. mass: (n,), sum 1.
        spread: sum of mass |loss|.
        loss_error, mass_error, cross_error: sums of mass times the rounding of L_j, the relative
            rounding of g_j, and that times |loss|.
        discretisation: bound on |sum - integral| / M(theta), for every |w| up to what was asked.
    """

    log_moment: float
    log_error: float
    variance: float
    centre: float
    loss: Array
    mass: Array
    spread: float
    loss_error: float
    mass_error: float
    cross_error: float
    discretisation: float

    def shifted(self, step: float, count: int) -> tuple[Array, Array, Array]:
        """Return (x, y, error) at w = 0, step, ..., (count,) each: Lemma 4.

        rho(w) e^{-i w c} - 1 = x + i y, off by at most `error`. All errors but the
        discretisation's are in proportion to the distance from 1, so that many steps of a small
        rate do not drown in rounding. With w = w1 + w2, a = e^{i w1 l} - 1 and b = e^{i w2 l} - 1
        that distance is a + b + a b: few sines, and a matrix product.
        """
        rows = math.isqrt(count - 1) + 1
        coarse = self._turned(step * rows * np.arange(-(-count // rows), dtype=np.float64))
        fine = self._turned(step * np.arange(rows, dtype=np.float64))
        both = (coarse * self.mass) @ fine.T
        both += (coarse @ self.mass)[:, None] + (fine @ self.mass)
        found = both.ravel()[:count]
        size = step * np.arange(count, dtype=np.float64)
        apart = np.minimum(2.0, size * self.spread)
        weights = np.minimum(2.0 * self.mass_error, size * self.cross_error)
        rounding = (
            size * self.loss_error
            + 24 * ULP * size * self.spread
            + 4 * (self.mass.size + 16) * ULP * apart
            + 4 * weights
            + 4 * apart * self.mass_error
        )
        discretisation = 2 * self.discretisation / (1 - self.discretisation)
        error: Array = ONE_MORE * rounding + discretisation
        return found.real, found.imag, error

    def _turned(self, w: Array) -> NDArray[np.complex128]:
        """e^{i w l} - 1 for each frequency and node, accurate where it is small."""
        angle = np.multiply.outer(w, self.loss)
        half = np.sin(0.5 * angle)
        turned = np.empty(angle.shape, dtype=np.complex128)
        turned.real, turned.imag = -2.0 * half * half, np.sin(angle)
        return turned


@dataclass(frozen=True, eq=False)
class Laws:
    """Unnormalised masses for m tilts on shared nodes; rows belong to tilts."""

    spacing: float
    log_u: Array  # (n,)
    share: Array  # (n,), of q exp(...) in u
    error: Array  # (n,), on log_u
    masses: Array  # (m, n), times e^-top
    relative: Array  # (m, n), error of each mass
    top: Array  # (m,)
    total: Array  # (m,)
    outside: Array  # (m,), mass of the nodes that were left out, over the total

    @property
    def log_moments(self) -> tuple[Array, Array]:
        """Return (log M, bound on its rounding and on what was left out), both (m,)."""
        scale = math.log(self.spacing / math.sqrt(2 * math.pi))
        value = np.log(self.total) + self.top + scale
        relative = np.einsum("mn,mn->m", self.masses, self.relative) / self.total
        size = np.abs(value) + np.abs(self.top) + abs(scale) + 4
        error = relative + (self.log_u.size + 8) * ULP + 4 * ULP * size
        return value, ONE_MORE * error


@lru_cache(maxsize=1024)
def log_moments(
    rate: float, sigma: float, direction: int, thetas: tuple[float, ...]
) -> Array | None:
    """Return upper bounds of log M at these tilts (ascending); None where nodes do not suffice."""
    powers = np.array(thetas) + 1 if direction == REMOVE else -np.array(thetas)
    laws = laws_of(rate, sigma, direction, powers, 0.0)
    if laws is None:
        return None
    value, error = laws.log_moments
    strip = _strip(laws.spacing, sigma, direction, np.array(thetas), 0.0)
    lost = strip + laws.outside * (1 + strip)
    upper: Array = value + error - np.log1p(-np.minimum(lost, 0.5))
    return upper


def tilt(rate: float, sigma: float, direction: int, theta: float, reach: float) -> Tilted | None:
    """Return the step tilted by theta, good for |w| <= reach; None where nodes do not suffice.

    Args:
        rate: in (0, 1). sigma: noise multiplier. theta: > 0.
    """
    power = theta + 1 if direction == REMOVE else -theta
    laws = laws_of(rate, sigma, direction, np.array([power]), reach)
    if laws is None:
        return None
    strip = float(_strip(laws.spacing, sigma, direction, np.array([theta]), reach)[0])
    discretisation = strip + float(laws.outside[0]) * (1 + strip)
    if discretisation > 1e-3:
        return None
    mass, relative = laws.masses[0] / laws.total[0], laws.relative[0]
    losses = laws.log_u if direction == REMOVE else -laws.log_u
    centre = float(mass @ losses)
    loss = losses - centre
    size, (value, error) = np.abs(loss), laws.log_moments
    square = float(mass @ (size * size))
    return Tilted(
        log_moment=float(value[0]),
        log_error=float(error[0]) - math.log1p(-discretisation),
        variance=square,
        centre=centre,
        loss=loss,
        mass=mass,
        spread=float(mass @ size) * ONE_MORE,
        loss_error=float(mass @ laws.error) * ONE_MORE,
        mass_error=float(mass @ relative) * ONE_MORE,
        cross_error=float((mass * size) @ relative) * ONE_MORE,
        discretisation=discretisation,
    )


def laws_of(
    rate: float, sigma: float, direction: int, powers: Array, reach: float, finer: float = 1.0
) -> Laws | None:
    """Take nodes about both peaks, close enough for |w| <= reach, far enough out for each power."""
    strongest = float(np.abs(powers).max())
    theta = strongest - 1 if direction == REMOVE else strongest
    spacing = _spacing(sigma, direction, max(theta, 0.0), reach) / finer
    for margin in _MARGINS:
        first, last = -margin, margin
        if direction == REMOVE:
            last += strongest / sigma
        else:
            first -= math.sqrt(2 * theta * -math.log1p(-rate))
        if (last - first) / spacing > _MOST_NODES:
            return None
        indices = np.arange(
            math.floor(first / spacing), math.ceil(last / spacing) + 1, dtype=np.float64
        )
        laws = _on_nodes(indices * spacing, spacing, rate, sigma, powers)
        if (laws.outside < _LEAST_OUTSIDE).all():
            return laws
    return None


def _on_nodes(nodes: Array, spacing: float, rate: float, sigma: float, powers: Array) -> Laws:
    log_p, log_q, half = math.log1p(-rate), math.log(rate), 1 / (2 * sigma * sigma)
    joined = log_q + (nodes / sigma - half)
    log_u = np.logaddexp(log_p, joined)
    distance = np.abs(joined - log_p)
    with np.errstate(under="ignore"):
        share = np.minimum(np.exp(joined - log_u), 1.0)
        least = np.exp(-distance)
    error = (
        share * (3 * ULP * (abs(log_q) + np.abs(nodes) / sigma + half))
        + 2 * ULP * abs(log_p)
        + 4 * ULP * np.abs(log_u)
        + 8 * ULP * least * (1 + distance)
    )
    raised = powers[:, None] * log_u
    exponent = raised - 0.5 * nodes * nodes
    top = exponent.max(axis=1)
    with np.errstate(under="ignore"):
        masses = np.exp(exponent - top[:, None])
    relative = np.abs(powers)[:, None] * error + ULP * (
        2 * nodes * nodes + 4 * np.abs(raised) + np.abs(top)[:, None] + 16
    )
    total = masses.sum(axis=1)
    outside = _outside(nodes, masses, share, spacing, sigma, powers) / total
    return Laws(spacing, log_u, share, error, masses, relative, top, total, outside)


def _outside(
    nodes: Array, masses: Array, share: Array, spacing: float, sigma: float, powers: Array
) -> Array:
    """Mass of all nodes beyond the window, (m,): Lemma 3, geometric series from the end nodes.

    To the right log u rises by at most z / sigma, to the left it falls by at most share z / sigma.
    """
    right = nodes[-1] - np.maximum(powers, 0.0) / sigma
    left = -nodes[0] - np.maximum(-powers, 0.0) * share[0] / sigma
    with np.errstate(divide="ignore", over="ignore"):
        beyond = masses[:, -1] / np.expm1(np.maximum(right, 0.0) * spacing)
        before = masses[:, 0] / np.expm1(np.maximum(left, 0.0) * spacing)
    bound: Array = np.where((right > 0) & (left > 0), (beyond + before) * ONE_MORE, np.inf)
    return bound


def _spacing(sigma: float, direction: int, theta: float, reach: float) -> float:
    """Node spacing h with which the trapezoid rule's error is e^-50 for every |w| <= reach."""
    a = _STRIP * math.pi * sigma
    needed = 2 * math.pi * a / (_log_growth(sigma, direction, np.array([theta]), reach)[0] + 50.0)
    return float(min(needed.max(), 0.5))


def _strip(spacing: float, sigma: float, direction: int, theta: Array, reach: float) -> Array:
    """Bound on the trapezoid rule's error over M(theta): 2 sup / (e^{2 pi a / h} - 1), Lemma 2."""
    decay = 2 * math.pi * math.pi * sigma / spacing * _STRIP
    logs = _log_growth(sigma, direction, theta, reach) - decay - np.log(-np.expm1(-decay))
    bound: Array = 2.0 * np.exp(np.minimum(logs.min(axis=1), 0.0)) * ONE_MORE
    return bound


def _log_growth(sigma: float, direction: int, theta: Array, reach: float) -> Array:
    """log of sup over |y| <= a of the integral along Im z = y, over M(theta), (m, a): Lemma 2."""
    a = _STRIP * math.pi * sigma
    growth = 0.5 * a * a + reach * a / sigma
    if direction == REMOVE:
        return np.broadcast_to(growth, (theta.size, a.size))
    grown: Array = growth - np.multiply.outer(theta, _LOG_COS)
    return grown
