"""Budgeted generation: every point keeps both budgets, and more budget never buys less."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountants import Gaussian, epsilon
from dpfedsyn import budget as budgets
from dpfedsyn import config as configuration
from dpfedsyn import feasible, frontier, resolved
from dpfedsyn import plan as planning
from dpfedsyn.errors import BudgetExhausted, ConfigError
from dpfedsyn.frontier import Frontier
from dpfedsyn.passes import mechanism, planned_passes
from dpfedsyn.settings import Config

MUS = st.floats(2.0, 30_000.0)
FEW = settings(max_examples=12)  # each solves four silos' training noise


@cache
def loaded(name: str = "hospitals", *overrides: str) -> Config:
    return configuration.load(name, overrides)


@cache
def solved(name: str, at_most: float | None, mu: float | None, *overrides: str) -> Frontier:
    return frontier.solve(loaded(name, *overrides), epsilon=at_most, answers_mu=mu)


def assert_within(found: Frontier, at_most: float, mu: float) -> None:
    """Recompute every point's claims from its rounds and mechanisms, by the accountants alone."""
    for point in found.points:
        config = found.config(point)
        (part,) = planned_passes(config)
        rows, costs = config.answers.rows, mechanism(config)
        plan = replace(found.plan, config=config, passes=(part,))
        noise = plan.noise(part, rows)
        assert (len(noise), rows) == (point.rounds, point.rows)
        spent = math.fsum(costs.silo_mu2(rows, n.score_std, n.energy_std) for n in noise)
        for silo in config.silos:
            budget = budgets.solve(config, silo)
            assert spent <= budget.answers_mu**2
            record = budget.at_record_level(spent)
            assert math.sqrt(record) <= mu
            for claim in (budget.record_claim(), budget.record_claim(record)):
                upper = epsilon(
                    claim, delta=config.privacy.delta, adjacency=config.privacy.adjacency
                ).upper
                assert upper <= at_most


@pytest.mark.parametrize(
    ("name", "at_most", "mu", "overrides"),
    [
        ("hospitals", 3.0, 5.0, ()),
        ("hospitals", 3.0, 700.0, ("preset=best",)),
        ("hospitals", 1.0, 9000.0, ()),
        ("digits", 2.0, 3000.0, ("sampler.energy=uniform",)),
        ("answers-only", 3.0, 5.0, ()),
        ("answers-only", 30.0, 1.1, ("privacy.adjacency=replace",)),
    ],
)
def test_every_point_meets_both_budgets(
    name: str, at_most: float, mu: float, overrides: tuple[str, ...]
) -> None:
    """Guarantee of dpfedsyn.frontier.solve: At every point of the frontier every silo meets both
    budgets, by recomputation from its mechanisms and its rounds; the caps are those budgets."""
    found = solved(name, at_most, mu, *overrides)
    assert_within(found, at_most, mu)
    for silo in found.plan.config.silos:
        budget = found.plan.budgets[silo.name]
        cap = budget.answers_mu if budget.record_mu is None else budget.record_mu
        assert cap <= mu
        assert budget.record_mu is not None or cap == mu  # no reserve is kept of it
        claim = found.plan.epsilon(budget.record_claim())
        assert claim.upper <= at_most
        assert claim.upper >= 0.97 * at_most or budget.record_mu is not None


def test_without_a_cap_on_answers_the_reserve_is_in_what_is_shown() -> None:
    """The budget that is printed is the ledgers' cap, not what the planned rounds cost."""
    found = frontier.solve(loaded("hospitals", "answers.reserve=3"), epsilon=3.0)
    shown = found.to_dict()["budget"]["answers_mu"]
    assert shown == 2.0 * found.plan.config.answers.mu == found.plan.budgets["va"].answers_mu


def test_a_budget_that_is_passed_would_be_seen() -> None:
    """The recomputation rejects a budget a hundredth smaller than the one that was solved for."""
    found = solved("hospitals", 3.0, 700.0, "preset=best")
    for at_most, mu in ((2.97, 700.0), (3.0, 693.0)):
        with pytest.raises(AssertionError):
            assert_within(found, at_most, mu)


@FEW
@given(MUS, st.floats(1.0, 3.0), st.sampled_from(["default", "best"]))
def test_more_mu_never_buys_fewer_rows(mu: float, more: float, preset: str) -> None:
    """Neither at any number of rounds nor at the chosen one, whose rounds do not fall either where
    a row is absorbed."""
    config = loaded("hospitals", f"preset={preset}")
    less, greater = (frontier.solve(config, answers_mu=m) for m in (mu, mu * more))
    for before, after in zip(less.points, greater.points, strict=True):
        assert before.rounds == after.rounds
        assert before.absorbed_rows <= after.absorbed_rows
        assert before.mu_of_a_row == pytest.approx(after.mu_of_a_row, rel=1e-6)
    assert less.chosen.rows <= greater.chosen.rows
    if less.chosen.absorbed_rows and less.chosen.rows == greater.chosen.rows:
        assert less.chosen.rounds <= greater.chosen.rounds or less.chosen.rows < 3000


