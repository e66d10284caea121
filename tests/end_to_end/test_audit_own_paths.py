"""This package's own private paths under its own audits: sound as they are, flagged when broken."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from accountants import gaussian
from dpfedsyn.audit import Verdict
from dpfedsyn.privatise import AnswerMechanism

DELTA = 1e-5
MISTAKES = (
    "answers: half the noise",
    "answers: rows are not clipped",
    "answers: energies are not clipped",
    "answers: all rows get the same noise",
    "answers: sqrt(N) forgotten in the charge",
    "answers: a row is charged C, not 2 C",
    "answers: the sum over M parts gets the noise of their mean",
    "answers: one noise key for all of them",
    "answers: sent without a charge",
    "answers: the charge is committed without the bytes that were sent",
    "answers: a repeated query is computed again under its old noise",
    "DP-SGD: half the noise",
    "DP-SGD: records' gradients are not clipped",
    "DP-SGD: every (t, noise) draw of a record is clipped by itself",
    "DP-SGD: one noise key for all steps",
    "DP-SGD: the sum is divided by the number of records",
    "DP-SGD: batches of a fixed size in place of Poisson samples",
    "DP-SGD: a step whose sample is empty is skipped, noise and all",
)


@pytest.fixture
def paths(benchmark: Callable[[str], ModuleType]) -> Any:
    """`benchmarks.audit.own_paths`."""
    return benchmark("audit.own_paths")


@pytest.fixture
def answers(benchmark: Callable[[str], ModuleType]) -> Any:
    """`benchmarks.audit.own_answers`."""
    return benchmark("audit.own_answers")


def path_of(paths: Any, name: str) -> Any:
    """The path whose mistake has this name."""
    return next(path for path in paths.PATHS if path.mutation.name == name)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_private_path_is_flagged(name: str, paths: Any) -> None:
    """Each audit's alpha is 1e-6: what it flags is broken."""
    assert path_of(paths, name).verdict(mistaken=True) is Verdict.VIOLATION


@pytest.mark.parametrize("name", MISTAKES)
def test_a_private_path_without_a_mistake_is_not_flagged(name: str, paths: Any) -> None:
    """The same audits of the code as it is, 400 calls each; false alarm 1e-6 each."""
    verdict = path_of(paths, name).verdict(mistaken=False, calls=400)
    assert verdict is not Verdict.VIOLATION


def test_every_mistake_is_tried(paths: Any) -> None:
    """None was added without a name here."""
    assert tuple(path.mutation.name for path in paths.PATHS) == MISTAKES


@pytest.mark.parametrize("rows", [1, 4])
def test_answers_reach_their_claim_and_do_not_pass_it(rows: int, answers: Any) -> None:
    """100,000 answers with mu = 1, between the two worst models: consistent, and the lower bound on
    epsilon is above .9 of the claim, and not beyond it (false alarm 5 %; seeds are fixed)."""
    case = answers.opposite(rows)
    found = answers.audit_release(case)
    assert found.verdict is Verdict.CONSISTENT
    assert case.claim().mu == pytest.approx(1.0)
    assert 0.9 <= found.epsilon_lower(DELTA) / gaussian.epsilon(1.0, DELTA) <= 1.0


def test_energies_and_ensembles_reach_their_claim(answers: Any) -> None:
    """Most of mu from energies, and one part of three: above .8 of epsilon, and not beyond it."""
    for case in (answers.with_energies(2, length=60.0), answers.ensemble(3)):
        found = answers.audit_release(case, calls=50_000)
        assert found.verdict is not Verdict.VIOLATION
        claimed = gaussian.epsilon(case.claim().mu, DELTA)
        assert 0.8 <= found.epsilon_lower(DELTA) / claimed <= 1.0


