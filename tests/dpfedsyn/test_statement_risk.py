"""What a claim means to an attacker: the trade-off curve against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from accountants import (
    Adjacency,
    Composed,
    Gaussian,
    PoissonSampled,
    Repeated,
    delta,
    epsilon,
)
from dpfedsyn.statement import risk

SIDE = Adjacency.ADD_OR_REMOVE


@given(mu=st.floats(0.05, 6.0), deviation=st.sampled_from([0.0, 1e-12, 1e-3]))
def test_the_curve_of_a_gaussian_is_its_closed_form(mu: float, deviation: float) -> None:
    """Guarantee of dpfedsyn.statement.risk.of: No test that accuses with a false-positive rate on
    the curve finds a unit with a probability above the curve's, drawn noise included."""
    told = risk.of((Gaussian(1.0 / mu),), SIDE, deviation, 1e-5)
    for point in told["tradeoff"]:
        best = ndtr(ndtri(min(1.0, point["fpr"] + deviation)) + mu)
        assert point["tpr"] >= min(1.0, best + deviation) - 1e-12
        assert point["tpr"] <= min(1.0, best + deviation) + 1e-9
        assert point["posterior"] == point["tpr"] / (point["tpr"] + point["fpr"])
    total = ndtr(mu / 2) - ndtr(-mu / 2)
    assert told["advantage"] == pytest.approx(min(1.0, total + 2 * deviation), abs=1e-9)
    assert told["right_guess_from_even_odds"] == min(1.0, 0.5 + 0.5 * told["advantage"])


def test_no_threshold_test_on_simulated_outputs_beats_it() -> None:
    """The best test of a Gaussian, played 400,000 times a side: its rates lie below the curve, by
    more than six standard deviations nowhere above (false alarm below 1e-8)."""
    rng, mu, draws = np.random.default_rng(3), 1.5, 400_000
    out, inside = rng.normal(0.0, 1.0, draws), rng.normal(mu, 1.0, draws)
    for point in risk.of((Gaussian(1.0 / mu),), SIDE, 0.0, 1e-5)["tradeoff"]:
        threshold = -float(ndtri(point["fpr"]))
        accused, caught = np.mean(out > threshold), np.mean(inside > threshold)
        slack = 6.0 * math.sqrt(0.25 / draws)
        assert abs(accused - point["fpr"]) < slack
        assert caught <= point["tpr"] + slack
        if accused > 0:
            assert caught / (caught + accused) <= point["posterior"] + 0.05


@pytest.mark.parametrize(
    "event",
    [
        Repeated(PoissonSampled(Gaussian(1.2), 0.25), 40),
        Composed((Gaussian(2.0), Repeated(PoissonSampled(Gaussian(1.5), 0.1), 20))),
    ],
)
def test_it_is_never_weaker_than_the_line_of_epsilon_and_delta(event: object) -> None:
    """tpr <= e^epsilon fpr + delta, and the same from the other side; the curve grows."""
    slack = 1e-5
    upper = epsilon(event, delta=slack, adjacency=SIDE).upper  # type: ignore[arg-type]
    told = risk.of((event,), SIDE, 0.0, slack)  # type: ignore[arg-type]
    rates = [point["tpr"] for point in told["tradeoff"]]
    assert rates == sorted(rates)
    for point in told["tradeoff"]:
        assert point["tpr"] >= point["fpr"]
        assert point["tpr"] <= math.exp(upper) * point["fpr"] + slack + 1e-9
        assert point["tpr"] <= 1.0 - math.exp(-upper) * (1.0 - point["fpr"] - slack) + 1e-9
    assert told["advantage"] == delta(event, epsilon=0.0, adjacency=SIDE).upper  # type: ignore[arg-type]
    assert told["posterior_from_even_odds"] > 1.0 / (1.0 + math.exp(-upper))
    assert told["posterior_from_even_odds"] < 1.0 / (1.0 + math.exp(-upper - 1.5))
    assert told["at_low_rate"]["fpr"] == 1e-3


def test_the_worst_claim_counts_at_every_rate() -> None:
    """Of several, the largest true-positive rate; groups of silos are all looked at, once each."""
    small, large = Gaussian(3.0), Gaussian(1.5)
    both = risk.of((small, large), SIDE, 0.0, 1e-5)
    assert both == risk.of((large,), SIDE, 0.0, 1e-5)
    assert both["advantage"] > risk.of((small,), SIDE, 0.0, 1e-5)["advantage"]
    pairs = risk.subsets((small, large, small), 2)
    assert pairs is not None
    assert {event.events.count(small) for event in pairs if isinstance(event, Composed)} == {1, 2}
    assert len(pairs) == 2
    assert risk.subsets((small, large, small), 1) == (small, large)
    many = tuple(Gaussian(1.0 + k / 10) for k in range(9))
    assert risk.subsets(many, 4) is None
    assert len(risk.subsets(many, 1) or ()) == 9


def test_what_drawn_noise_deviates_counts_on_both_rates() -> None:
    """With a deviation of a hundredth every rate is higher than by accounting alone."""
    ideal = risk.of((Gaussian(2.0),), SIDE, 0.0, 1e-5)
    drawn = risk.of((Gaussian(2.0),), SIDE, 0.01, 1e-5)
    for one, other in zip(ideal["tradeoff"], drawn["tradeoff"], strict=True):
        assert other["tpr"] >= one["tpr"] + 0.01
    assert drawn["advantage"] == pytest.approx(ideal["advantage"] + 0.02)
