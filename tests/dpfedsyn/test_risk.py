"""What a claim lets an attacker achieve: closed forms of Gaussians, and bounds that hold."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from accountants import Adjacency, ApproximateDP, Composed, Gaussian
from dpfedsyn import risk

SIDE = Adjacency.ADD_OR_REMOVE
MUS = st.floats(0.05, 5.0)


@given(MUS, st.floats(1e-4, 0.9), st.floats(0.0, 1e-3))
def test_nobody_finds_more_than_the_curve_allows(mu: float, fpr: float, deviation: float) -> None:
    """Guarantee of dpfedsyn.risk.true_positive_rate: No attack on what the event covers finds a
    unit with a larger probability: the best test of a Gaussian, Phi(Phi^-1(fpr) + mu), reaches the
    bound and no more; what drawn noise deviates counts on either rate."""
    event = Gaussian(1.0 / mu)
    best = float(ndtr(ndtri(fpr) + mu))
    found = risk.true_positive_rate(event, fpr, adjacency=SIDE)
    assert best <= found <= best + 1e-9
    drawn = risk.true_positive_rate(event, fpr, adjacency=SIDE, deviation=deviation)
    assert drawn >= min(1.0, best + deviation)


@given(MUS, st.floats(0.0, 1e-3))
def test_nobody_guesses_right_more_often(mu: float, deviation: float) -> None:
    """Guarantee of dpfedsyn.risk.right_guess: No attack errs less: the best guess between two
    Gaussians at even odds is right with probability Phi(mu / 2)."""
    found = risk.right_guess(Gaussian(1.0 / mu), adjacency=SIDE, deviation=deviation)
    best = float(ndtr(mu / 2))
    assert best + deviation - 1e-12 <= found <= best + deviation + 1e-6


@given(MUS, st.sampled_from([1e-9, 1e-6, 1e-5, 1e-3]))
def test_nobody_is_surer_but_for_delta(mu: float, delta: float) -> None:
    """Guarantee of dpfedsyn.risk.posterior: Whether the unit is in the data or not, with
    probability at least 1 - delta the odds stay below: of a Gaussian they are normal with mean
    mu^2 / 2 and variance mu^2, so what lies above is known. It is not far off: lower odds, by a
    factor of e^1.5, are passed more often than that."""
    found = risk.posterior(Gaussian(1.0 / mu), delta, adjacency=SIDE)
    if found < 1.0 - 1e-12:  # nearer to 1 the odds are lost in a float's last digits
        odds = math.log(found / (1.0 - found))
        assert float(ndtr(mu / 2 - odds / mu)) <= delta * 1.001
        assert float(ndtr(mu / 2 - (odds - 1.5) / mu)) > delta


def test_noise_that_deviates_too_much_leaves_no_posterior() -> None:
    """What is left of delta for drawn noise is a hundredth; a deviation beyond it says nothing."""
    event = Gaussian(1.0)
    sure = [risk.posterior(event, 1e-5, adjacency=SIDE, deviation=d) for d in (0.0, 1e-20, 1e-9)]
    assert sure[0] == sure[1] < 1.0
    assert sure[2] == 1.0


def test_an_epsilon_that_is_out_of_reach_is_certainty() -> None:
    """No overflow: the odds of an epsilon of ten million are 1."""
    huge = risk.of(Gaussian(1e-4), 1e-5, adjacency=SIDE)
    assert huge["posterior_from_even_odds"] == 1.0
    assert huge["right_guess_from_even_odds"] == 1.0


def test_epsilon_and_delta_alone_give_the_textbook_bounds() -> None:
    """(2, 1e-5)-DP without more: min(e^eps fpr + delta, 1 - e^-eps (1 - delta - fpr))."""
    event = ApproximateDP(2.0, 1e-5)
    found = risk.true_positive_rate(event, 0.01, adjacency=SIDE)
    assert found == pytest.approx(math.exp(2.0) * 0.01 + 1e-5, rel=1e-6)


def test_all_of_it_agrees_with_its_parts_and_grows_with_the_rates() -> None:
    """One dictionary of JSON-ready values; an event of nothing is chance."""
    event = Gaussian(0.5)
    found = risk.of(event, 1e-5, adjacency=SIDE, deviation=1e-25)
    rates = [point["tpr"] for point in found["tradeoff"]]
    assert rates == sorted(rates)
    assert found["at_low_rate"] == found["tradeoff"][1]
    assert found["at_low_rate"]["fpr"] == 1e-3
    assert found["advantage"] == pytest.approx(2 * float(ndtr(1.0)) - 1)
    assert found["right_guess_from_even_odds"] == pytest.approx(float(ndtr(1.0)), abs=1e-6)
    nothing = risk.of(Composed(()), 1e-5, adjacency=SIDE)
    assert nothing["right_guess_from_even_odds"] == pytest.approx(0.5, abs=1e-9)
    assert all(p["tpr"] == pytest.approx(p["fpr"], abs=1e-9) for p in nothing["tradeoff"])
