"""One contract for every engine: whatever each claims, no other can contradict."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountants import certified, gaussian, loss_lattice, plain, rdp
from accountants.parts import Parts
from accountants.steps import ADD, REMOVE

PARTS = st.builds(
    lambda rate, sigma, steps, mu2: Parts(mu2, (((rate, sigma), steps),)),
    st.floats(1e-4, 0.9), st.floats(0.35, 12.0), st.integers(1, 5000),
    st.sampled_from([0.0, 0.01, 2.0]),
)  # fmt: skip
EPSILONS = st.floats(0.0, 12.0)


def contour_bounds(parts, direction, at):
    """The contour alone."""
    return certified.delta_bounds(parts.sampled, direction, np.full_like(at, parts.mu2), at)


def renyi_bounds(parts, direction, at):
    """Renyi moments alone: nothing below, Chernoff above."""
    moments = plain.moments(parts, direction)
    upper = np.exp(np.maximum(rdp.log_delta(moments, at), -690)) * (1 + 1e-12)
    return np.zeros_like(at), np.minimum(upper, 1.0)


ENGINES = {
    "contour": contour_bounds,
    "lattice": loss_lattice.delta_bounds,
    "renyi": renyi_bounds,
    "all together": plain.delta_bounds,
}


@given(PARTS, st.sampled_from([REMOVE, ADD]), EPSILONS)
@settings(max_examples=25)
def test_no_engine_contradicts_another(parts, direction, epsilon):
    """lower <= upper for each, and any engine's lower end is below any other's upper end."""
    at = np.array([epsilon])
    found = {name: engine(parts, direction, at) for name, engine in ENGINES.items()}
    for name, (lower, upper) in found.items():
        assert 0 <= lower[0] <= upper[0] <= 1, name
    for one, other in combinations(found, 2):
        assert found[one][0][0] <= found[other][1][0] + 1e-300, (one, other)
        assert found[other][0][0] <= found[one][1][0] + 1e-300, (other, one)


@given(PARTS, st.sampled_from([REMOVE, ADD]), st.lists(EPSILONS, min_size=2, max_size=3))
@settings(max_examples=8)
@pytest.mark.parametrize("name", list(ENGINES))
def test_bounds_fall_and_do_not_depend_on_company(name, parts, direction, epsilons):
    """delta falls in epsilon, as far as brackets tell; alone or in company it is the same."""
    at = np.sort(np.array(epsilons))
    lower, upper = ENGINES[name](parts, direction, at)
    assert (lower[1:] <= upper[:-1]).all()
    for k, epsilon in enumerate(at):
        alone = ENGINES[name](parts, direction, np.array([epsilon]))
        assert (alone[0][0], alone[1][0]) == (lower[k], upper[k])


@pytest.mark.parametrize("name", list(ENGINES))
@given(st.floats(0.05, 3.0), EPSILONS)
@settings(max_examples=8)
def test_nearly_certain_sampling_is_the_gaussian(name, mu, epsilon):
    """A rate of 1 - 1e-12 moves delta by at most that: every engine holds the closed form."""
    parts = Parts(0.0, (((1 - 1e-12, 1 / mu), 1),))
    exact = float(gaussian.delta(mu, epsilon))
    slack = 2e-12 * math.exp(epsilon)
    lower, upper = ENGINES[name](parts, REMOVE, np.array([epsilon]))
    assert lower[0] - slack <= exact <= upper[0] + slack
