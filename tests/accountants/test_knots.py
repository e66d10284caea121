"""Dominating pairs from upper values: mass, convexity, and never below what they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import gaussian, knots


def gaussian_knots(mu, points=400):
    """A Gaussian's profile, tabulated."""
    at = np.linspace(mu * mu / 2 - 9 * mu, mu * mu / 2 + 9 * mu, points)
    return knots.from_values(at, gaussian.delta_bounds(mu, at)[1])


@given(st.floats(0.05, 300.0))
def test_weights_are_a_probability_distribution(mu):
    """All losses, the infinite one included, have probabilities that sum to 1."""
    chain = gaussian_knots(mu)
    assert np.all(chain.weight >= 0)
    assert chain.weight.sum() + chain.delta[-1] == pytest.approx(1.0, abs=1e-9)


@given(st.floats(0.05, 30.0), st.floats(-8, 8))
def test_chords_lie_above_the_profile(mu, z):
    """Between its corners the chain is an upper bound, and a close one."""
    epsilon = np.array([mu * z + mu * mu / 2])
    truth = gaussian.delta(mu, epsilon)[0]
    value = knots.at(gaussian_knots(mu), epsilon)[0]
    assert value >= truth
    assert value <= truth * 1.2 + 1e-9


@given(st.floats(0.2, 30.0), st.floats(0.2, 30.0), st.floats(-4, 7))
def test_composing_two_gaussians_gives_the_gaussian_of_both(first, second, z):
    """Smoothing a tabulated Gaussian by an exact one never under-reports the sum, nor by much."""
    mu = np.hypot(first, second)
    epsilon = np.array([mu * z + mu * mu / 2])

    def profile(at):
        return gaussian.delta_bounds(second, at)[1]

    value = knots.mixed(gaussian_knots(first), profile, epsilon)[0]
    truth = gaussian.delta(mu, epsilon)[0]
    assert value >= truth
    assert value <= truth * 1.05 + 1e-9


def test_a_value_above_its_chord_is_dropped():
    """A needlessly large value does not loosen the chain, and no weight is negative."""
    at = np.linspace(0.0, 3.0, 31)
    values = gaussian.delta(1.0, at)
    bumped = values.copy()
    bumped[10] = values[9]
    chain, plain = knots.from_values(at, bumped), knots.from_values(at, values)
    assert chain.epsilon.size == 30
    middle = np.array([1.5])
    assert knots.at(chain, middle) == pytest.approx(knots.at(plain, middle), rel=1e-8)


def test_losses_of_a_million_do_not_overflow():
    """Slopes are kept times g, so epsilon far beyond 700 is fine (warnings are errors)."""
    chain = gaussian_knots(2000.0)
    value = knots.at(chain, np.array([-1e6, 0.0, 2e6, 2.01e6, 1e9]))
    assert np.all(np.diff(value) <= 0)
    assert np.all(np.isfinite(value))


def test_mass_beyond_the_last_corner_is_an_infinite_loss():
    """A chain that ends early never falls below its last delta, alone or composed."""
    at = np.linspace(-3.0, 2.0, 60)
    chain = knots.from_values(at, gaussian.delta_bounds(1.0, at)[1])
    far = np.array([50.0])

    def profile(epsilon):
        return gaussian.delta_bounds(0.5, epsilon)[1]

    assert chain.delta[-1] > 1e-2
    assert knots.at(chain, far)[0] >= chain.delta[-1]
    assert knots.mixed(chain, profile, far)[0] >= chain.delta[-1]
