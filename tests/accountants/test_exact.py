"""Brackets hold the exact value: drawn cases, published ones, and the corners."""

import math

import mpmath as mp
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accountants import Composed, Gaussian, calibrate, delta, epsilon, odometer
from tests.accountants import exact, reference
from tests.accountants.exact import dp_sgd
from tests.accountants.reference import Mechanism

ADD_OR_REMOVE = "add-or-remove"
EXACT = exact.epsilons()
RATES = st.floats(-3, -0.05).map(lambda x: 10.0**x)
SIGMAS = st.floats(0.6, 8.0)
SAMPLES = st.floats(2.0, 300.0)  # a unit's expected number; with fewer the reference takes a minute
DELTAS = st.floats(-12, -2).map(lambda x: 10.0**x)
MUS = st.just(0.0) | st.floats(0.05, 2.0)


def composed(rate, sigma, samples, mu):
    """DP-SGD beside a Gaussian, as an event and for the reference."""
    steps = int(samples / rate) + 8
    rest = (Gaussian(1 / mu),) if mu else ()
    with mp.workdps(reference.DIGITS):
        mu2 = mp.mpf(1 / mu) ** -2 if mu else 0.0
    event = Composed((dp_sgd(rate, sigma, steps), *rest))
    return event, Mechanism(((rate, sigma, steps),), mu2)


# The reference takes up to seconds a case, hence few cases in a default run.
@settings(max_examples=6)
@given(RATES, SIGMAS, SAMPLES, MUS, DELTAS)
def test_epsilon_s_bracket_holds_the_exact_value(rate, sigma, samples, mu, at):
    """lower <= exact <= upper, to the last bit, for any DP-SGD beside any Gaussian."""
    event, mechanism = composed(rate, sigma, samples, mu)
    truth = reference.epsilon(mechanism, at)
    found = epsilon(event, delta=at, adjacency=ADD_OR_REMOVE)
    assert found.lower <= truth <= found.upper


@settings(max_examples=6)
@given(RATES, SIGMAS, SAMPLES, MUS, DELTAS)
def test_delta_s_bracket_holds_the_exact_value(rate, sigma, samples, mu, near):
    """The same for delta at a given epsilon, where delta is about `near`."""
    event, mechanism = composed(rate, sigma, samples, mu)
    at = epsilon(event, delta=near, adjacency=ADD_OR_REMOVE).upper
    assume(at > 0)
    found = delta(event, epsilon=at, adjacency=ADD_OR_REMOVE)
    assert found.lower <= reference.delta(mechanism, at) <= found.upper


@pytest.mark.parametrize("name", EXACT)
def test_corners_and_published_runs_hold_the_exact_value(name):
    """Million-step runs, heavy tails, delta of 1e-15: never below, never infinite."""
    question = EXACT[name]
    found = epsilon(question.event, delta=question.delta, adjacency=ADD_OR_REMOVE)
    assert 0 <= found.lower <= question.epsilon <= found.upper < math.inf


def test_the_odometer_s_readings_hold_the_exact_values():
    """T4 after 50 rounds and at its end."""
    middle, end = EXACT["T4 after 50 rounds"], EXACT["T4"]
    found = odometer(
        end.training, end.rounds, delta=end.delta, adjacency=ADD_OR_REMOVE, cascade=False
    )
    for reading, exactly in ((found[49], middle), (found[999], end)):
        assert reading.lower <= exactly.epsilon <= reading.upper


@pytest.mark.parametrize(("budget", "sigma"), exact.noise_multipliers().items())
def test_calibration_is_never_on_the_unsafe_side(budget, sigma):
    """The exact noise multiplier costs the budget; less noise than that is never returned."""
    found = calibrate(
        lambda s: dp_sgd(0.01, s, 10_000),
        epsilon=budget, delta=1e-5, adjacency=ADD_OR_REMOVE, bracket=(0.3, 30.0),
    )  # fmt: skip
    assert found >= sigma
