"""Exact epsilon and delta of sampled and plain Gaussians: slow, 40 digits, nothing certified.

Nothing is shared with `accountants`. With K(s) = sum of log E_P[e^{s L}] over all parts,

    delta(epsilon) = 1/(2 pi) Int exp(K(s) - s epsilon) / (s (s + 1)) dw,   s = theta + i w,

by the trapezoid rule in w, and inside K again in z ~ N(0, 1), where e^{s L} is u^{s+1} (remove) or
u^{-s} (add) with u(z) = 1 - q + q exp(z/sigma - 1/(2 sigma^2)). What is left out on either axis is
below 1e-18 of delta. `one_step` and `two_steps` share no line with the contour.

A node's phases u^{i w}, frequency after frequency, are the powers of one complex number. They lie
on the unit circle and the tilted weights in [0, 1]: integers, scaled by 2^BITS, hold both.
"""

import math
from dataclasses import dataclass

import mpmath as mp
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, ndtri, xlogy

REMOVE, ADD = 1, -1
DIGITS = 40
BITS = 190
NEGLIGIBLE = 44.0  # natural log: 1e-19 of delta
FAR_NODE = 110.0  # natural log: 1e-48 of the tilted moment
THETAS = np.geomspace(1e-2, 3e4, 240)
MOST_NODES = 40_000
TAPER = (14.0, 10.0)  # width times distance to the edge; centre over width


@dataclass(frozen=True)
class Mechanism:
    """Sampled steps ((rate, noise multiplier, steps), ...) beside a plain Gaussian of mu^2."""

    sampled: tuple[tuple[float, float, int], ...] = ()
    mu2: float = 0.0


def epsilon(mechanism, delta, direction=None, shift=1.0):
    """The epsilon >= 0 of this delta; of both directions the larger, if none is given.

    `shift` moves theta off the saddle: another contour, other nodes, the same answer.
    """
    if direction is None:
        return max(epsilon(mechanism, delta, side, shift) for side in (REMOVE, ADD))
    with mp.workdps(DIGITS):
        target = mp.log(mp.mpf(delta))
        if not mechanism.sampled:
            found = mp.findroot(lambda e: mp.log(gaussian_delta(mechanism.mu2, e)) - target, 1.0)
            return max(mp.mpf(0), found)
        if _total_variation(mechanism) <= delta:
            return mp.mpf(0)
        moments = _log_moments(mechanism, direction, THETAS)
        # Canonne, Kamath & Steinke (2020), Proposition 12, is where the search starts.
        heights = moments - math.log(delta) + xlogy(THETAS, THETAS) - xlogy(THETAS + 1, THETAS + 1)
        low, high = mp.mpf(-1), mp.mpf(float((heights / THETAS).min())) + mp.mpf(10) ** -9
        at, contour = min(high, mp.mpf(_clt(mechanism, delta))), None
        for _ in range(200):
            if contour is None or abs(at - contour.epsilon) * contour.theta > 2:
                contour = Contour(mechanism, direction, at, shift)
            value, slope = contour.log_delta(at)
            low, high = (at, high) if value > target else (low, at)
            newton = at + (target - value) / slope
            if abs(newton - at) < mp.mpf(10) ** -25 * (1 + abs(at)):
                return max(mp.mpf(0), newton)
            at = newton if low < newton < high else (low + high) / 2
        raise ArithmeticError(f"no epsilon found for {mechanism} at delta {delta}")


def _clt(mechanism, delta):
    """Epsilon by the central limit theorem: no bound, but near it where heavy tails are rare."""
    mu2 = mechanism.mu2
    for rate, sigma, steps in mechanism.sampled:
        mu2 += steps * rate * rate * math.expm1(min(sigma**-2, 700.0))
    return mu2 / 2 + math.sqrt(mu2) * ndtri(1 - delta / 2)


def delta(mechanism, epsilon, direction=None, shift=1.0):
    """Delta at a real epsilon; of both directions the larger, if none is given."""
    if direction is None:
        return max(delta(mechanism, epsilon, side, shift) for side in (REMOVE, ADD))
    with mp.workdps(DIGITS):
        at = mp.mpf(epsilon)
        if not mechanism.sampled:
            return gaussian_delta(mechanism.mu2, at)
        if direction == ADD and mechanism.mu2 == 0 and at >= -_edge(mechanism):
            return mp.mpf(0)
        return mp.exp(Contour(mechanism, direction, at, shift).log_delta(at)[0])


