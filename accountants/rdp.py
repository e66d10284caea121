"""Renyi divergences of the Poisson-subsampled Gaussian, both directions, as upper bounds.

With u(z) = 1 - q + q exp(z/sigma - 1/(2 sigma^2)) and z ~ N(0, 1) (Mironov, Talwar & Zhang 2019):

    remove:  E[(P/Q)^alpha] = E[u^alpha]          P the mixture, Q = N(0, sigma^2)
    add:     E[(Q/P)^alpha] = E[u^(1 - alpha)]    never above `remove` (their Theorem 5)

Both are one smooth integral, taken by the trapezoid rule at any real order, with its error bounded
and added. An order is written t = alpha - 1 > 0 and a divergence as the log moment
K(t) = log E[...] = t * D_{t+1}, which adds up under composition. Conversion to delta for every real
epsilon: delta <= t^t / (t+1)^(t+1) * exp(K(t) - t epsilon) (Canonne, Kamath & Steinke
2020, Proposition 12).
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, log_ndtr, logsumexp, xlog1py, xlogy

Array = NDArray[np.float64]

ORDERS: Array = np.geomspace(1e-4, 1e5, 426)  # t; neighbours 5 % apart cost < 0.1 % of epsilon
_WINDOW = 9.5  # Phi(-9.5) = 1e-21; what lies outside is added, so it bounds cost, not validity
_SMALL_SIGMA = 0.05  # below, u^alpha has two far peaks and too many nodes between them
_LARGEST_SHIFT = 256.0  # orders up to 256 sigma: beyond, K(t) is useless as a bound
_MOST_NODES = 3000.0


def conversion(t: Array) -> Array:
    """log of t^t / (t + 1)^(t + 1) (Canonne, Kamath & Steinke 2020, Proposition 12)."""
    logs: Array = t * np.log(t) - (t + 1) * np.log1p(t)
    return logs


LOG_CONVERSION: Array = conversion(ORDERS)


def gaussian(mu2: float) -> Array:
    """K(t) on ORDERS of a Gaussian mechanism: t (t + 1) mu^2 / 2, in either direction."""
    return ORDERS * (ORDERS + 1) * (mu2 / 2)


@lru_cache(maxsize=256)
def subsampled(rate: float, sigma: float) -> tuple[Array, Array]:
    """Upper bounds of K(t) on ORDERS, (remove, add), of one step; +inf where not computed.

    Args:
        rate: sampling rate in (0, 1). sigma: noise multiplier.
    Guarantee:
        Each entry is at least the exact log moment: quadrature, window and rounding errors are
        bounded and added.
    """
    shift = min(_LARGEST_SHIFT, _MOST_NODES * 0.45 * sigma)
    orders = ORDERS[max(shift * sigma, 3.0) >= ORDERS + 1]
    if sigma < _SMALL_SIGMA:
        remove = _small_sigma(rate, sigma)
        add = remove
    else:
        remove = np.minimum(_remove(rate, sigma, orders), gaussian(sigma**-2)[: orders.size])
        add = np.minimum(_add(rate, sigma, orders), remove)
    curves = []
    for curve in (remove, add):
        whole = np.full(ORDERS.size, np.inf)
        # One step's rounding: each exponent is good to a few ulp of its largest term.
        whole[: curve.size] = curve + 1e-14 * (1 + np.abs(curve))
        whole.setflags(write=False)
        curves.append(whole)
    return curves[0], curves[1]


def log_delta(moments: Array, epsilon: Array) -> Array:
    """log of the upper delta at each (real) epsilon, best over ORDERS, at most 0."""
    usable = np.isfinite(moments)
    rows = (moments + LOG_CONVERSION)[usable, None] - ORDERS[usable, None] * epsilon[None, :]
    best: Array = np.minimum(rows.min(axis=0, initial=0.0), 0.0)
    return best


def epsilon_at(moments: Array, log_deltas: Array) -> Array:
    """The (real) epsilon whose upper delta is exp(log_delta), best over ORDERS."""
    usable = np.isfinite(moments)
    heights = (moments + LOG_CONVERSION)[usable, None] - log_deltas[None, :]
    best: Array = (heights / ORDERS[usable, None]).min(axis=0, initial=np.inf)
    return best


def _remove(rate: float, sigma: float, orders: Array) -> Array:
    """log E[u^alpha] by quadrature on [-W, alpha/sigma + W']."""
    alpha = orders + 1
    reach = min(math.sqrt(_WINDOW**2 + 2 * float(alpha[-1]) * -math.log(rate)), 80.0)
    step = _dyadic(min(0.5, 0.45 * sigma))
    nodes = _nodes(-_WINDOW, float(alpha[-1]) / sigma + reach, step)
    sums = _log_sum(nodes, step, alpha, _log_u(nodes, rate, sigma))
    # |u(x + iy)| <= u(x), so the strip |Im z| < a <= pi sigma costs e^{a^2/2} (trapezoid rule on
    # analytic functions: error <= 2 M / (e^{2 pi a / h} - 1), M the sup of the integral on a line).
    a = min(math.pi * sigma, 2 * math.pi / step) * (1 - 1e-9)
    sums -= math.log1p(-2 * math.exp(a * a / 2) / math.expm1(2 * math.pi * a / step))
    # Left of the window u <= 1; right of it u <= exp(z/sigma - 1/(2 sigma^2)).
    left = np.full_like(alpha, log_ndtr(nodes[0]))
    right = (alpha * alpha - alpha) / (2 * sigma**2) + log_ndtr(alpha / sigma - nodes[-1])
    result: Array = np.logaddexp(sums, np.logaddexp(left, right))
    return result


def _add(rate: float, sigma: float, orders: Array) -> Array:
    """log E[u^-t] by quadrature on [-W, W]."""
    largest = float(orders[-1])
    window = min(math.sqrt(_WINDOW**2 + 2 * largest * -math.log1p(-rate)), 60.0)
    step = _dyadic(min(0.5, sigma / max(8.0, math.sqrt(largest))))
    nodes = _nodes(-window, window, step)
    sums = _log_sum(nodes, step, -orders, _log_u(nodes, rate, sigma))
    # |u(x + iy)| >= u(x) cos(y / (2 sigma)) for |y| < pi sigma: by AM-GM
    # |u|^2 = u^2 - 2 (1-q) q E (1 - cos(y/sigma)) >= u^2 (1 + cos(y/sigma)) / 2.
    strip = np.linspace(0.02, 3.0, 64)[:, None]
    a = strip * sigma
    grown = a * a / 2 - orders * np.log(np.cos(strip / 2))
    error = (math.log(2) + grown - np.log(-np.expm1(-2 * np.pi * a / step))
             - 2 * np.pi * a / step).min(axis=0)  # fmt: skip
    # |sum - integral| <= e^error * integral: nothing follows where that is not below 1.
    sums -= np.where(error < -1, np.log1p(-np.exp(np.minimum(error, -1.0))), -np.inf)
    left = -orders * math.log1p(-rate) + log_ndtr(nodes[0])  # u >= 1 - q
    # u >= 1 to the right of 1 / (2 sigma); a window that ends before proves nothing here.
    right = float(log_ndtr(-nodes[-1])) if nodes[-1] > 1 / (2 * sigma) else math.inf
    result: Array = np.logaddexp(sums, np.logaddexp(left, right))
    return result


def _dyadic(step: float) -> float:
    """The power of two just below: nodes are then exact, and so is their spacing."""
    return float(2.0 ** math.floor(math.log2(step)))


def _nodes(low: float, high: float, step: float) -> Array:
    whole = np.arange(math.floor(low / step), math.ceil(high / step) + 1, dtype=np.float64)
    return whole * step


def _log_u(nodes: Array, rate: float, sigma: float) -> Array:
    exponent = nodes / sigma - 1 / (2 * sigma**2)
    result: Array = np.logaddexp(math.log1p(-rate), math.log(rate) + exponent)
    return result


def _log_sum(nodes: Array, step: float, powers: Array, log_u: Array) -> Array:
    """log of step * sum of phi(z) u(z)^power."""
    base = -nodes * nodes / 2 + math.log(step / math.sqrt(2 * math.pi))
    exponents = powers[:, None] * log_u + base
    top = exponents.max(axis=1)
    with np.errstate(under="ignore"):
        total = np.exp(exponents - top[:, None]).sum(axis=1)
    result: Array = top + np.log(total)
    return result


def _small_sigma(rate: float, sigma: float) -> Array:
    """log E[u^alpha] for alpha in (1, 2] and at whole orders up to 64, chords between these.

    For 1 < alpha <= 2: (a + b)^alpha <= a^alpha + alpha a^(alpha-1) b + b^alpha (differentiate in
    b), and E exp(z/sigma - 1/(2 sigma^2)) = 1. Whole orders are binomial sums (Mironov et al.,
    section 3.3); log moments are convex in the order, so chords between them bound from above.
    """
    log_q, log_p, tilt = math.log(rate), math.log1p(-rate), 1 / (2 * sigma**2)
    orders = ORDERS[ORDERS <= 63.0]
    alpha = np.minimum(orders + 1, 2.0)
    low = logsumexp(
        np.stack([
            alpha * log_p,
            np.log(alpha) + (alpha - 1) * log_p + log_q,
            alpha * log_q + alpha * (alpha - 1) * tilt,
        ]),
        axis=0,
    )  # fmt: skip
    whole = np.arange(1, 65)
    exact = np.array([_binomial(int(n), rate, tilt) for n in whole])
    result: Array = np.where(orders <= 1, low, np.interp(orders + 1, whole, exact))
    return result


def _binomial(alpha: int, rate: float, tilt: float) -> float:
    k = np.arange(alpha + 1)
    log_choose = gammaln(alpha + 1) - gammaln(k + 1) - gammaln(alpha - k + 1)
    terms = log_choose + xlog1py(alpha - k, -rate) + xlogy(k, rate) + k * (k - 1) * tilt
    return float(logsumexp(terms))
