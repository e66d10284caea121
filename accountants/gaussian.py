"""The Gaussian mechanism's privacy profile, exactly.

delta(epsilon) = Phi(-epsilon/mu + mu/2) - e^epsilon Phi(-epsilon/mu - mu/2)
(Balle & Wang 2018, Theorem 8; Dong, Roth & Su 2022, Corollary 2.13). With z = epsilon/mu - mu/2
and Mills' ratio M(z) = Phi(-z)/phi(z) this is phi(z) (M(z) - M(z + mu)): no large number is ever
formed, so epsilon may be any real and mu may be thousands. Composition adds mu^2.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx

from accountants.errors import AccountingError

Array = NDArray[np.float64]

_UNIT = 2.0**-52
_ROOT_HALF = math.sqrt(0.5)
_OFFSETS: Array = np.linspace(-1.0, 1.0, 65) * 4e-14
_PHI_0 = 0.5  # phi(z) M(z) = exp(-z^2/2) erfcx(z / sqrt 2) / 2


def delta(mu: float, epsilon: ArrayLike) -> Array:
    """delta of a mu-GDP mechanism at each (real) epsilon; same shape as `epsilon`."""
    value, _ = _delta(mu, np.asarray(epsilon, dtype=np.float64))
    return value


def delta_bounds(mu: float, epsilon: ArrayLike) -> tuple[Array, Array]:
    """delta with its floating-point error taken off and added: certified (lower, upper)."""
    at = np.asarray(epsilon, dtype=np.float64)
    value, error = _delta(mu, at)
    floor = np.abs(np.expm1(np.minimum(at, 0.0)))
    return np.maximum(value - error, floor * (1 - 4 * _UNIT)), np.minimum(value + error, 1.0)


def epsilon(mu: float, delta: float) -> float:
    """The epsilon >= 0 at which a mu-GDP mechanism has this delta.

    Raises:
        AccountingError: mu is negative or not finite, or delta lies outside (0, 1).
    """
    low, high = epsilon_bounds(mu, delta)
    return low + (high - low) / 2


@lru_cache(maxsize=4096)
def epsilon_bounds(mu: float, delta: float, relative: float = 0.0) -> tuple[float, float]:
    """`epsilon` as a bracket that includes rounding: (lower, upper), about 1e-13 apart.

    Args:
        relative: how far off mu itself may be; small.

    Guarantee:
        delta(upper) <= delta even after the error of evaluating it is added.
    """
    _check_mu(mu)
    check_delta(delta)
    if mu == 0.0:
        return 0.0, 0.0

    def bounds(z: Array) -> tuple[Array, Array]:
        value, error = _delta_at(mu, z)
        # delta grows with mu at the rate phi(z).
        with np.errstate(under="ignore"):
            error = error + (0.5 * relative * mu) * np.exp(-0.5 * z * z)
        return value - error, value + error

    def upper_fails(z: Array) -> NDArray[np.bool_]:
        return bounds(z)[1] > delta

    def lower_fails(z: Array) -> NDArray[np.bool_]:
        return bounds(z)[0] > delta

    near = _near_crossing(mu, delta, bounds)
    if near is not None:
        return _from_z(mu, near[0], -1.0), _from_z(mu, near[1], 1.0)
    # epsilon = mu z + mu^2/2 >= 0 means z >= -mu/2; Phi(-40) is 0 next to any delta > 1e-300.
    upper = _crossing(upper_fails, -mu / 2, 40.0)[1]
    lower = _crossing(lower_fails, -mu / 2, 40.0)[0]
    return _from_z(mu, lower, -1.0), _from_z(mu, upper, 1.0)


def mu(epsilon: float, delta: float) -> float:
    """The largest mu whose profile is at most delta at epsilon (delta grows with mu).

    Raises:
        AccountingError: epsilon is negative or not finite, or delta lies outside (0, 1).
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise AccountingError(f"epsilon={epsilon} is not a finite number >= 0. Pass one.")
    check_delta(delta)

    def meets(values: Array) -> NDArray[np.bool_]:
        z = epsilon / values - values / 2
        value, error = _delta_at(values, z, epsilon, epsilon + values * values)
        return value + error <= delta

    # Phi(-epsilon/mu + mu/2) = delta has its mu below sqrt(2 epsilon) + 80 for every delta < 1.
    return _crossing(meets, 1e-12, math.sqrt(2 * epsilon) + 80.0)[0]


def check_delta(delta: float) -> None:
    """Raise AccountingError unless 0 < delta < 1."""
    if not 0.0 < delta < 1.0:
        raise AccountingError(
            f"delta={delta} lies outside (0, 1), so no epsilon follows. Pass a probability well "
            "below one over the number of units, such as 1e-5."
        )


def _check_mu(mu: float) -> None:
    if not (math.isfinite(mu) and mu >= 0):
        raise AccountingError(f"mu={mu} is not a finite number >= 0, so no epsilon follows.")


