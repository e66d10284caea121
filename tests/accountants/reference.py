"""Exact epsilon and delta of sampled and plain Gaussians: slow, 40 digits, nothing certified.

Nothing is shared with `accountants`. Compositions are integrated along a contour (`contour.py`);
`one_step` and `two_steps` are closed forms that share no line with it.
"""

import math
from dataclasses import dataclass

import mpmath as mp
from scipy.special import ndtri, xlogy

from tests.accountants.contour import ADD, REMOVE, THETAS, Contour, edge, log_moments

DIGITS = 40


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
        moments = log_moments(mechanism, direction, THETAS)
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


def _total_variation(mechanism):
    """No less than delta at epsilon 0: total variations of parts add up."""
    parts = [n * rate * math.erf(math.sqrt(0.125) / s) for rate, s, n in mechanism.sampled]
    return sum(parts) + math.erf(math.sqrt(0.125 * float(mechanism.mu2)))


def delta(mechanism, epsilon, direction=None, shift=1.0):
    """Delta at a real epsilon; of both directions the larger, if none is given."""
    if direction is None:
        return max(delta(mechanism, epsilon, side, shift) for side in (REMOVE, ADD))
    with mp.workdps(DIGITS):
        at = mp.mpf(epsilon)
        if not mechanism.sampled:
            return gaussian_delta(mechanism.mu2, at)
        if direction == ADD and mechanism.mu2 == 0 and at >= -edge(mechanism):
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