def test_more_epsilon_never_buys_fewer_rows_and_takes_noise_off_the_training() -> None:
    """Rows hang on mu; epsilon pays for the model. Of an ensemble it pays for both."""
    tight, loose = solved("hospitals", 2.0, 500.0), solved("hospitals", 6.0, 500.0)
    assert tight.chosen == loose.chosen
    noise = [f.plan.budgets["va"].noise_multiplier for f in (tight, loose)]
    assert noise[0] > noise[1]
    config = loaded("answers-only")
    alike = replace(config, silos=tuple(replace(silo, epsilon=None) for silo in config.silos))
    rows = [frontier.solve(alike, epsilon=e).chosen.rows for e in (1.0, 8.0, 40.0)]
    assert rows == sorted(rows)
    assert rows[0] < rows[-1]


@pytest.mark.parametrize("name", ["hospitals", "answers-only"])
def test_the_same_budget_has_the_same_solution(name: str) -> None:
    """Nothing is drawn, and no record is read."""
    first, second = (
        frontier.solve(loaded(name), epsilon=3.0, answers_mu=40.0).to_dict() for _ in range(2)
    )
    assert first == second


def test_no_record_is_read(tmp_path: Path) -> None:
    """With every data file emptied the solution is the same: it knows public settings alone."""
    config = resolved.absolute(loaded())
    empty = tmp_path / "empty.data"
    empty.write_text("")
    silos = tuple(replace(silo, path=str(empty)) for silo in config.silos)
    emptied = frontier.solve(replace(config, silos=silos), epsilon=3.0, answers_mu=5.0)
    assert emptied.to_dict() == solved("hospitals", 3.0, 5.0).to_dict()


def test_absorbed_rows_are_the_most_that_are_absorbed() -> None:
    """One row more would go beyond what the sampler tolerates; N rows cost sqrt(N) of one."""
    found = solved("hospitals", 3.0, 700.0, "preset=best")
    for point in found.points[3:]:
        assert point.absorbed_rows >= 1
        assert point.excess <= 1.0
        assert point.excess * math.sqrt((point.rows + 1) / point.rows) > 1.0
        assert point.mu_of_a_row * math.sqrt(point.absorbed_rows) <= 700.0
        assert point.mu_of_a_row * math.sqrt(point.absorbed_rows + 1) > 700.0


def test_one_absorbed_row_of_the_default_costs_what_the_formula_says() -> None:
    """Langevin steps of size c tolerate sqrt(2 / c): mu^2 = T (2C)^2 c / 2 / (1 - energy share)."""
    for point in solved("hospitals", 3.0, 500.0).points:
        expected = math.sqrt(point.rounds * 12.0**2 * 0.5 / 2.0 / 0.8)
        assert point.mu_of_a_row == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    ("mu", "rows", "rounds"),
    [
        (5.0, 1, 40),  # no row is absorbed: least noise
        (100.0, 5, 40),  # as many rows as there are, at the fewest rounds that hold
        (2400.0, 3000, 40),  # all rows that are asked for
        (3400.0, 3000, 80),  # the same rows, more rounds
        (4000.0, 3555, 100),  # all rounds: further rows
    ],
)
def test_the_chosen_point_is_the_one_that_the_rule_names(mu: float, rows: int, rounds: int) -> None:
    """Rows up to those asked for, then rounds, then rows again."""
    found = solved("hospitals", 3.0, mu)
    assert (found.chosen.rows, found.chosen.rounds) == (rows, rounds)
    assert found.chosen in found.points
    assert found.rule == (frontier.RULE_OF_NONE if mu == 5.0 else frontier.RULE)
    assert found.plan.config.answers.rows == rows
    assert sum(len(part.kernels) for part in found.plan.passes) == rounds


def test_what_is_not_absorbed_is_said_with_what_would_be() -> None:
    """The note's mu buys the rows that it names."""
    found = solved("hospitals", 3.0, 5.0)
    assert "8.49 times what the sampler absorbs" in found.notes[0]
    assert "one absorbed row costs mu >= 42.5, 100 rows mu >= 425" in found.notes[0]
    assert solved("hospitals", 3.0, 42.5).chosen.absorbed_rows == 1
    assert solved("hospitals", 3.0, 425.0).chosen.absorbed_rows == 100
    assert solved("hospitals", 3.0, 42.3).chosen.absorbed_rows == 0


