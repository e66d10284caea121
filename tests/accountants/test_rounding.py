"""Error terms that are too small to see: made large, or held against exact arithmetic.

Windows and spacings are chosen so that what they cost is negligible; here they are chosen badly,
and the bound must still hold.
"""

from fractions import Fraction
from functools import cache

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from accountants import knots, rdp

ORDERS = np.array([0.5, 2.0, 6.0])


def exact_moments(rate, sigma, powers):
    """log E[u^power] by mpmath's quadrature."""
    return np.array([exact_moment(rate, sigma, float(power)) for power in powers])


@cache
def exact_moment(rate, sigma, power):
    """One of them."""
    with mp.workdps(20):
        q, s = mp.mpf(rate), mp.mpf(sigma)

        def integrand(z):
            return mp.npdf(z) * (1 - q + q * mp.exp(z / s - 1 / (2 * s * s))) ** power

        points = np.arange(-12.0, max(power, 0.0) / sigma + 14.0, 2.0)
        return float(mp.log(mp.quad(integrand, [mp.mpf(float(z)) for z in points])))


@pytest.mark.parametrize("window", [0.5, 1.5, 3.0])
@pytest.mark.parametrize(("rate", "sigma"), [(0.2, 1.0), (0.05, 2.0)])
def test_what_lies_outside_of_a_narrow_window_is_added(rate, sigma, window, monkeypatch):
    """A window of half a standard deviation loosens the bound and keeps it one."""
    monkeypatch.setattr(rdp, "_WINDOW", window)
    remove = rdp._remove(rate, sigma, ORDERS)
    add = rdp._add(rate, sigma, ORDERS)
    for found, powers in ((remove, ORDERS + 1), (add, -ORDERS)):
        assert np.all(found >= exact_moments(rate, sigma, powers) - 1e-13)


@pytest.mark.parametrize("coarser", [2, 4, 8])
@pytest.mark.parametrize(("rate", "sigma"), [(0.5, 0.5), (0.9, 0.4)])
def test_the_error_of_a_coarse_quadrature_is_added(rate, sigma, coarser, monkeypatch):
    """Nodes several times too far apart: a looser bound, or none, but never one that is below."""
    dyadic = rdp._dyadic
    monkeypatch.setattr(rdp, "_dyadic", lambda step: dyadic(step) * coarser)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {1: rdp._remove(rate, sigma, ORDERS), -1: rdp._add(rate, sigma, ORDERS)}
    for sign, powers in ((1, ORDERS + 1), (-1, -ORDERS)):
        exact = exact_moments(rate, sigma, powers)
        assert np.all(found[sign] >= exact - 1e-13)


CHAINS = st.lists(
    st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 0.95)), min_size=2, max_size=6
).map(lambda pairs: (np.cumsum([w for w, _ in pairs]), np.cumprod([f for _, f in pairs])))


@given(CHAINS, st.floats(0.1, 0.9), st.floats(0.01, 0.99))
def test_a_mixture_is_not_below_its_exact_sum(chain, profile, at):
    """Weights times values, added as rational numbers: rounding never takes from the bound."""
    made = knots.from_values(*chain)
    found = knots.mixed(made, lambda e: np.full_like(e, profile), np.array([at]))[0]
    weights = sum((Fraction(float(w)) for w in made.weight), Fraction(0))
    exact = weights * Fraction(profile) + Fraction(float(made.delta[-1]))
    assert Fraction(float(found)) >= min(exact, Fraction(1))


@given(CHAINS, st.floats(0.01, 0.99))
def test_a_chord_is_not_below_its_exact_value(chain, share):
    """Between two corners, with 40 digits, in the coordinate e^epsilon."""
    made = knots.from_values(*chain)
    assume(made.epsilon.size > 1)
    left, right = made.epsilon[-2:]
    at = left + (right - left) * share
    with mp.workdps(40):
        start, end, x = (mp.exp(mp.mpf(float(e))) for e in (left, right, at))
        low, high = (mp.mpf(float(d)) for d in made.delta[-2:])
        exact = low + (high - low) * (x - start) / (end - start)
    assert knots.at(made, np.array([at]))[0] >= exact
