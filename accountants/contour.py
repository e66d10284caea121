"""delta of composed Gaussians and Poisson-sampled Gaussians, certified from both sides.

With K(s) = log E_P[e^{sL}] of the whole composition and s = theta + i w (Zhu, Dong & Wang 2022; the
damped inversion of Carr & Madan 1999),

    delta(eps) = (1 / 2 pi) * integral over w of exp(K(s) - s eps) / (s (s + 1)).

One trapezoid rule in w takes it. Aliasing only adds, so the sum is an upper bound once what was cut
off, quadrature and rounding are added; a lower bound takes them and the aliasing off. Plain
Gaussians enter when a question is asked, so that one contour serves many sums of mu^2.
CERTIFICATE.md proves the lemmas that are named here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountants.parts import Sampled
from accountants.rdp import conversion
from accountants.tail import tail_of
from accountants.tilted import ONE_MORE, ULP, Tilted, tilt

Array = NDArray[np.float64]

_MOST_FREQUENCIES = 20_000
_MOST_PRODUCT = 200_000_000  # frequencies times quadrature nodes
# Lengths that are tried, from the shortest possible on.
_LONGER: Array = 1.08 ** np.arange(100, dtype=np.float64)
_LIMIT = 700.0


@dataclass(frozen=True, eq=False)
class Contour:
    """The sampled steps' part of the integrand along one vertical line.

    Attributes:
        theta: the line's real part. log_moment: K(theta), with `log_error` on it. step: D.
        frequencies: (n,) w = 0, D, ...
        weight: (n,) 1 / |s (s + 1)|, the first one halved.
        logs: (n,) log |phi(w)|, phi(w) = exp(K(s) - K(theta)).
        phases: (n,) of phi(w) / (s (s + 1)).
        above, relative: (n,) bounds on the true log |phi|, and on the rounding of phi.
        beyond: log of a bound on |phi| past the last frequency.
        ahead, moments: (m,) theta's right of the line, and upper K there.
    """

    theta: float
    log_moment: float
    log_error: float
    step: float
    frequencies: Array
    weight: Array
    logs: Array
    phases: Array
    above: Array
    relative: Array
    beyond: float
    ahead: Array
    moments: Array

    def bounds(self, mu2: Array, epsilon: Array) -> tuple[Array, Array]:
        """Return certified (lower, upper) delta for each pair of mu^2 and (real) epsilon, (k,).

        Guarantee:
            lower <= delta(epsilon) <= upper: aliasing (Lemma 1), quadrature (Lemmas 2 and 3),
            rounding (Lemma 4) and truncation (Lemmas 5 to 7) are each bounded and added.
        """
        w, theta = self.frequencies, self.theta
        half = (0.5 * mu2)[:, None]
        falling = half * (w * w)
        turning = (half * (2 * theta + 1) - epsilon[:, None]) * w
        with np.errstate(under="ignore"):
            sizes = np.exp(self.logs - falling) * self.weight
            highest = np.exp(self.above - falling) * self.weight
        turned = self.phases + turning
        total = (sizes * np.cos(turned)).sum(axis=1)
        spun = (half * (2 * theta + 1) + np.abs(epsilon)[:, None]) * w
        rounding = self.relative + ULP * (
            16 * (falling + spun + np.abs(turned)) + 4 * np.abs(self.logs) + (w.size + 64)
        )
        apart = np.maximum(highest - sizes, 0.0) + sizes * np.expm1(np.minimum(rounding, _LIMIT))
        error = apart.sum(axis=1) * ONE_MORE
        last = float(w[-1])
        with np.errstate(under="ignore"):
            cut = np.exp(self.beyond - falling[:, -1]) / (math.pi * last) * ONE_MORE
        scale = self.step / math.pi
        moment = self.log_moment + half[:, 0] * (theta * (theta + 1))
        exponent = moment - theta * epsilon
        slack = self.log_error + 16 * ULP * (np.abs(moment) + theta * np.abs(epsilon) + 4)
        sides = np.stack([(total - error) * scale - cut, (total + error) * scale + cut])
        lower, upper = _scaled(sides, exponent + np.stack([-slack, slack]))
        return lower - self._aliases(mu2, epsilon), np.minimum(upper, 1.0)

    def _aliases(self, mu2: Array, epsilon: Array) -> Array:
        """Bound what the sum holds of delta(eps + 2 pi k / D), k != 0: Lemma 1."""
        period = 2 * math.pi / self.step
        left = 1 / math.expm1(min(self.theta * period, _LIMIT))
        t = self.ahead
        rates = (t - self.theta) * period
        fixed = conversion(t) + self.moments - rates - np.log(-np.expm1(-rates))
        logs = fixed - np.multiply.outer(epsilon, t) + np.multiply.outer(0.5 * mu2, t * (t + 1))
        with np.errstate(under="ignore"):
            right = np.exp(np.minimum(logs.min(axis=1), _LIMIT))
        bound: Array = (left + right) * ONE_MORE
        return bound


class Offer(NamedTuple):
    """Where a contour may lie. The cheaper one of two is the smaller one.

    cost: about its number of frequencies. theta. period: 2 pi / D. shortest: a frequency before
    which it cannot end. allowed: log of what may be cut off, relative to e^{K(theta) - theta eps}.
    """

    cost: float
    theta: float
    period: float
    shortest: float
    allowed: float


def contour(
    sampled: Sampled, direction: int, least_mu2: float, offer: Offer, ahead: tuple[Array, Array]
) -> Contour | None:
    """Return the line at theta; None where its length cannot be proved to suffice.

    Args:
        least_mu2: what plain Gaussians damp the tail by at least. ahead: see `Contour`.
    """
    theta, step = offer.theta, 2 * math.pi / offer.period
    w = offer.shortest * _LONGER
    beyond = _log_beyond(sampled, direction, theta, w)
    left = beyond - 0.5 * least_mu2 * w * w - np.log(np.pi * w)  # Lemma 7
    enough = np.flatnonzero(left <= offer.allowed)
    if not enough.size or w[enough[0]] / step > _MOST_FREQUENCIES:
        return None
    count = math.ceil(w[enough[0]] / step) + 1
    last = step * (count - 1)
    laws = [tilt(rate, sigma, direction, theta, last) for (rate, sigma), _ in sampled]
    found = [law for law in laws if law is not None and law.mass.size * count <= _MOST_PRODUCT]
    if len(found) < len(laws):
        return None
    return _evaluated(sampled, found, theta, step, count, float(beyond[enough[0]]), ahead)


def _log_beyond(sampled: Sampled, direction: int, theta: float, w: Array) -> Array:
    """log of a bound on |phi| over [w, infinity): every kind of step damps by itself."""
    logs = np.zeros_like(w)
    for (rate, sigma), count in sampled:
        logs = logs + count * tail_of(rate, sigma, direction, theta).log_beyond(w)
    return logs


def _evaluated(
    sampled: Sampled,
    laws: list[Tilted],
    theta: float,
    step: float,
    count: int,
    beyond: float,
    ahead: tuple[Array, Array],
) -> Contour:
    """Evaluate phi at all frequencies, with its errors: Lemma 4."""
    w = step * np.arange(count, dtype=np.float64)
    logs, phases = np.zeros_like(w), np.zeros_like(w)
    above, relative = np.zeros_like(w), np.zeros_like(w)
    log_moment = log_error = 0.0
    for law, (_, times) in zip(laws, sampled, strict=True):
        x, y, error = law.shifted(step, count)
        near = np.log1p(np.maximum(x * (2 + x) + y * y, -0.9)) * 0.5
        modulus = np.where(x > -0.5, near, np.log(np.maximum(np.hypot(1 + x, y), 1e-300)))
        angle = np.arctan2(y, 1 + x)
        logs = logs + times * modulus
        phases = phases + times * (angle + law.centre * w)
        # log(|rho| + error), without leaving the neighbourhood of 1 by way of a rounded exp
        above = above + times * (modulus + np.log1p(error * np.exp(-modulus)) + 4 * ULP * error)
        distance = np.abs(x) + y * y + np.abs(y) + np.abs(modulus)
        relative += 8 * ULP * times * (distance + np.abs(angle) + np.abs(law.centre * w))
        log_moment += times * law.log_moment
        log_error += times * (law.log_error + 4 * ULP * abs(law.log_moment))
    s = theta + 1j * w
    weight = 1 / (s * (s + 1))
    weight[0] *= 0.5
    return Contour(
        theta=theta,
        log_moment=log_moment,
        log_error=log_error,
        step=step,
        frequencies=w,
        weight=np.abs(weight),
        logs=logs,
        phases=phases + np.angle(weight),
        above=above,
        relative=relative,
        beyond=beyond,
        ahead=ahead[0],
        moments=ahead[1],
    )


def _scaled(value: Array, exponent: Array) -> Array:
    """value * e^exponent, rounded outward; the factors alone may be outside of the floats."""
    with np.errstate(divide="ignore"):
        log = np.log(np.abs(value))
    outward = np.sign(value) * 4 * ULP * (np.abs(exponent) + np.abs(np.maximum(log, -_LIMIT)) + 8)
    with np.errstate(under="ignore"):
        size = np.exp(np.minimum(log + exponent + outward, _LIMIT))
    scaled: Array = np.sign(value) * size
    return scaled
