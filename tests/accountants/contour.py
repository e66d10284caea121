"""The contour of `reference.py`: log moments of sampled Gaussians on the nodes of a vertical line.

    delta(epsilon) = 1/(2 pi) Int exp(K(s) - s epsilon) / (s (s + 1)) dw,   s = theta + i w,

by the trapezoid rule in w, and inside K again in z ~ N(0, 1), where e^{s L} is u^{s+1} (remove) or
u^{-s} (add) with u(z) = 1 - q + q exp(z/sigma - 1/(2 sigma^2)). What is left out on either axis is
below 1e-18 of delta.

A node's phases u^{i w}, frequency after frequency, are the powers of one complex number. They lie
on the unit circle and the tilted weights in [0, 1]: integers, scaled by 2^BITS, hold both.
"""

import math

import mpmath as mp
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

REMOVE, ADD = 1, -1
BITS = 190
NEGLIGIBLE = 44.0  # natural log: 1e-19 of delta
FAR_NODE = 110.0  # natural log: 1e-48 of the tilted moment
THETAS = np.geomspace(1e-2, 3e4, 240)
MOST_NODES = 40_000
TAPER = (14.0, 10.0)  # width times distance to the edge; centre over width


class Contour:
    """K on the nodes of one vertical line through the saddle, for epsilons near the given one."""

    def __init__(self, mechanism, direction, epsilon, shift=1.0):
        at = float(epsilon)
        saddle = shift * _saddle(mechanism, direction, at)
        # Left of the saddle rare huge losses weigh less, and the aliases may be nearer.
        period, theta = min(
            (_period(mechanism, direction, saddle * part, at), saddle * part)
            for part in (1.0, 0.8, 0.65, 0.5)
        )
        spread = min(_spread(mechanism, direction, theta * part) for part in (0.2, 0.5, 1.0))
        self.epsilon, self.theta = mp.mpf(epsilon), mp.mpf(float(theta))
        self.step, self.top, self.terms = 2 * mp.pi / mp.mpf(period), mp.mpf(0), []
        width = _taper(mechanism, direction, at, spread)
        most = math.ceil((TAPER[1] + 6.6) * width / float(self.step))
        first, end = 0, min(most, max(8, math.ceil(8 / spread / float(self.step))))
        while True:
            self._extend(mechanism, direction, first, end)
            last = max(abs(term) for term in self.terms[-max(1, len(self.terms) // 8) :])
            # |phi|/|s (s+1)| falls at least like 1/w^2 beyond, so the tail is at most last * end.
            if last * end < mp.exp(-NEGLIGIBLE) * abs(self._sums(self.epsilon)[0]):
                return
            if end == most:
                break
            first, end = end, min(2 * end, most)
        for n, term in enumerate(self.terms):
            self.terms[n] = term * mp.erfc(n * self.step / width - TAPER[1]) / 2

    def log_delta(self, epsilon):
        """log delta(epsilon) and its derivative."""
        value, turned = self._sums(epsilon)
        log = self.top - self.theta * epsilon + mp.log(value * self.step / mp.pi)
        return log, -self.theta - turned / value

    def _sums(self, epsilon):
        """Real parts of the sums of c_n e^{-i w_n epsilon} and of i w_n c_n e^{-i w_n epsilon}."""
        turn = mp.expj(-self.step * epsilon)
        total = derivative = mp.mpc(0)
        for term in reversed(self.terms):
            derivative = derivative * turn + total
            total = total * turn + term
        return total.real, (derivative * turn * mp.mpc(0, self.step)).real

    def _extend(self, mechanism, direction, first, end):
        """Terms exp(K(s) - K(theta)) / (s (s + 1)) of the frequencies first, ..., end - 1."""
        frequencies = [n * self.step for n in range(first, end)]
        logs = [mechanism.mu2 * (mp.mpc(self.theta, w) * mp.mpc(self.theta + 1, w)) / 2
                for w in frequencies]  # fmt: skip
        for rate, sigma, steps in mechanism.sampled:
            moments = self._moments(rate, sigma, direction, first, end)
            logs = [log + steps * mp.log(m) for log, m in zip(logs, moments, strict=True)]
        if first == 0:
            self.top = logs[0].real
        for log, w in zip(logs, frequencies, strict=True):
            s = mp.mpc(self.theta, w)
            self.terms.append(mp.exp(log - self.top) / (s * (s + 1)) / (2 if w == 0 else 1))

    def _moments(self, rate, sigma, direction, first, end):
        """E_P[e^{s L}] of one step at those frequencies."""
        power = self.theta + 1 if direction == REMOVE else -self.theta
        h = _spacing(rate, sigma, float(power), float(end * self.step))
        log_u, log_weight = _nodes(rate, sigma, power, h)
        top = max(log_weight)
        scale = mp.mpf(2) ** BITS
        turn, start = [], []
        for value, weight in zip(log_u, log_weight, strict=True):
            angle = direction * self.step * value
            turn.append(mp.expj(angle) * scale)
            start.append(mp.exp(weight - top) * mp.expj(first * angle) * scale)
        cos, sin, re, im = (
            np.array([int(mp.nint(x)) for x in part], dtype=object)
            for part in ([t.real for t in turn], [t.imag for t in turn],
                         [t.real for t in start], [t.imag for t in start])
        )  # fmt: skip
        factor = mp.mpf(h) / mp.sqrt(2 * mp.pi) * mp.exp(top) / scale
        found = []
        for _ in range(first, end):
            found.append(mp.mpc(int(re.sum()), int(im.sum())) * factor)
            re, im = (re * cos - im * sin) >> BITS, (re * sin + im * cos) >> BITS
        return found


def _saddle(mechanism, direction, epsilon):
    """The theta at which exp(K(theta) - theta epsilon) / (theta (theta + 1)) is least."""

    def height(theta):
        moments = log_moments(mechanism, direction, theta)
        return moments - theta * epsilon - np.log(theta * (theta + 1))

    best = THETAS[int(np.argmin(height(THETAS)))]
    ratio = THETAS[1] / THETAS[0]
    found = minimize_scalar(
        lambda x: float(height(np.array([math.exp(x)]))[0]),
        bounds=(math.log(best / ratio), math.log(best * ratio)), method="bounded",
    )  # fmt: skip
    return math.exp(found.x)


def _spread(mechanism, direction, theta):
    """Standard deviation of the loss's tilted law: the root of K''."""
    near = log_moments(mechanism, direction, theta * np.array([0.99, 1.0, 1.01]))
    return math.sqrt(max(near[0] - 2 * near[1] + near[2], 1e-14)) / (0.01 * theta)


def _taper(mechanism, direction, epsilon, spread):
    """Width in w over which heavy-tailed sums are faded out.

    Fading out by erfc smooths e^{theta e} delta(e) around epsilon, with a Gaussian of width about
    2 / width times a sinc. Delta is analytic but at the loss of nodes at minus infinity,
    the sum of log(1 - q): that must lie outside of the Gaussian.
    """
    distance = abs(direction * epsilon - edge(mechanism))
    return max(TAPER[0] / distance, 4 / spread)


def edge(mechanism):
    """Where the losses of removing start and, mirrored, those of adding end."""
    return sum(steps * math.log1p(-rate) for rate, _, steps in mechanism.sampled)


def _spacing(rate, sigma, power, w):
    """Distance of nodes at which the trapezoid rule errs by less than e^-FAR_NODE of the moment.

    The error is about e^{-2 pi a / h} times the integral of |phi(z) u(z)^{power + i w}| along
    Im z = a (or -a), for any a < pi sigma.
    """
    span = math.sqrt(160 + 4 * abs(power) * -math.log(min(rate, 1 - rate))) + 2
    x = np.arange(-span, max(power, 0.0) / sigma + span, min(0.25, 0.2 * sigma))
    best = 0.0
    for a in np.geomspace(0.03, 0.98, 40) * min(math.pi * sigma, 14.0):
        log_u = _log_u(x + 1j * a, rate, sigma)
        line = logsumexp((a * a - x * x) / 2 + power * log_u.real + w * np.abs(log_u.imag))
        grown = FAR_NODE + line - logsumexp(power * _log_u(x, rate, sigma).real - x * x / 2)
        best = max(best, 2 * math.pi * a / grown)
    return 2.0 ** math.floor(math.log2(best))


def _nodes(rate, sigma, power, h):
    """At the nodes that matter: log u, and log of density times u^power."""
    span = math.sqrt(2 * FAR_NODE + 4 * max(float(power), 0.0) * -math.log(rate)) + 2.0
    if power < 0:
        span = math.sqrt(2 * FAR_NODE - 2 * float(power) * -math.log1p(-rate)) + 2.0
    end = max(float(power), 0.0) / sigma + span
    z = np.arange(math.floor(-span / h), math.ceil(end / h) + 1) * h
    rough = -z * z / 2 + float(power) * _log_u(z, rate, sigma)
    z = z[rough > rough.max() - FAR_NODE]
    if z.size > MOST_NODES:
        raise ValueError(f"{z.size} nodes for rate {rate}, sigma {sigma}, power {power}, step {h}")
    q, s = mp.mpf(rate), mp.mpf(sigma)
    nodes = [mp.mpf(float(x)) for x in z]
    log_u = [mp.log(1 - q + q * mp.exp(x / s - 1 / (2 * s * s))) for x in nodes]
    weights = [power * value - x * x / 2 for value, x in zip(log_u, nodes, strict=True)]
    return log_u, weights


def _log_u(z, rate, sigma):
    odds = z / sigma - 1 / (2 * sigma**2) + math.log(rate) - math.log1p(-rate)
    flipped = np.where(odds.real > 0, -odds, odds)
    return math.log1p(-rate) + np.where(odds.real > 0, odds, 0.0) + np.log1p(np.exp(flipped))


def log_moments(mechanism, direction, thetas):
    """K at real thetas in double precision: only the choice of contour depends on it."""
    total = mechanism.mu2 * thetas * (thetas + 1) / 2
    for rate, sigma, steps in mechanism.sampled:
        h = min(0.25, 0.4 * sigma)
        for i, theta in enumerate(thetas):
            power = theta + 1 if direction == REMOVE else -theta
            span = math.sqrt(80 + 4 * abs(power) * -math.log(min(rate, 1 - rate))) + 2
            z = np.arange(-span, max(power, 0.0) / sigma + span, h)
            terms = power * _log_u(z, rate, sigma) - z * z / 2
            total[i] += steps * (logsumexp(terms) + math.log(h / math.sqrt(2 * math.pi)))
    return total


def _period(mechanism, direction, theta, epsilon):
    """2 pi / step so long that neither alias, e^{theta P} delta(epsilon +- P), is seen."""
    height = log_moments(mechanism, direction, np.array([theta]))[0]
    log_delta = height - theta * epsilon - math.log(theta * (theta + 1)) - 20
    period = (NEGLIGIBLE - log_delta) / theta
    higher = theta * np.geomspace(1.02, 30, 60)
    moments = log_moments(mechanism, direction, higher)
    while theta * period + (moments - higher * (epsilon + period)).min() > log_delta - NEGLIGIBLE:
        period *= 1.1
    return period
