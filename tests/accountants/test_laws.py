"""One step on a lattice: above its profile or below it, whatever the spacing."""

import math
from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountants import ApproximateDP, Laplace, laws
from accountants.cells import Cells, cells
from accountants.laws import lower_law, upper_law
from accountants.mixture import loss, mixture
from accountants.steps import ADD, REMOVE, Binomial, Glued

RATES = st.floats(-5, -0.05).map(lambda x: 10.0**x)
SIGMAS = st.floats(-0.3, 1.0).map(lambda x: 10.0**x)
SPACINGS = st.floats(-2, 0).map(lambda x: 10.0**x)
DIRECTIONS = st.sampled_from([REMOVE, ADD])


def profile(law, spacing, epsilon):
    """delta(epsilon) of a law, with mpmath."""
    nodes = law.low + np.arange(law.mass.size)
    total = mp.mpf(law.infinite)
    for node, mass in zip(nodes, law.mass, strict=True):
        gap = mp.mpf(epsilon) - int(node) * mp.mpf(spacing) - mp.mpf(law.offset)
        if mass > 0 and gap < 0:
            total += mp.mpf(float(mass)) * -mp.expm1(gap)
    return total


def sampled_profile(rate, sigma, direction, epsilon):
    """delta of one Poisson-sampled step; 1 - e^epsilon where no loss is that small."""
    rate, epsilon = mp.mpf(rate), mp.mpf(epsilon)
    if direction == ADD:
        return 1 - mp.exp(epsilon) * (1 - sampled_profile(rate, sigma, REMOVE, -epsilon))
    inner = (mp.expm1(epsilon) + rate) / rate
    if inner <= 0:
        return 1 - mp.exp(epsilon)
    mu, at = 1 / mp.mpf(sigma), mp.log(inner)
    return rate * (mp.ncdf(mu / 2 - at / mu) - inner * mp.ncdf(-mu / 2 - at / mu))


def range_of(spacing, lowest, highest):
    """Nodes around these losses, few enough for mpmath."""
    low = max(math.floor(lowest / spacing) - 2, -200)
    return low, min(math.ceil(highest / spacing) + 2, low + 400)


@settings(max_examples=15)
@given(RATES, SIGMAS, SPACINGS, DIRECTIONS, st.floats(-2, 4), st.sampled_from([1, 1000]))
def test_laws_lie_on_either_side_of_a_sampled_step(rate, sigma, spacing, direction, z, count):
    """Cells split between their ends are above the profile, cells moved down are below it.

    Guarantee of accountants.laws.upper_law: The composition's delta is at most that
    of the composed laws.
    """
    step = Binomial(rate, sigma, 1)
    ends = loss(mixture(step), np.array([-8.0, 8.0 + 1 / sigma, z]))[0]
    ends = ends if direction == REMOVE else -ends
    low, high = range_of(spacing, ends[:2].min(), ends[:2].max())
    upper = upper_law(step, direction, spacing, low, high)
    lower = lower_law(step, direction, spacing, low, high, 1.0, count)
    with mp.workdps(40):
        digits = mp.mpf("1e-35")  # of the reference, where it is a difference of numbers near 1
        for epsilon in (ends[2], ends[2] + spacing / 3, low * spacing):
            exact = sampled_profile(rate, sigma, direction, float(epsilon))
            assert profile(lower, spacing, float(epsilon)) <= exact + digits
            assert exact - digits <= profile(upper, spacing, float(epsilon))


@settings(max_examples=10)
@given(SPACINGS, st.floats(0.1, 3.0), st.floats(-1.1, 1.1), st.sampled_from([1, 1000]))
def test_laws_lie_on_either_side_of_laplace_and_claims(spacing, sigma, share, count):
    """With atoms that fall anywhere between the nodes.

    Guarantee of accountants.laws.lower_law: The composition's delta is at least that
    of the composed laws.
    """
    reach = 1 / sigma
    low, high = range_of(spacing, -reach, reach)
    epsilon = share * reach
    with mp.workdps(40):
        odds = 1 / (1 + mp.exp(-mp.mpf(reach)))
        claim = 0.01 + mp.mpf("0.99") * sum(
            m * max(mp.mpf(0), -mp.expm1(mp.mpf(epsilon) - x))
            for m, x in ((odds, reach), (1 - odds, -reach))
        )
        inside = 1 - mp.exp((mp.mpf(epsilon) - 1 / mp.mpf(sigma)) / 2)
        smooth = inside if abs(share) < 1 else max(mp.mpf(0), 1 - mp.exp(mp.mpf(epsilon)))
        for step, exact in ((ApproximateDP(reach, 0.01), claim), (Laplace(sigma), smooth)):
            upper = upper_law(step, REMOVE, spacing, low, high)
            lower = lower_law(step, REMOVE, spacing, low, high, 1.0, count)
            slack = mp.mpf("1e-15")  # 0.01 and 0.99 are rounded here
            assert profile(lower, spacing, epsilon) <= exact + slack
            assert profile(upper, spacing, epsilon) >= exact - slack


