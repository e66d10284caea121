"""Claims beside other mechanisms: a closed form against what knows nothing of it."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountants import (
    Adjacency,
    ApproximateDP,
    Composed,
    Event,
    Gaussian,
    Laplace,
    PoissonSampled,
    Repeated,
    claims,
    epsilon,
    loss_lattice,
    plain,
)
from accountants.parts import parts_of
from accountants.steps import ADD, REMOVE

CLAIMS = st.lists(
    st.tuples(st.floats(0.0, 12.0), st.sampled_from([0.0, 1e-9, 1e-5, 0.2]), st.integers(1, 3)),
    min_size=1,
    max_size=3,
    unique_by=lambda claim: claim[:2],
)
BESIDE = st.sampled_from([
    Composed(()),
    Gaussian(0.7),
    Gaussian(5.0),
    Repeated(PoissonSampled(Gaussian(1.1), 0.02), 200),
    Composed((Gaussian(3.0), Repeated(PoissonSampled(Gaussian(0.8), 0.01), 50))),
])  # fmt: skip


def event_of(drawn: list[tuple[float, float, int]], beside: Event) -> Event:
    return Composed((*(Repeated(ApproximateDP(e, d), n) for e, d, n in drawn), beside))


@given(CLAIMS, BESIDE, st.floats(-9.0, 30.0), st.sampled_from([ADD, REMOVE]))
@settings(max_examples=40)
def test_the_lattice_brackets_the_same_delta(
    drawn: list[tuple[float, float, int]], beside: Event, at: float, direction: int
) -> None:
    """Guarantee of accountants.claims.delta_bounds: lower <= delta(epsilon) <= upper: the lattice,
    which knows nothing of the formula, brackets the same delta; and here the bracket is narrow."""
    parts, epsilons = parts_of(event_of(drawn, beside), Adjacency.ADD_OR_REMOVE), np.array([at])
    lower, upper = plain.delta_bounds(parts, direction, epsilons)
    below, above = loss_lattice.delta_bounds(parts, direction, epsilons)
    assert lower[0] <= upper[0]
    assert below[0] <= upper[0] * (1 + 1e-12) + 1e-300
    assert lower[0] <= above[0] * (1 + 1e-12) + 1e-300
    if not parts.sampled:
        assert upper[0] - lower[0] <= 1e-10 * upper[0] + 1e-300


@given(
    st.floats(0.0, 20.0),
    st.sampled_from([0.0, 1e-6, 0.1]),
    st.integers(1, 40),
    st.floats(0.1, 4.0),
    st.floats(0.0, 30.0),
)
@settings(max_examples=40)
def test_many_of_one_claim_beside_a_gaussian_in_exact_arithmetic(
    reach: float, chance: float, count: int, mu: float, at: float
) -> None:
    """The mixture, summed with fifty digits: it lies between the bounds."""
    event = Composed((Repeated(ApproximateDP(reach, chance), count), Gaussian(1.0 / mu)))
    parts = parts_of(event, Adjacency.ADD_OR_REMOVE)
    lower, upper = plain.delta_bounds(parts, REMOVE, np.array([at]))
    with mp.workdps(50):
        root, e, p = mp.sqrt(mp.mpf(parts.mu2)), mp.mpf(at), 1 / (1 + mp.exp(-mp.mpf(reach)))
        total = mp.mpf(0)
        for b in range(count + 1):
            x = e - mp.mpf(reach) * (2 * b - count)
            gaussian = mp.ncdf(root / 2 - x / root) - mp.exp(x) * mp.ncdf(-root / 2 - x / root)
            total += mp.binomial(count, b) * p**b * (1 - p) ** (count - b) * gaussian
        none = (1 - mp.mpf(chance)) ** count
        exact = 1 - none + none * total
        assert mp.mpf(lower[0]) <= exact <= mp.mpf(upper[0])
    assert upper[0] - lower[0] <= 1e-9 * upper[0] + 1e-300


def test_an_epsilon_gets_the_same_answer_alone_and_in_company() -> None:
    """Every number of the bounds is a function of its own epsilon."""
    beside = Composed((Gaussian(2.0), Repeated(PoissonSampled(Gaussian(0.9), 0.05), 30)))
    parts = parts_of(event_of([(2.0, 1e-6, 2)], beside), Adjacency.ADD_OR_REMOVE)
    at = np.array([-3.0, 0.1, 2.0, 7.5])
    lower, upper = plain.delta_bounds(parts, REMOVE, at)
    for place, one in enumerate(at):
        alone = plain.delta_bounds(parts, REMOVE, np.array([one]))
        assert (alone[0][0], alone[1][0]) == (lower[place], upper[place])


def test_only_claims_and_not_too_many_are_mixed() -> None:
    """All else is the lattice's."""
    steps = parts_of(Repeated(Laplace(1.0), 2), Adjacency.ADD_OR_REMOVE).others
    claim = parts_of(ApproximateDP(1.0, 0.0), Adjacency.ADD_OR_REMOVE).others
    assert claims.losses(()) is None
    assert claims.losses((*claim, *steps)) is None
    assert claims.losses(((claim[0][0], claims.MOST),)) is None
    found = claims.losses(((claim[0][0], 3),))
    assert found is not None
    assert found.values.tolist() == [-3.0, -1.0, 1.0, 3.0]
    assert math.fsum(found.weights) == pytest.approx(1.0, rel=1e-14)


def test_a_claim_that_hides_nothing_of_itself_adds_only_its_delta() -> None:
    """(0, delta_0): the rest's delta, but for the chance that the claim fails; the closed forms of
    two different claims are not the same number."""
    rest = Gaussian(2.0)
    parts = parts_of(Composed((ApproximateDP(0.0, 0.01), rest)), Adjacency.ADD_OR_REMOVE)
    _, upper = plain.delta_bounds(parts, REMOVE, np.array([1.0]))
    _, alone = plain.delta_bounds(parts_of(rest, Adjacency.ADD_OR_REMOVE), REMOVE, np.array([1.0]))
    assert upper[0] == pytest.approx(0.01 + 0.99 * alone[0], rel=1e-12)
    more = epsilon(Composed((ApproximateDP(1.0, 0.0), rest)), delta=1e-5)
    less = epsilon(Composed((ApproximateDP(0.5, 0.0), rest)), delta=1e-5)
    assert more.lower > less.upper + 0.1
