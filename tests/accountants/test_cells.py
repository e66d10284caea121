"""Masses of privacy losses between edges: against high precision, with their error bounds."""

import math
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import erfcx, ndtr

from accountants import (
    Adjacency,
    ApproximateDP,
    Cascade,
    Composed,
    Gaussian,
    Laplace,
    epsilon,
    loss_lattice,
    plain,
)
from accountants.cells import cells
from accountants.mixture import loss, mixture, position
from accountants.parts import parts_of
from accountants.steps import ADD, REMOVE, Binomial, Glued

RATES = st.floats(-6, -0.01).map(lambda x: 10.0**x) | st.just(1.0)
SIGMAS = st.floats(-0.6, 1.5).map(lambda x: 10.0**x)
DIRECTIONS = st.sampled_from([REMOVE, ADD])


def exact_loss(step, z):
    """log P/Q at z, with mpmath."""
    total = mp.mpf(0)
    for i in range(step.size + 1):
        weight = mp.binomial(step.size, i) * mp.mpf(step.rate) ** i
        weight *= (1 - mp.mpf(step.rate)) ** (step.size - i)
        shift = i / mp.mpf(step.sigma)
        total += weight * mp.exp(shift * z - shift**2 / 2)
    return mp.log(total)


def exact_masses(step, x):
    """(P(remove) mass at losses <= x, Q mass at losses <= x) of the `remove` pair."""
    low, high = mp.mpf(-60), step.size / mp.mpf(step.sigma) + 60
    if exact_loss(step, low) >= x:
        return mp.mpf(0), mp.mpf(0)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if exact_loss(step, middle) < x else (low, middle)
    p = mp.mpf(0)
    for i in range(step.size + 1):
        weight = mp.binomial(step.size, i) * mp.mpf(step.rate) ** i
        weight *= (1 - mp.mpf(step.rate)) ** (step.size - i)
        p += weight * mp.ncdf(low - i / mp.mpf(step.sigma))
    return p, mp.ncdf(low)


def exact_cell(step, direction, left, right):
    """(P-mass, excess) of one cell of losses."""
    if direction == REMOVE:
        ends = [exact_masses(step, mp.mpf(x)) for x in (left, right)]
        p, q = ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]
    else:
        ends = [exact_masses(step, -mp.mpf(x)) for x in (left, right)]
        p, q = ends[0][1] - ends[1][1], ends[0][0] - ends[1][0]
    return p, p - mp.exp(mp.mpf(left)) * q


@settings(max_examples=15)
@given(RATES, SIGMAS, st.sampled_from([1, 1, 2, 5]), DIRECTIONS, st.floats(-3, 8), st.floats(-4, 0))
def test_mass_and_excess_are_as_good_as_they_claim(rate, sigma, size, direction, z, log_width):
    """A cell anywhere: both errors stay within the bounds that come along, which are small."""
    step = Binomial(rate, sigma, size)
    at = float(loss(mixture(step), np.array([z]))[0][0]) * (1 if direction == REMOVE else -1)
    edges = np.array([at, at + 10.0**log_width])
    found = cells(step, direction, edges)
    with mp.workdps(60):
        mass, excess = exact_cell(step, direction, *edges)
        moved = mp.mpf(float(edges[0])) + 2 * found.slack + mp.mpf("1e-15") * abs(at)
        # losses may lie `slack` off: so may the ends, at the density there
        nearby = exact_cell(step, direction, float(edges[0]), float(moved))[0]
        nearby += exact_cell(step, direction, float(edges[1]), float(moved - edges[0] + edges[1]))[
            0
        ]
        nearby = abs(nearby) * 2 + mp.mpf("1e-299")
        assert abs(found.mass[0] - mass) <= found.mass_error[0] + nearby
        assert abs(found.excess[0] - excess) <= found.excess_error[0] + nearby
    assert found.mass_error[0] <= 1e-9
    assert found.slack <= 1e-11 * (1 + abs(at) + 1 / sigma**2)


@given(RATES, SIGMAS, DIRECTIONS, st.integers(2, 200))
def test_all_of_the_mass_is_somewhere(rate, sigma, direction, count):
    """Cells, what lies below and what lies above add up to one."""
    below = min(rate, 0.9)
    for step in (
        Binomial(rate, sigma, 1),
        Binomial(rate, sigma, 3),
        Laplace(sigma),
        ApproximateDP(1 / sigma, below),
        Glued(below, sigma),
    ):
        edges = np.linspace(-1.0, 1.5, count)
        found = cells(step, direction, edges)
        total = found.mass.sum() + found.below + found.above + found.infinite
        assert total == pytest.approx(1.0, abs=1e-12)
        assert np.all(found.mass >= 0)


@given(st.floats(0.05, 20.0), st.lists(st.floats(-3, 3), min_size=2, max_size=9, unique=True))
def test_laplace_cells_are_exact(sigma, ends):
    """Against the closed form of the profile: delta(x) = 1 - e^((x - 1/b) / 2) inside."""
    edges = np.sort(np.array(ends)) / sigma
    assume(np.diff(edges).min() > 1e-9)
    found = cells(Laplace(sigma), REMOVE, edges)
    reach = 1 / mp.mpf(sigma)

    def profile(x):
        if x >= reach:
            return mp.mpf(0)
        return 1 - mp.exp((x - reach) / 2) if x > -reach else 1 - mp.exp(x)

    def q_above(x):
        return mp.exp(-(reach + x) / 2) / 2 if -reach <= x < reach else mp.mpf(x < reach)

    with mp.workdps(50):
        for j, (left, right) in enumerate(pairwise(edges)):
            left, right = mp.mpf(float(left)), mp.mpf(float(right))
            expected = profile(left) - profile(right)
            expected -= (mp.exp(right) - mp.exp(left)) * q_above(right)
            assert abs(found.excess[j] - expected) <= found.excess_error[j] + 1e-15