def _delta(mu: float, at: Array) -> tuple[Array, Array]:
    """(delta, bound on its rounding error), elementwise."""
    _check_mu(mu)
    if mu < 1e-150:
        exact = np.maximum(0.0, -np.expm1(np.minimum(at, 0.0)))
        return exact, np.full_like(exact, mu)  # total variation is at most mu / sqrt(2 pi)
    with np.errstate(over="ignore"):
        z = np.clip(at / mu - mu / 2, -1e150, 1e150)
        size = np.abs(at) + mu * mu
    return _delta_at(mu, z, at, size)


def _delta_at(
    mu: Array | float, z: Array, epsilon: Array | float = 0.0, size: Array | float = 0.0
) -> tuple[Array, Array]:
    """The same with z = epsilon/mu - mu/2 given.

    `epsilon` itself only matters where it is below -mu^2/2; `size`, times an ulp, bounds the error
    of mu z.
    """
    far = z + mu
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        # e^epsilon phi(z + mu) = phi(z), and Phi(-x) is 1 less its mirror image for negative x.
        density = np.exp(z * z * -0.5) * _PHI_0
        near_term = density * erfcx(np.abs(z) * _ROOT_HALF)
        far_term = density * erfcx(np.abs(far) * _ROOT_HALF)
        difference = np.copysign(near_term, z) - np.copysign(far_term, far)
        value = difference + np.signbit(z)  # the sign that copysign saw, also at -0.0
        left = np.signbit(far)
        if left.any():
            growth = np.where(left, np.exp(np.minimum(epsilon, 0.0)), 0.0)
            value, moving = value - growth, far_term + growth
        else:
            moving = far_term
        # Both terms share the density, so its error (z^2 ulp) counts on their difference only;
        # an error dz moves delta by mu * e^epsilon Phi(-z - mu) * dz.
        relative = z * z * np.abs(difference) + size * moving + 4 * (z <= 0)
        error = _UNIT * (16 * (near_term + far_term) + relative) + 1e-300
    deep = np.abs(z) > 38.0  # Phi(-38) < 1e-300
    if deep.any():
        floor = np.maximum(-np.expm1(np.minimum(epsilon, 0.0)), 0.0)
        value = np.where(deep, np.where(z > 0, 0.0, np.where(far > 0, 1.0, floor)), value)
        error = np.where(deep, np.where(z > 0, 1e-300, 4 * _UNIT), error)
    return np.maximum(value, 0.0), np.minimum(error, 1.0)


def _from_z(mu: float, z: float, side: float) -> float:
    """mu z + mu^2/2, moved outward by its own rounding."""
    terms = mu * abs(z) + mu * mu / 2
    return float(max(0.0, mu * z + mu * mu / 2 + side * 4 * _UNIT * terms))


def _near_crossing(
    mu: float, delta: float, bounds: Callable[[Array], tuple[Array, Array]]
) -> tuple[float, float] | None:
    """(last certainly failing, first certainly meeting) z near where Newton's method ends.

    None where it does not settle, or where rounding is wider than the points that are tried.
    """
    target, z = math.log(delta), max(-mu / 2, 0.0)
    for _ in range(30):
        # delta = phi(z) (M(z) - M(z + mu)), and its derivative in z is -mu phi(z) M(z + mu).
        density = math.exp(-0.5 * min(z * z, 1400.0)) * _PHI_0
        far = density * float(erfcx((z + mu) * _ROOT_HALF))
        value = density * float(erfcx(z * _ROOT_HALF)) - far
        if not (value > 1e-290 and far > 0.0):
            return None
        step = (math.log(value) - target) * value / (mu * far)
        z = max(z + min(step, 4.0), -mu / 2)
        if abs(step) < 1e-12 * (1 + abs(z)):
            break
    else:
        return None
    points = z + _OFFSETS * (1 + abs(z))
    points = points[points >= -mu / 2]
    lower, upper = bounds(points)
    failing, meeting = np.flatnonzero(lower > delta), np.flatnonzero(upper <= delta)
    if not (failing.size and meeting.size):
        return None
    return float(points[failing[-1]]), float(points[meeting[0]])


def _crossing(
    holds: Callable[[Array], NDArray[np.bool_]], low: float, high: float
) -> tuple[float, float]:
    """Neighbouring (last where `holds`, first where not); `holds` turns false once on [low, high].

    64 points at a time: one vectorised call costs hardly more than one number.
    """
    if not holds(np.array([low]))[0]:
        return low, low
    for _ in range(40):
        points = np.linspace(low, high, 66)
        inner = points[(points > low) & (points < high)]
        if not inner.size:
            break
        failed = np.flatnonzero(~holds(inner))
        first = int(failed[0]) if failed.size else inner.size
        low = float(inner[first - 1]) if first > 0 else low
        high = float(inner[first]) if first < inner.size else high
    return low, high