def gaussian_delta(mu2, epsilon):
    """Balle & Wang (2018), Theorem 8."""
    mu, e = mp.sqrt(mp.mpf(mu2)), mp.mpf(epsilon)
    return mp.ncdf(-e / mu + mu / 2) - mp.exp(e) * mp.ncdf(-e / mu - mu / 2)


def one_step(rate, sigma, epsilon, direction):
    """Delta of one sampled step in closed form: the losses above epsilon are one half-line."""
    with mp.workdps(DIGITS):
        q, s, g = mp.mpf(rate), mp.mpf(sigma), mp.exp(mp.mpf(epsilon))
        odds = (g if direction == REMOVE else 1 / g) - 1 + q
        if odds <= 0:
            return 1 - g if direction == REMOVE else mp.mpf(0)
        z = s * mp.log(odds / q) + 1 / (2 * s)
        if direction == REMOVE:
            return (1 - q - g) * mp.ncdf(-z) + q * mp.ncdf(1 / s - z)
        return (1 - g * (1 - q)) * mp.ncdf(z) - g * q * mp.ncdf(z - 1 / s)


def two_steps(rate, sigma, epsilon, direction):
    """Delta of two sampled steps: the closed form at epsilon - L, integrated over the first L."""
    with mp.workdps(DIGITS):
        q, s, e = mp.mpf(rate), mp.mpf(sigma), mp.mpf(epsilon)

        def integrand(z):
            ratio = 1 - q + q * mp.exp(z / s - 1 / (2 * s * s))
            density, loss = mp.npdf(z), mp.log(ratio)
            if direction == REMOVE:
                return density * ratio * one_step(q, s, e - loss, REMOVE)
            return density * one_step(q, s, e + loss, ADD)

        end = 1 / s + 12
        # Where the second step's loss cannot make up for the first's, the closed form has a corner.
        corner = mp.exp(e if direction == REMOVE else -e) / (1 - q) - 1 + q
        points = {mp.mpf(k) for k in range(-12, int(end) + 1)} | {end}
        if corner > 0:
            points.add(s * mp.log(corner / q) + 1 / (2 * s))
        return mp.quad(integrand, sorted(p for p in points if -12 <= p <= end))


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
        moments = _log_moments(mechanism, direction, theta)
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
    near = _log_moments(mechanism, direction, theta * np.array([0.99, 1.0, 1.01]))
    return math.sqrt(max(near[0] - 2 * near[1] + near[2], 1e-14)) / (0.01 * theta)


def _taper(mechanism, direction, epsilon, spread):
    """Width in w over which heavy-tailed sums are faded out.

    Fading out by erfc smooths e^{theta e} delta(e) around epsilon, with a Gaussian of width about
    2 / width times a sinc. Delta is analytic but at the loss of nodes at minus infinity,
    the sum of log(1 - q): that must lie outside of the Gaussian.
    """
    edge = _edge(mechanism)
    distance = abs(epsilon - edge if direction == REMOVE else -edge - epsilon)
    return max(TAPER[0] / distance, 4 / spread)


def _edge(mechanism):
    """Where the losses of removing start and, mirrored, those of adding end."""
    return sum(steps * math.log1p(-rate) for rate, _, steps in mechanism.sampled)


def _total_variation(mechanism):
    """No less than delta at epsilon 0: total variations of parts add up."""
    parts = [n * rate * math.erf(math.sqrt(0.125) / s) for rate, s, n in mechanism.sampled]
    return sum(parts) + math.erf(math.sqrt(0.125 * float(mechanism.mu2)))


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


def _log_moments(mechanism, direction, thetas):
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
    height = _log_moments(mechanism, direction, np.array([theta]))[0]
    log_delta = height - theta * epsilon - math.log(theta * (theta + 1)) - 20
    period = (NEGLIGIBLE - log_delta) / theta
    higher = theta * np.geomspace(1.02, 30, 60)
    moments = _log_moments(mechanism, direction, higher)
    while theta * period + (moments - higher * (epsilon + period)).min() > log_delta - NEGLIGIBLE:
        period *= 1.1
    return period