def test_the_glued_pair_is_symmetric_with_an_atom_at_zero():
    """Q(L < -x) = P(L > x), and what is left over has loss 0."""
    step, edges = Glued(0.3, 0.7), np.linspace(-2.0, 2.0, 41)
    found = cells(step, REMOVE, edges)
    again = cells(step, ADD, edges)
    assert np.array_equal(found.mass, again.mass)
    q = (found.mass - found.excess) * np.exp(-edges[:-1])
    zero = 19  # (-0.1, 0]: the atom belongs to it
    atom = 0.7 * math.erf(1 / 0.7 / math.sqrt(8))
    p_mirrored, q_mirrored = found.mass[::-1], q[::-1]
    assert np.delete(q, [zero, zero + 1]) == pytest.approx(np.delete(p_mirrored, [zero, zero + 1]))
    assert q[zero] - atom == pytest.approx(p_mirrored[zero], abs=1e-12)
    assert found.mass[zero] - atom == pytest.approx(q_mirrored[zero], abs=1e-12)


def test_atoms_of_a_claim_lie_at_both_ends():
    """(epsilon, delta)-DP is randomised response beside an infinite loss of mass delta."""
    found = cells(ApproximateDP(1.0, 0.25), REMOVE, np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
    high = 0.75 * math.e / (1 + math.e)
    assert found.infinite == 0.25
    assert found.mass == pytest.approx([0.75 - high, 0.0, high, 0.0])
    assert found.excess[2] == pytest.approx(high * (1 - math.exp(-1)))


@given(st.integers(2, 3000), RATES, SIGMAS)
def test_a_folded_binomial_brackets_the_whole_one(size, rate, sigma):
    """Few components stand for many, heavier (`up`) or lighter; weights are a distribution."""
    assume(rate * size < 200)
    step = Binomial(rate, sigma, size)
    up, down = mixture(step, up=True), mixture(step, up=False)
    for pair in (up, down):
        assert min(pair.weights) > 0
        assert pair.rest + math.fsum(pair.weights) == pytest.approx(1.0, abs=1e-9)
    mean = [math.fsum(w * c for w, c in zip(p.weights, p.shifts, strict=True)) for p in (up, down)]
    assert mean[0] >= mean[1]
    assert mean[0] == pytest.approx(rate * size / sigma, rel=1e-6)


@given(RATES, SIGMAS, st.sampled_from([1, 2, 7]), st.floats(-6, 6))
def test_position_inverts_the_loss(rate, sigma, size, z):
    """The z at which a loss is met, wherever the loss moves at all."""
    pair = mixture(Binomial(rate, sigma, size))
    at, error, _ = loss(pair, np.array([z]))
    again, _, _ = loss(pair, position(pair, at))
    assert abs(again - at) <= 4 * error + 1e-14 * np.abs(at) + 1e-300


@given(st.floats(-38, 8))
def test_tails_of_scipy_are_as_good_as_assumed(z):
    """Phi within (10 + 2 z^2) ulp and e^(x^2) erfc(x) within 8: the bounds build on both."""
    with mp.workdps(60):
        value = mp.ncdf(mp.mpf(z))
        assert abs(ndtr(z) - value) <= value * (10 + 2 * z * z) * 2.0**-52 + 1e-305
        x = abs(z)
        mills = mp.exp(mp.mpf(x) ** 2) * mp.erfc(x)
        assert abs(erfcx(x) - mills) <= mills * 8 * 2.0**-52


@pytest.mark.parametrize("delta", [5e-7, 1e-12])
def test_no_epsilon_makes_up_for_a_delta_that_is_claimed_already(delta: float) -> None:
    """(2, 1e-6)-DP has no epsilon at a smaller delta, alone or with noise beside it; behind noisy
    answers it has theirs."""
    claim, answers = ApproximateDP(2.0, 1e-6), Gaussian(0.5)
    for event in (claim, Composed((claim, Gaussian(3.0)))):
        found = epsilon(event, delta=delta, adjacency=Adjacency.ADD_OR_REMOVE)
        assert found.lower == found.upper == math.inf
    behind = epsilon(
        Cascade(Composed((claim,)), answers), delta=delta, adjacency=Adjacency.ADD_OR_REMOVE
    )
    alone = epsilon(answers, delta=delta, adjacency=Adjacency.ADD_OR_REMOVE)
    assert behind.upper <= alone.upper


@given(st.floats(0.0, 30.0), st.floats(0.0, 0.5), st.floats(0.0, 40.0))
@settings(max_examples=30)
def test_one_claim_in_closed_form_is_what_the_lattice_brackets(
    reach: float, chance: float, at: float
) -> None:
    """The lattice knows nothing of the formula; both bracket the same delta."""
    (part,) = (parts_of(ApproximateDP(reach, chance), Adjacency.ADD_OR_REMOVE),)
    epsilons = np.array([at])
    lower, upper = plain.delta_bounds(part, REMOVE, epsilons)
    below, above = loss_lattice.delta_bounds(part, REMOVE, epsilons)
    assert upper[0] - lower[0] <= 2e-13 * upper[0]
    assert below[0] <= upper[0] * (1 + 1e-12) + 1e-300
    assert lower[0] <= above[0] * (1 + 1e-12) + 1e-300
