"""This package's own private paths under its own audits: sound as they are, flagged when broken."""

import numpy as np
import pytest

from accountants import gaussian
from benchmarks.audit import mutations, own_paths
from benchmarks.audit.mutations import Mutation, StaleError, applied
from benchmarks.audit.own_paths import PATHS, OwnPath
from dpfedsyn.audit import Verdict
from dpfedsyn.privatise import AnswerMechanism

DELTA = 1e-5


def named(path: OwnPath) -> str:
    return path.mutation.name


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_a_mistake_in_a_private_path_is_flagged(path: OwnPath) -> None:
    """Each audit's alpha is 1e-6: what it flags is broken."""
    assert path.verdict(mistaken=True) is Verdict.VIOLATION


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_a_private_path_without_a_mistake_is_not_flagged(path: OwnPath) -> None:
    """The same audits of the code as it is; false alarm 1e-6 each."""
    assert path.verdict(mistaken=False) is not Verdict.VIOLATION


@pytest.mark.parametrize("rows", [1, 4])
def test_answers_reach_their_claim_and_do_not_pass_it(rows: int) -> None:
    """100,000 answers with mu = 1, between the two worst models: consistent, and the lower bound on
    epsilon is above .9 of the claim, and below it (false alarm 5 %, seeds fixed)."""
    answers = own_paths.opposite(rows)
    found = own_paths.audit_release(answers)
    assert found.verdict is Verdict.CONSISTENT
    assert answers.claim().mu == pytest.approx(1.0)
    claimed = gaussian.epsilon(1.0, DELTA)
    assert 0.9 <= found.epsilon_lower(DELTA) / claimed <= 1.0


def test_energies_and_ensembles_reach_their_claim() -> None:
    """The energies' share of mu^2, and one part of three: above .85 of epsilon."""
    for answers in (own_paths.with_energies(2, length=60.0), own_paths.ensemble(3)):
        found = own_paths.audit_release(answers, calls=50_000)
        assert found.verdict is not Verdict.VIOLATION
        claimed = gaussian.epsilon(answers.claim().mu, DELTA)
        assert 0.8 <= found.epsilon_lower(DELTA) / claimed <= 1.0


def test_opacus_with_half_its_noise_is_caught_in_seconds() -> None:
    """Within 1,000 steps of Opacus's own optimizer and 5 s, at alpha = 1e-6."""
    found, seconds = own_paths.seconds_for_half_noise()
    assert found.verdict is Verdict.VIOLATION
    assert found.calls <= 1_000
    assert seconds < 10.0  # 5 on an idle core
    assert own_paths.audit_opacus().verdict is not Verdict.VIOLATION


def test_a_mistake_is_taken_back_and_one_that_no_longer_fits_is_an_error() -> None:
    """A mutation changes a function while it is applied; its text must be there once."""
    mechanism = AnswerMechanism(3.0, 8.0)
    with applied(mutations.NOISE_HALVED):
        halved = mechanism.lattice(1.0, None).scores.std
    assert (halved, mechanism.lattice(1.0, None).scores.std) == (0.5, 1.0)
    stale = Mutation("stale", AnswerMechanism.lattice, (("no such text", ""),))
    with pytest.raises(StaleError, match="occurs 0 times"), applied(stale):
        pass


def test_the_ledgers_audit_names_what_was_wrong() -> None:
    """One fault for every round that was sent without its charge."""
    answers = own_paths.opposite(1)
    with applied(mutations.NOT_COMMITTED):
        found = own_paths.audit_ledger(answers, rounds=2)
    assert any("with 0 charges" in fault for fault in found.faults)
    assert own_paths.audit_ledger(answers, rounds=2).faults == ()


def test_the_statistic_of_answers_tells_the_two_models_apart() -> None:
    """Without noise its difference is mu^2 of the claim."""
    answers = own_paths.opposite(3, mu=2.0)
    first, second = (predictions.mean(axis=0) for predictions in answers.neighbours)
    moved = answers.statistic(second, None) - answers.statistic(first, None)
    assert float(np.asarray(moved)) == pytest.approx(4.0)
