"""What a claim lets an attacker achieve: closed forms of Gaussians, and bounds that hold."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from accountants import Adjacency, ApproximateDP, Gaussian
from dpfedsyn import attacker

SIDE = Adjacency.ADD_OR_REMOVE
MUS = st.floats(0.05, 5.0)


@given(MUS, st.floats(1e-4, 0.9), st.floats(0.0, 1e-3))
def test_nobody_finds_more_than_the_curve_allows(mu: float, fpr: float, deviation: float) -> None:
    """Guarantee of dpfedsyn.attacker.true_positive_rate: No attack on what the event covers finds a
    unit with a larger probability: the best test of a Gaussian, Phi(Phi^-1(fpr) + mu), reaches the
    bound and no more; what drawn noise deviates counts on either rate."""
    event = Gaussian(1.0 / mu)
    best = float(ndtr(ndtri(fpr) + mu))
    found = attacker.true_positive_rate(event, fpr, adjacency=SIDE)
    assert best <= found <= best + 1e-9
    drawn = attacker.true_positive_rate(event, fpr, adjacency=SIDE, deviation=deviation)
    assert drawn >= min(1.0, best + deviation)


@given(MUS, st.sampled_from([1e-9, 1e-6, 1e-5, 1e-3]))
def test_nobody_is_surer_but_for_delta(mu: float, delta: float) -> None:
    """Guarantee of dpfedsyn.attacker.posterior: Whether the unit is in the data or not, with
    probability at least 1 - delta the odds stay below: of a Gaussian they are normal with mean
    mu^2 / 2 and variance mu^2, so what lies above is known. It is not far off: lower odds, by a
    factor of e^1.5, are passed more often than that."""
    found = attacker.posterior(Gaussian(1.0 / mu), delta, adjacency=SIDE)
    if found < 1.0 - 1e-12:  # nearer to 1 the odds are lost in a float's last digits
        odds = math.log(found / (1.0 - found))
        assert float(ndtr(mu / 2 - odds / mu)) <= delta * 1.001
        assert float(ndtr(mu / 2 - (odds - 1.5) / mu)) > delta


def test_noise_that_deviates_too_much_leaves_no_posterior() -> None:
    """What is left of delta for drawn noise is a hundredth; a deviation beyond it says nothing."""
    event = Gaussian(1.0)
    sure = [
        attacker.posterior(event, 1e-5, adjacency=SIDE, deviation=d) for d in (0.0, 1e-20, 1e-9)
    ]
    assert sure[0] == sure[1] < 1.0
    assert sure[2] == 1.0


def test_an_epsilon_that_is_out_of_reach_is_certainty() -> None:
    """No overflow: the certainty of an epsilon of ten million is 1."""
    assert attacker.posterior(Gaussian(1e-4), 1e-5, adjacency=SIDE) == 1.0


def test_epsilon_and_delta_alone_give_the_textbook_bounds() -> None:
    """(2, 1e-5)-DP without more: min(e^eps fpr + delta, 1 - e^-eps (1 - delta - fpr))."""
    event = ApproximateDP(2.0, 1e-5)
    found = attacker.true_positive_rate(event, 0.01, adjacency=SIDE)
    assert found == pytest.approx(math.exp(2.0) * 0.01 + 1e-5, rel=1e-6)
