"""Log moments of the subsampled Gaussian: never below the exact ones, and hardly above."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountants import rdp


def exact_moment(rate, sigma, power):
    """log E[u(z)^power], by high-precision quadrature over the two peaks and between."""
    with mp.workdps(25):
        q, s, power = mp.mpf(rate), mp.mpf(sigma), mp.mpf(float(power))

        def integrand(z):
            return mp.npdf(z) * (1 - q + q * mp.exp(z / s - 1 / (2 * s * s))) ** power

        end = max(float(power), 0.0) / sigma + 24.0
        points = np.linspace(-24.0, end, int(end + 24) // 3 + 2)
        return mp.log(mp.quad(integrand, [mp.mpf(float(p)) for p in points]))


# Exact quadrature takes tens of milliseconds a case, hence few cases in a default run.
@settings(max_examples=8)
@given(st.floats(-4, -0.02), st.floats(0.3, 6.0), st.sampled_from([0, 150, 200, 220, 235]))
def test_both_directions_bound_the_exact_moments(log_rate, sigma, index):
    """Upper, and within 1e-11 of exact, in the remove and in the add direction."""
    rate, t = 10.0**log_rate, rdp.ORDERS[index]
    remove, add = (curve[index] for curve in rdp.subsampled(rate, sigma))
    for value, truth in (
        (remove, exact_moment(rate, sigma, t + 1)),
        (add, exact_moment(rate, sigma, -t)),
    ):
        assert value >= truth
        assert value - truth <= 1e-11 * (1 + abs(float(truth)))


@given(st.floats(-6, -0.01), st.floats(0.01, 50.0))
def test_add_is_never_above_remove(log_rate, sigma):
    """Mironov, Talwar & Zhang (2019), Theorem 5."""
    remove, add = rdp.subsampled(10.0**log_rate, sigma)
    finite = np.isfinite(remove)
    assert finite.sum() > 200
    assert np.all(add[finite] <= remove[finite])
    assert np.all(remove[finite] >= 0)


@pytest.mark.parametrize(("rate", "sigma"), [(0.01, 1.0), (0.3, 0.5), (0.1, 0.04), (0.9, 2.0)])
@pytest.mark.parametrize("alpha", [2, 3, 7, 20])
def test_whole_orders_match_the_binomial_sum(rate, sigma, alpha):
    """The published formula for whole orders, with 50 digits, lies within one grid cell."""
    with mp.workdps(50):
        terms = [
            mp.binomial(alpha, k)
            * (1 - mp.mpf(rate)) ** (alpha - k)
            * mp.mpf(rate) ** k
            * mp.exp(mp.mpf(k * (k - 1)) / (2 * mp.mpf(sigma) ** 2))
            for k in range(alpha + 1)
        ]
        truth = float(mp.log(mp.fsum(terms)))
    curve = rdp.subsampled(rate, sigma)[0]
    after = np.searchsorted(rdp.ORDERS, alpha - 1)
    near = slice(after - 1, after + 1)
    assert np.interp(alpha - 1, rdp.ORDERS[near], curve[near]) >= truth * (1 - 1e-12)
    assert curve[after - 1] <= truth * 1.02 + 1e-9


@settings(max_examples=8)
@given(st.floats(0.001, 0.9), st.floats(0.1, 0.3))
def test_closed_forms_for_small_noise_are_upper_bounds(rate, sigma):
    """Where quadrature is given up, the closed forms lie above what quadrature finds."""
    closed = rdp._small_sigma(rate, sigma)
    orders = rdp.ORDERS[: closed.size]
    quadrature = rdp._remove(rate, sigma, orders)
    assert np.all(closed >= quadrature - 1e-9 * (1 + quadrature))


@given(st.floats(0.1, 5.0), st.floats(-3.0, 20.0))
def test_conversion_bounds_the_gaussian_profile(mu, epsilon):
    """Canonne, Kamath & Steinke's conversion is above the exact profile at every real epsilon."""
    moments = rdp.gaussian(mu * mu)
    at = np.array([epsilon])
    with mp.workdps(400):  # the two terms may agree in hundreds of digits
        root, e = mp.mpf(mu), mp.mpf(epsilon)
        truth = mp.ncdf(-e / root + root / 2) - mp.exp(e) * mp.ncdf(-e / root - root / 2)
    assert rdp.log_delta(moments, at)[0] + 1e-12 >= mp.log(truth)


def test_conversion_and_its_inverse_agree():
    """epsilon_at inverts log_delta wherever delta is below 1."""
    moments = 500 * rdp.subsampled(0.05, 1.3)[0]
    levels = np.array([-1.0, -5.0, -11.5, -30.0])
    there = rdp.epsilon_at(moments, levels)
    assert rdp.log_delta(moments, there) == pytest.approx(levels, abs=1e-9)
