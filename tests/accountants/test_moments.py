"""Upper log moments of single steps, against integrals and against the Renyi curves."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountants import ApproximateDP, Laplace, moments, rdp
from accountants.moments import log_moments
from accountants.steps import ADD, REMOVE, Binomial, Glued

ORDERS = np.array([1e-3, 0.1, 1.0, 3.7, 20.0])


@given(st.floats(0.1, 20.0))
def test_laplace_moments_are_exact(sigma):
    """Atoms at both ends and the density between, integrated in closed form."""
    found, infinite = log_moments(Laplace(sigma), REMOVE, ORDERS)
    assert infinite == 0.0
    with mp.workdps(40):
        reach = 1 / mp.mpf(sigma)
        for t, value in zip(ORDERS, found, strict=True):
            rate = mp.mpf(t) + mp.mpf("0.5")
            between = mp.exp(-reach / 2) / 4 * (mp.exp(rate * reach) - mp.exp(-rate * reach)) / rate
            ends = mp.exp(t * reach) / 2 + mp.exp(-(mp.mpf(t) + 1) * reach) / 2
            exact = mp.log(between + ends)
            assert exact <= value <= exact + mp.mpf("1e-11") * (1 + abs(exact))


def test_moments_of_a_claim_leave_its_delta_apart():
    """Randomised response times 1 - delta; the infinite loss is returned beside it."""
    found, infinite = log_moments(ApproximateDP(1.0, 0.2), REMOVE, np.array([2.0]))
    high = np.e / (1 + np.e)
    exact = np.log(0.8 * (high * np.exp(2.0) + (1 - high) * np.exp(-2.0)))
    assert infinite == 0.2
    assert found[0] == pytest.approx(exact, abs=1e-10)
    assert found[0] >= exact


@settings(max_examples=10)
@given(st.floats(-4, -0.1).map(lambda x: 10.0**x), st.floats(0.5, 5.0))
def test_sampled_moments_agree_with_the_renyi_curves(rate, sigma):
    """Two upper bounds of one number, found in different ways, lie close together.

    Guarantee of accountants.moments.log_moments: Moments and probability are those of one
    law that dominates the step.
    """
    usable = (rdp.ORDERS > 0.05) & (rdp.ORDERS < 8)
    for direction in (REMOVE, ADD):
        curve = rdp.subsampled(rate, sigma)[direction][usable]
        found, infinite = log_moments(Binomial(rate, sigma, 1), direction, rdp.ORDERS[usable])
        assert infinite < 1e-200
        assert found == pytest.approx(curve, rel=2e-2, abs=1e-4)


@pytest.mark.parametrize(("rate", "sigma"), [(0.3, 0.8), (1e-3, 1.0), (0.05, 4.0)])
def test_glued_moments_are_those_of_both_halves(rate, sigma):
    """`remove` above 0, its mirror image below, and the rest of the mass at 0."""
    found, infinite = log_moments(Glued(rate, sigma), REMOVE, ORDERS[:4])
    assert infinite < 1e-200
    with mp.workdps(20):
        shift = 1 / mp.mpf(sigma)
        middle = shift / 2

        def power(z, t):
            u = 1 - mp.mpf(rate) + rate * mp.exp(z * shift - shift**2 / 2)
            return mp.npdf(z) * u**t

        rest = (1 - mp.mpf(rate)) * (1 - 2 * mp.ncdf(-middle))
        for t, value in zip(ORDERS[:4], found, strict=True):
            ends = [middle, middle + 4, (t + 1) * shift, (t + 1) * shift + 15]
            above = mp.quad(lambda z, t=t: power(z, t + 1), ends)
            below = mp.quad(lambda z, t=t: power(z, -t), ends)
            exact = mp.log(above + below + rest)
            assert exact - mp.mpf("1e-12") <= value
            assert value <= exact * (1 + mp.mpf("0.05")) + mp.mpf("1e-4")


def test_rounding_goes_up():
    """Whatever the sign."""
    value = np.array([-1.0, 0.0, 5.0])
    assert np.all(moments._up(value, np.abs(value)) > value)
