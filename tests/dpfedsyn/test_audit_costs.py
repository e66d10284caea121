"""The second derivation of every charge agrees with the first, wherever both are defined."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import Gaussian, epsilon, gaussian
from dpfedsyn import config as configuration
from dpfedsyn import passes, schedule
from dpfedsyn import plan as planning
from dpfedsyn.audit import costs
from dpfedsyn.budget import Budget
from dpfedsyn.lattice import delta_with_noise
from dpfedsyn.moments import query_of
from dpfedsyn.privatise import AnswerMechanism

positive = st.floats(0.01, 100.0)


@given(st.integers(1, 10_000), positive, positive, positive, st.none() | positive)
def test_an_answer_costs_the_same_twice(
    rows: int, clip: float, score: float, bound: float, energy: float | None
) -> None:
    """N ((2C/sigma)^2 + (B/sigma_f)^2), with and without energies."""
    once = AnswerMechanism(clip, bound).silo_mu2(rows, score, energy)
    assert costs.answer_mu2(rows, clip, score, bound, energy) == pytest.approx(once, rel=1e-12)


@given(st.floats(0.01, 50.0), st.floats(1e-12, 0.05))
def test_the_mu_of_a_budget_is_that_of_the_accountant(budget: float, delta: float) -> None:
    """The curve is inverted by other means."""
    assert costs.gaussian_mu(budget, delta) == pytest.approx(gaussian.mu(budget, delta), rel=1e-8)


@pytest.mark.parametrize(
    ("example", "more"),
    [("hospitals", ()), ("answers-only", ()), ("digits", ()), ("digits", ("preset=best",))],
)
def test_budgets_and_rounds_are_those_of_the_plan(example: str, more: tuple[str, ...]) -> None:
    """Caps, multipliers, lengths and each round's cost, of every example."""
    plan = planning.make(configuration.load(example, more))
    config = plan.config
    for silo in config.silos:
        budget: Budget = plan.budgets[silo.name]
        answers, record = costs.caps(config, silo, False)
        assert answers == pytest.approx(budget.answers_mu**2, rel=1e-9)
        assert (record is None) == (budget.record_mu is None)
        wanted = costs.multipliers(config, silo)
        sums = ("counts", "origin", "means", "moments", "marginals")
        assert set(wanted) == {kind for kind in sums if getattr(budget, kind) is not None}
        for kind, multiplier in wanted.items():
            event = getattr(budget, kind)
            assert isinstance(event, Gaussian)
            assert event.noise_multiplier == pytest.approx(multiplier, rel=1e-9)
    query = query_of(plan.dimension, plan.classes, config.base)
    lengths = costs.lengths(config.base, plan.dimension, plan.classes)
    assert lengths["moments"] == query.length
    assert lengths.get("means", query.label_length) == query.label_length
    assert lengths.get("origin") == (plan.dimension if config.base.origin_share else None)
    for part in plan.passes:
        own = costs.schedule(config, part.settings, part.kernels, part.share)
        first = [
            passes.mechanism(config).silo_mu2(60, noise.score_std, noise.energy_std)
            for noise in plan.noise(part, 60)
        ]
        for number, cost in enumerate(first, start=1):
            assert own.cost(number, 60, 60) == pytest.approx(cost, rel=1e-9)
            assert own.cost(number, 90, 60) == own.cost(number, 60, 60)  # with more noise
            assert own.cost(number, 30, 60) == pytest.approx(cost / 2, rel=1e-9)


def test_noise_that_two_passes_take_differs() -> None:
    """The schedule is not flat, so that comparing it round by round says something."""
    plan = planning.make(configuration.load("hospitals"))
    for part in plan.passes:
        own = costs.schedule(plan.config, part.settings, part.kernels, part.share)
        taken = [schedule.tolerance(kernel, part.settings) for kernel in part.kernels]
        assert own.mu2[0] * taken[0] ** 2 == pytest.approx(own.mu2[-1] * taken[-1] ** 2)


@given(st.floats(0.1, 20.0), st.integers(0, 10**8))
def test_delta_with_noise_is_bounded_alike(claimed: float, draws: int) -> None:
    """The audit's least delta' is never above what a statement prints, nor far below it."""
    stated, least = delta_with_noise(1e-5, claimed, draws), costs.least_delta(1e-5, claimed, draws)
    assert least <= stated * (1.0 + 1e-12)
    assert stated - 1e-5 <= (least - 1e-5) * 1.01 + 1e-18


def test_the_claim_of_a_header_is_the_budget_s() -> None:
    """R beside the cascade of training and answers, at the caps."""
    from accountants.ledger import Header
    from dpfedsyn.silo_ledger import planned

    plan = planning.make(configuration.load("hospitals"))
    budget = plan.budgets["va"]
    header = Header("ab", "va", "r", "record", "add-or-remove", 1e-5, planned(budget),
                    budget.answers_mu**2, None, 3, "v")  # fmt: skip
    own = epsilon(costs.claim(header, True), delta=1e-5, adjacency="add-or-remove").upper
    assert own == pytest.approx(plan.epsilon(budget.record_claim()).upper, rel=1e-9)
    void = epsilon(costs.claim(header, False), delta=1e-5, adjacency="add-or-remove").upper
    assert math.isinf(void)