def test_the_answers_part_of_the_record_level_is_told_where_there_is_one() -> None:
    """Small mu takes a little off the record level; large mu takes nothing."""
    assert any("instead of <= 3" in note for note in solved("hospitals", 3.0, 5.0).notes)
    assert any("take nothing off" in note for note in solved("hospitals", 3.0, 500.0).notes)


def test_each_budget_may_stand_alone() -> None:
    """The other one is the configuration's own."""
    only_epsilon = solved("hospitals", 3.0, None).plan.config
    assert (only_epsilon.privacy.epsilon, only_epsilon.answers.mu) == (3.0, 6000.0)
    only_mu = solved("hospitals", None, 500.0).plan.config
    assert (only_mu.privacy.epsilon, only_mu.answers.mu) == (8.0, 500.0)


def test_a_silo_s_own_smaller_budget_stays_and_a_larger_one_falls() -> None:
    """Switzerland allows 4 of its own: kept below a budget of 6, lowered by one of 3."""
    for at_most, own in ((6.0, 4.0), (3.0, 3.0)):
        config = solved("answers-only", at_most, None).plan.config
        assert {s.name: config.epsilon(s) for s in config.silos} == {
            "cleveland": at_most, "hungarian": at_most, "va": at_most, "switzerland": own,
        }  # fmt: skip


def test_an_ensemble_s_mu_and_epsilon_are_one_budget() -> None:
    """The smaller of the two caps every silo, and no silo refuses a planned round."""
    found = solved("answers-only", 30.0, 1.1)
    assert found.plan.config.answers.mu <= 1.1
    whole = epsilon(Gaussian(1.0 / 1.1), delta=1e-5, adjacency="add-or-remove")
    assert found.plan.config.privacy.epsilon <= whole.upper
    for name in found.plan.budgets:
        assert planning.rounds_that_fit(found.plan, name) == found.chosen.rounds
    assert not found.plan.config.answers.allow_partial


def test_the_split_is_raised_for_the_smallest_silo_as_far_as_it_has_to_be() -> None:
    """At epsilon 1 the configured split does not fit; the solved one does, a little less not."""
    config = loaded("hospitals", "privacy.epsilon=1")
    assert not planning.make(config).fits
    found = solved("hospitals", 1.0, None)
    privacy = found.plan.config.privacy
    assert privacy.counts_share > config.privacy.counts_share
    assert privacy.moments_share == config.privacy.moments_share
    assert found.plan.fits
    less = replace(privacy, counts_share=0.999 * privacy.counts_share)
    assert not planning.make(replace(config, privacy=less)).fits
    assert solved("hospitals", 3.0, None).plan.config.privacy.counts_share == 0.03


def test_a_split_that_leaves_training_nothing_is_not_made() -> None:
    """Then the configured one stays, and the refusal says what would work."""
    config = loaded("hospitals", "privacy.epsilon=0.1")
    assert feasible.split(config, 16, 2) == config.privacy
    with pytest.raises(BudgetExhausted, match="What would work: epsilon >= ") as refused:
        frontier.solve(config)
    assert refused.value.exit_code == 3


def test_a_mu_that_leaves_nothing_of_a_row_is_refused_with_what_would_not() -> None:
    """The named mu is solved, a tenth less is not."""
    with pytest.raises(BudgetExhausted, match=r"a row of noise up to 100 times that, mu >= 0\.425"):
        frontier.solve(loaded(), answers_mu=0.1)
    assert solved("hospitals", None, 0.425).chosen.rows == 1
    with pytest.raises(BudgetExhausted):
        frontier.solve(loaded(), answers_mu=0.38)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_budget_that_is_none_is_refused(value: float) -> None:
    """Zero, negative, NaN and infinite budgets are bad input."""
    with pytest.raises(ConfigError, match="allowed is"):
        frontier.solve(loaded(), epsilon=value)
    with pytest.raises(ConfigError, match="allowed is"):
        frontier.solve(loaded(), answers_mu=value)


def test_settings_with_which_a_budget_means_nothing_are_refused() -> None:
    """No absorption, or no record-level claim: each says the mend."""
    with pytest.raises(ConfigError, match=r"sampler\.absorb = true"):
        frontier.solve(loaded("hospitals", "preset=paper"), epsilon=3.0)
    with pytest.raises(ConfigError, match=r"train\.method = 'dp-sgd'"):
        frontier.solve(loaded("hospitals", "train.method=not-private"), epsilon=3.0)
    without = frontier.solve(loaded("hospitals", "train.method=not-private"), answers_mu=500.0)
    assert without.to_dict()["budget"]["epsilon"] is None