def test_opacus_with_half_its_noise_is_caught_in_seconds(paths: Any) -> None:
    """Within 1,000 steps of Opacus's own optimizer and 5 s, at alpha = 1e-6."""
    found, seconds = paths.seconds_for_half_noise()
    assert found.verdict is Verdict.VIOLATION
    assert found.calls <= 1_000
    assert seconds < 15.0  # 5 on an idle core
    assert paths.audit_opacus().verdict is Verdict.CONSISTENT


def test_a_silo_with_its_ledger_keeps_its_claim(answers: Any) -> None:
    """1,000 rounds of `Silo.answer` with mu = 1 are enough to have found half the noise."""
    found = answers.audit_silo(answers.opposite(1), calls=1_000)
    assert found.verdict is Verdict.CONSISTENT
    assert 0.5 <= found.mu_lower <= 1.0


@pytest.mark.slow
def test_100_000_answers_of_a_silo_reach_their_claim_and_do_not_pass_it(answers: Any) -> None:
    """`Silo.answer` itself, each answer a new round of its ledger: above .9 of the claim."""
    case = answers.opposite(1)
    found = answers.audit_silo(case, calls=100_000)
    assert found.verdict is Verdict.CONSISTENT
    assert 0.9 <= answers.ratio(found, case) <= 1.0


@pytest.mark.slow
def test_sampled_steps_and_a_whole_training_keep_their_claims(
    benchmark: Callable[[str], ModuleType],
) -> None:
    """Steps at rates below 1 are consistent; of the training its last weights show something."""
    own: Any = benchmark("audit.own")
    steps, whole = own._steps(), own._whole()
    assert any(rate < 1.0 for rate, _, _ in own.STEPS)
    assert own._consistent([*steps, *whole]).value == 0
    assert 0.0 < whole[0]["epsilon, lower bound"] < whole[0]["epsilon, claimed"]


def test_a_path_counts_as_sound_only_where_its_audit_says_so(
    benchmark: Callable[[str], ModuleType],
) -> None:
    """Neither too few calls nor a training that contradicts its claim is passed over."""
    own: Any = benchmark("audit.own")
    verdicts = ("CONSISTENT", own.NOT_CONTRADICTED, "INCONCLUSIVE", "VIOLATION")
    found = own._consistent([{"path": name, "verdict": name} for name in verdicts])
    assert (found.value, found.met) == (2, False)
    assert "INCONCLUSIVE, VIOLATION" in found.reason


def test_a_mistake_is_taken_back_and_one_that_no_longer_fits_is_an_error(
    benchmark: Callable[[str], ModuleType],
) -> None:
    """A mutation changes a function while it is applied; its text must be there once."""
    mutations: Any = benchmark("audit.mutations")
    mechanism = AnswerMechanism(3.0, 8.0)
    with mutations.applied(mutations.NOISE_HALVED):
        halved = mechanism.lattice(1.0, None).scores.std
    assert (halved, mechanism.lattice(1.0, None).scores.std) == (0.5, 1.0)
    stale = mutations.Mutation("stale", AnswerMechanism.lattice, (("no such text", ""),))
    with pytest.raises(mutations.StaleError, match="occurs 0 times"), mutations.applied(stale):
        pass


def test_the_ledgers_audit_names_what_was_wrong(
    answers: Any, benchmark: Callable[[str], ModuleType]
) -> None:
    """One fault for every round that was sent without its charge."""
    mutations: Any = benchmark("audit.mutations")
    case = answers.opposite(1)
    with mutations.applied(mutations.NOT_COMMITTED):
        found = answers.audit_ledger(case, rounds=2)
    assert any("with 0 charges" in fault for fault in found.faults)
    assert answers.audit_ledger(case, rounds=2).faults == ()


def test_the_statistic_of_answers_tells_the_two_models_apart(answers: Any) -> None:
    """Without noise its difference is mu^2 of the claim."""
    case = answers.opposite(3, mu=2.0)
    first, second = (predictions.mean(axis=0) for predictions in case.neighbours)
    moved = case.statistic(second, None) - case.statistic(first, None)
    assert float(np.asarray(moved)) == pytest.approx(4.0)
