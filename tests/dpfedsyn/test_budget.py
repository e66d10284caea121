"""A silo's budget: it keeps its promise, uses it, and keeps what leaves out of the product."""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountants import (
    Cascade,
    Composed,
    Event,
    Gaussian,
    PoissonSampled,
    Repeated,
    Unbounded,
    epsilon,
)
from dpfedsyn import config as configuration
from dpfedsyn import plan as planning
from dpfedsyn.budget import Budget, solve
from dpfedsyn.errors import BudgetExhausted, UnsupportedEvent
from dpfedsyn.plan_table import shares_mu2
from dpfedsyn.settings import Config

DELTA = 1e-5
TOY = Budget(
    Gaussian(2.0), True, Gaussian(1.5), Repeated(PoissonSampled(Gaussian(2.0), 0.25), 50), 0.5, None
)


@cache
def example(name: str = "hospitals", *overrides: str) -> Config:
    return configuration.load(name, overrides)


def upper(event: Event, adjacency: str = "add-or-remove") -> float:
    return epsilon(event, delta=DELTA, adjacency=adjacency).upper


def with_privacy(config: Config, **changes: Any) -> Config:
    return replace(config, privacy=replace(config.privacy, **changes))


@pytest.mark.parametrize("target", [1.0, 4.0, 8.0])
@pytest.mark.parametrize("source", ["counts", "public"])
def test_a_solved_budget_meets_epsilon_and_uses_it(target: float, source: str) -> None:
    """The certified upper bound is within the budget, and at least 97 % of it is used."""
    config = example("hospitals", f"privacy.epsilon={target}", f"weights.source={source}")
    claimed = upper(solve(config, config.silos[0]).record_claim())
    assert claimed <= target
    assert claimed >= 0.97 * target


@settings(max_examples=40)
@given(st.floats(0.5, 12.0), st.floats(0.01, 0.2), st.floats(0.1, 0.6), st.integers(1, 300))
def test_every_solved_budget_meets_epsilon(
    target: float, counts: float, moments: float, steps: int
) -> None:
    """Guarantee of dpfedsyn.budget.solve: The upper bound on epsilon of the whole claim is at most
    what was asked for, whatever the split."""
    config = with_privacy(example(), epsilon=target, counts_share=counts, moments_share=moments)
    config = replace(config, train=replace(config.train, steps=steps))
    budget = solve(config, config.silos[0])
    assert upper(budget.record_claim()) <= target
    assert budget.training is not None
    assert budget.training.count == steps


def test_dp_sgd_gets_thirty_percent_of_the_hospitals_budget() -> None:
    """The network is trained with real money in the embedded example: at least 30 % of mu^2."""
    plan = planning.make(example())
    for budget in plan.budgets.values():
        shares = shares_mu2(plan, budget)
        assert shares["dp-sgd"] >= 0.30
        assert math.fsum(shares.values()) == pytest.approx(1.0)


def test_counts_that_leave_stand_outside_the_product() -> None:
    """The trap: counts inside the cascade would be multiplied away by the answers' small delta.

    With next to no answers that false claim promises less than the counts alone reveal.
    """
    budget = replace(TOY, answers_mu=0.05)
    assert budget.counts is not None
    trap = Cascade(Composed((budget.counts, *budget.inside())), Gaussian(1 / 0.05))
    counts = upper(budget.counts)
    assert upper(trap) < counts
    assert upper(budget.record_claim()) >= counts
    assert budget.releases() == (budget.counts,)
    assert budget.counts not in budget.inside()


@given(st.floats(0.05, 3.0), st.floats(0.5, 5.0))
def test_the_claim_is_never_below_what_was_released_and_never_above_the_whole(
    answers: float, counts: float
) -> None:
    """R alone <= claim <= R composed with the training, for every cap on the answers."""
    budget = replace(TOY, answers_mu=answers, counts=Gaussian(counts))
    claim = upper(budget.record_claim())
    assert claim >= upper(Gaussian(counts)) * (1 - 1e-9)
    assert claim <= upper(Composed((*budget.releases(), *budget.inside()))) * (1 + 1e-9)


def test_counts_that_stay_inside_are_part_of_what_trains() -> None:
    """Public weights: nothing leaves beside the answers, and the silo level has a number."""
    budget = replace(TOY, counts_released=False)
    assert budget.releases() == ()
    assert budget.inside() == (TOY.counts, TOY.moments, TOY.training)
    assert isinstance(budget.silo_claim(4.0), Gaussian)
    assert budget.silo_claim(4.0).mu == pytest.approx(2.0)  # type: ignore[union-attr]
    assert isinstance(TOY.silo_claim(4.0), Unbounded)


@pytest.mark.parametrize(("adjacency", "moved"), [("add-or-remove", 1), ("replace", 2)])
def test_an_ensembles_whole_budget_caps_its_answers(adjacency: str, moved: int) -> None:
    """Record level at the cap is epsilon; between any two models the cap is parts / moved of it."""
    config = with_privacy(example("answers-only"), adjacency=adjacency)
    budget = solve(config, config.silos[0])
    assert budget.record_mu is not None
    assert budget.answers_mu == pytest.approx(budget.record_mu * 12 / moved, rel=1e-12)
    claimed = upper(budget.record_claim(), adjacency)
    assert 0.97 * 8.0 <= claimed <= 8.0
    assert (budget.counts, budget.moments, budget.training) == (None, None, None)


def test_more_answers_never_cost_less() -> None:
    """All three readings of a claim are monotone in what the answers spent."""
    for budget in (TOY, replace(TOY, counts_released=False), replace(TOY, record_mu=2.0)):
        for claim in (budget.record_claim, budget.answers_claim):
            spent = [upper(claim(mu2)) for mu2 in (0.0, 0.01, 0.1, 1.0, 10.0, 1e6)]
            assert spent == sorted(spent)
    assert upper(TOY.record_claim(0.0)) >= upper(Gaussian(2.0)) * (1 - 1e-9)


def test_a_budget_that_no_noise_meets_is_refused_with_the_mend() -> None:
    """A million full-batch steps within epsilon = .01: the message names silo, numbers and mend."""
    config = with_privacy(example(), epsilon=0.01)
    config = replace(config, train=replace(config.train, steps=10_000_000, sampling_rate=1.0))
    with pytest.raises(BudgetExhausted, match=r"cleveland: .*Nothing was released\. Raise") as no:
        solve(config, config.silos[0])
    assert no.value.exit_code == 3


def test_sampled_training_is_not_accounted_under_replace() -> None:
    """There is no bound for it here, so there is no budget either."""
    config = with_privacy(example(), adjacency="replace")
    with pytest.raises(UnsupportedEvent, match="replace"):
        solve(config, config.silos[0])


def test_a_silo_s_own_origin_is_part_of_what_trains() -> None:
    """Base and network made inside, about a mean of all records: every sum stands in A, the whole
    claim meets epsilon, and without the origin it would promise more."""
    overrides = ["base.residual_radius=2", "base.origin_share=0.2", "base.origin_radius=2"]
    config = configuration.load("hospitals", overrides)
    budget = solve(config, config.silos[0])
    assert budget.origin is not None
    assert budget.origin in budget.inside()
    assert budget.origin not in budget.releases()
    whole = upper(budget.record_claim())
    assert 7.76 <= whole <= 8.0
    assert upper(replace(budget, origin=None).record_claim()) < whole - 0.01
