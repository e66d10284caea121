"""The reference itself, before anything is held against it."""

import mpmath as mp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import gaussian
from tests.accountants import exact, make_exact, reference
from tests.accountants.reference import ADD, REMOVE, Mechanism

SIDES = st.sampled_from([REMOVE, ADD])


@pytest.mark.parametrize(
    ("rate", "sigma", "at", "side"),
    [(0.3, 1.0, 1.0, REMOVE), (0.3, 1.0, 0.3, ADD), (0.7, 2.0, 0.8, REMOVE), (0.7, 2.0, 0.8, ADD)],
)
def test_one_step_equals_its_closed_form(rate, sigma, at, side):
    """The contour against two normal distributions, to 15 digits: fading out costs nothing."""
    closed = reference.one_step(rate, sigma, at, side)
    found = reference.delta(Mechanism(((rate, sigma, 1),)), at, side)
    assert abs(found - closed) <= mp.mpf(10) ** -15 * closed


@pytest.mark.parametrize(
    ("rate", "sigma", "at", "side"), [(0.3, 1.0, 1.0, REMOVE), (0.3, 1.0, 0.3, ADD)]
)
def test_two_steps_equal_a_double_integral(rate, sigma, at, side):
    """Composition: the second step's closed form, integrated over the first step's loss."""
    found = reference.delta(Mechanism(((rate, sigma, 2),)), at, side)
    integral = float(reference.two_steps(rate, sigma, at, side))
    assert float(found) == pytest.approx(integral, rel=1e-12)


@given(st.floats(0.05, 3.0), st.floats(0.05, 3.0))
def test_gaussians_alone_are_the_closed_form(mu, at):
    """Nothing is integrated where nothing is sampled."""
    lower, upper = gaussian.delta_bounds(mu, at)
    assert lower <= reference.delta(Mechanism((), mp.mpf(mu) ** 2), at) <= upper


@pytest.mark.parametrize("name", ["T1", "T2", "T4", "heavy tails, half sampled"])
def test_another_contour_gives_the_same_stored_value(name):
    """Theta a quarter beside the saddle: other nodes, other frequencies, 16 digits alike."""
    stored = exact.epsilons()[name]
    step = stored.training
    mechanism = Mechanism(
        ((step.event.sampling_rate, step.event.event.noise_multiplier, step.count),),
        make_exact.mu2(len(stored.rounds)),
    )
    found = reference.epsilon(mechanism, stored.delta, REMOVE, shift=0.75)
    assert abs(found - stored.epsilon) <= mp.mpf(10) ** -16 * stored.epsilon


def test_published_values_are_met():
    """T1, T2 and T4 as published by an independent computation, to all of their digits."""
    stored = exact.epsilons()
    assert float(stored["T1"].epsilon) == pytest.approx(6.187712389971539, abs=1e-14)
    assert float(stored["T2"].epsilon) == pytest.approx(12.7396199450856, abs=1e-13)
    assert float(stored["T3"].epsilon) == pytest.approx(3.068684662715907, abs=4e-15)
    assert float(stored["T4"].epsilon) == pytest.approx(13.45571759648, abs=1e-11)


def test_every_case_has_its_stored_line():
    """`exact.json` is what `make_exact` would write."""
    assert list(exact.epsilons()) == [name for name, *_ in make_exact.CASES]