@pytest.mark.parametrize("spacing", [0.3, 0.011])
def test_what_a_short_lattice_misses_counts_against_us(spacing):
    """Mass above is infinite or stays at the top, mass below moves up or is lost."""
    for step in (Binomial(0.2, 0.8, 1), Glued(0.2, 0.8), Laplace(0.5)):
        low, high = math.floor(-0.1 / spacing), math.ceil(0.4 / spacing)
        wide = math.floor(-3 / spacing), math.ceil(25 / spacing)
        short_up = upper_law(step, REMOVE, spacing, low, high)
        short_down = lower_law(step, REMOVE, spacing, low, high, 1.0, 1)
        above = upper_law(step, REMOVE, spacing, *wide)
        below = lower_law(step, REMOVE, spacing, *wide, 1.0, 1)
        assert short_up.infinite > above.infinite
        assert short_up.mass.sum() + short_up.infinite == pytest.approx(1.0, abs=1e-8)
        assert short_down.infinite == 0.0
        for epsilon in (-0.5, 0.0, 0.2, 0.6, 2.0):
            assert profile(short_up, spacing, epsilon) >= profile(below, spacing, epsilon)
            assert profile(short_down, spacing, epsilon) <= profile(above, spacing, epsilon)


def test_laws_cover_whatever_errors_their_cells_admit(monkeypatch):
    """Cells off by all that they say they may be off by, at random: the laws still bracket."""
    random = np.random.default_rng(11)

    def worse(step, direction, edges, *, up):
        """True cells of edges that moved by `slack`, each number then off within its error."""
        slack = 0.02
        found = cells(step, direction, edges + random.uniform(-slack, slack), up=up)
        mass_error, excess_error = 0.02 * found.mass + 1e-5, 0.03 * found.mass + 1e-5
        draw = random.uniform(-1, 1, (2, found.mass.size))
        mass = np.maximum(found.mass + draw[0] * mass_error, 0.0)
        return Cells(mass, mass_error, found.excess + draw[1] * excess_error,
                     excess_error + 2 * slack * found.mass, 2 * slack, found.below, found.above,
                     found.top - slack)  # fmt: skip

    monkeypatch.setattr(laws, "cells", worse)
    step, spacing = Binomial(0.3, 1.0, 1), 0.1
    at = np.array([-0.2, 0.0, 0.35, 1.0, 2.0])
    for _ in range(40):
        upper = upper_law(step, REMOVE, spacing, -4, 90)
        lower = lower_law(step, REMOVE, spacing, -4, 90, 1.0, 1)
        for epsilon in at:
            exact = sampled_profile(0.3, 1.0, REMOVE, float(epsilon))
            assert profile(lower, spacing, float(epsilon)) <= exact
            assert exact <= profile(upper, spacing, float(epsilon))


def test_slack_moves_the_law_outward(monkeypatch):
    """Losses that may lie outside of their cells are taken to lie there, on the worse side."""
    slack = 0.03
    monkeypatch.setattr(laws, "cells", lambda *args, up: replace(cells(*args, up=up), slack=slack))
    claim = ApproximateDP(0.5, 0.0)
    for law, side in (
        (upper_law(claim, REMOVE, 0.25, -4, 4), 1),
        (lower_law(claim, REMOVE, 0.25, -4, 4, 1.0, 1), -1),
    ):
        top = law.low + int(np.flatnonzero(law.mass > 1e-6)[-1])
        assert side * (top * 0.25 + law.offset - 0.5) >= slack


def test_moved_cells_lose_less():
    """For a step that runs often the mean loss given up falls from h^2 to almost nothing."""
    step, spacing = Binomial(0.01, 1.0, 1), 1.4e-4
    low, high = -76, 20_000

    def mean(law):
        return float(law.mass @ ((law.low + np.arange(law.mass.size)) * spacing + law.offset))

    exact = mean(upper_law(step, REMOVE, spacing, low, high))
    plain = exact - mean(lower_law(step, REMOVE, spacing, low, high, 1.0, 1))
    moved = exact - mean(lower_law(step, REMOVE, spacing, low, high, 1.0, 10_000))
    assert 0 < moved < plain / 3


def test_roundings_go_outward():
    """Each by more than the operations before it can have lost."""
    value = np.array([0.0, 1e-300, 0.3, 1.0])
    assert np.all(laws._up(value)[1:] > value[1:])
    assert np.all(laws._down(value)[1:] < value[1:])
    assert laws._down(np.array([-1e-20]))[0] == 0.0
    losses = np.array([-3.0, 0.0, 2.0])
    assert np.all(laws._down_to(losses, 1e-12) <= losses - 1e-12)
