"""The Gaussian profile against high precision, closed forms and published numbers."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import AccountingError, gaussian


def exact(mu, epsilon):
    """The closed form with 80 digits."""
    with mp.workdps(80):
        mu, epsilon = mp.mpf(mu), mp.mpf(epsilon)
        first = mp.ncdf(-epsilon / mu + mu / 2)
        return first - mp.exp(epsilon) * mp.ncdf(-epsilon / mu - mu / 2)


@given(st.floats(-7, 4), st.floats(-12, 25))
def test_delta_bounds_contain_the_exact_value(log_mu, z):
    """Over eleven orders of magnitude of mu the bracket holds, and is narrow."""
    mu = 10.0**log_mu
    epsilon = mu * z + mu * mu / 2
    lower, upper = gaussian.delta_bounds(mu, epsilon)
    value = exact(mu, epsilon)
    assert lower <= value <= upper
    assert upper - lower <= 1e-7 * float(value) + 1e-13


@given(st.floats(-5, 3.5), st.floats(-12, -0.5))
def test_epsilon_meets_its_delta_from_above(log_mu, log_delta):
    """The upper end's exact delta is within the target; a hair below the lower end's is not."""
    mu, delta = 10.0**log_mu, 10.0**log_delta
    lower, upper = gaussian.epsilon_bounds(mu, delta)
    assert exact(mu, upper) <= delta
    if lower > 1e-6:
        assert exact(mu, lower * (1 - 1e-6)) > delta
    assert upper - lower <= 1e-9 * max(1.0, upper)


@given(st.floats(0.01, 1e4), st.floats(-10, -1))
def test_mu_is_the_inverse_of_epsilon(epsilon, log_delta):
    """The largest mu within a budget has just that epsilon."""
    delta = 10.0**log_delta
    mu = gaussian.mu(epsilon, delta)
    assert gaussian.epsilon_bounds(mu, delta)[1] == pytest.approx(epsilon, rel=1e-8)
    assert exact(mu, epsilon) <= delta


def test_thousands_of_mu_stay_finite():
    """mu = 5,000 costs about mu^2 / 2, with no overflow on the way (warnings are errors)."""
    lower, upper = gaussian.epsilon_bounds(5000.0, 1e-5)
    assert 12.5e6 < lower <= upper < 12.6e6
    assert np.all(np.isfinite(gaussian.delta(5000.0, np.array([-1e9, 0.0, 1e7, 1e12]))))


def test_published_heterogeneous_composition():
    """1,000 Gaussians with multipliers from 20 to 200 cost 3.068684662715907 at 1e-5."""
    mu = math.sqrt(math.fsum(float(s) ** -2 for s in np.geomspace(20, 200, 1000)))
    assert gaussian.epsilon(mu, 1e-5) == pytest.approx(3.068684662715907, abs=1e-9)


def test_no_mechanism_costs_nothing():
    """mu = 0 has epsilon 0, and delta 1 - e^epsilon left of zero."""
    assert gaussian.epsilon_bounds(0.0, 1e-5) == (0.0, 0.0)
    assert gaussian.delta(0.0, [-1.0, 0.0, 1.0]) == pytest.approx([1 - math.exp(-1), 0.0, 0.0])


@given(st.floats(0.05, 20), st.floats(0.0, 30))
def test_negative_epsilon_is_the_reversed_profile(mu, epsilon):
    """delta(-e) = 1 - e^-e + e^-e delta(e): Gaussians are symmetric."""
    expected = -math.expm1(-epsilon) + math.exp(-epsilon) * float(gaussian.delta(mu, epsilon))
    assert float(gaussian.delta(mu, -epsilon)) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan, 2.0])
def test_delta_outside_the_open_unit_interval_is_refused(delta):
    """No epsilon is claimed for a meaningless delta."""
    with pytest.raises(AccountingError, match="delta"):
        gaussian.epsilon(1.0, delta)
    with pytest.raises(AccountingError, match="delta"):
        gaussian.mu(1.0, delta)


@pytest.mark.parametrize("mu", [-1.0, math.nan, math.inf])
def test_mu_must_be_finite_and_not_negative(mu):
    """Such a mu is refused by every function."""
    with pytest.raises(AccountingError, match="mu="):
        gaussian.epsilon(mu, 1e-5)
    with pytest.raises(AccountingError, match="mu="):
        gaussian.delta(mu, 1.0)
