"""The hazards of a statement: 28 answers, each decided by the run's settings and seen in it."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from dpfedsyn.statement import audited, mechanisms, registry
from dpfedsyn.statement.hazards import AFTER, UNCLAIMED, answered
from tests.dpfedsyn import statements
from tests.dpfedsyn.test_statement_fields import found

Told = dict[str, Any]
Change = Callable[[Told], None]


def answer(told: Told, number: int) -> dict[str, Any]:
    """One hazard, answered from this statement."""
    return next(hazard for hazard in answered(told) if hazard["number"] == number)


@pytest.mark.parametrize("kind", statements.KINDS)
def test_every_hazard_is_answered_with_evidence_that_is_there(kind: str) -> None:
    """28 of them in order; each names where in the statement its answer is seen."""
    told = statements.of(kind)
    assert [hazard["number"] for hazard in told["hazards"]] == list(range(1, 29))
    assert told["hazards_after"] == AFTER
    assert "NIST SP 800-226" in AFTER
    for hazard in told["hazards"]:
        assert hazard["status"] in ("answered", "partly", "open")
        assert re.match(r"[A-Z]|epsilon|delta", hazard["answer"])
        assert hazard["answer"].endswith((".", "!"))
        assert hazard["evidence"]
        for path in hazard["evidence"]:
            assert list(found(told, path)), path


@pytest.mark.parametrize("kind", statements.KINDS)
def test_answers_follow_from_the_statement_alone(kind: str) -> None:
    """Written and read again, the same statement gets the same answers."""
    told = statements.of(kind)
    assert answered(told) == told["hazards"]


@pytest.mark.parametrize("kind", [kind for kind in statements.KINDS if kind.startswith("void")])
def test_a_void_run_answers_nothing_by_a_claim(kind: str) -> None:
    """Guarantee of dpfedsyn.statement.hazards.answered: Where nothing is claimed, no hazard that a
    claim would answer is called answered."""
    told = statements.of(kind)
    for hazard in told["hazards"]:
        if hazard["number"] not in UNCLAIMED:
            assert hazard["status"] == "open"
            assert told["void"] in hazard["answer"]
    assert "begin with NON-PRIVATE" in answer(told, 17)["answer"]
    assert answer(told, 17)["status"] == "open"


def test_a_run_whose_noise_delta_cannot_carry_answers_nothing_either() -> None:
    """It is not void, and yet nothing is claimed: said so, in every such answer."""
    told = statements.of("complete")
    told["silos"][2]["epsilon"] = None
    assert answer(told, 3)["status"] == "open"
    assert "delta cannot carry" in answer(told, 3)["answer"]


def _epsilon(upper: float) -> Change:
    def change(told: Told) -> None:
        told["across_silos"]["upper"] = upper
        for silo in told["silos"]:
            silo["epsilon"] = {"upper": upper, "lower": 0.0}

    return change


def _silo(**values: Any) -> Change:
    def change(told: Told) -> None:
        for silo in told["silos"]:
            silo.update(values)

    return change


def _settings(**values: Any) -> Change:
    return lambda told: told["settings"].update(values)


def _said(**values: str) -> Change:
    return lambda told: told["publication"].update(values)


def _top(**values: Any) -> Change:
    return lambda told: told.update(values)


def _audit(verdict: str, *, stale: bool = False) -> Change:
    def change(told: Told) -> None:
        heads = {silo["name"]: silo["ledger_head"] for silo in told["silos"]}
        told["audit"] = {"verdict": verdict, "heads": {} if stale else heads}

    return change


DECIDED: tuple[tuple[int, Change, str, str], ...] = (
    (1, _epsilon(0.9), "answered", "epsilon <= 0.90 (delta 1e-05, unit record, add-or-remove"),
    (1, _epsilon(7.9), "partly", "Above 1"),
    (1, _epsilon(12.0), "open", "Above 10"),
    (2, _silo(reference_size=300.0), "answered", "at most 1 / n^2"),
    (2, _silo(reference_size=400.0), "open", "above 1 / n^2 of cleveland 6.3e-06"),
    (2, _silo(delta=1e-4, reference_size=50.0), "open", "above 1e-05"),
    (4, _silo(unit="record"), "partly", "one record"),
    (4, _silo(unit="person"), "answered", "all rows of a person"),
    (5, _silo(adjacency="add-or-remove"), "answered", "the number of them is private too"),
    (5, _silo(adjacency="zero-out"), "answered", "does not hide how many"),
    (6, _top(overlap=1), "partly", "1 of 4 silos"),
    (6, _top(overlap=4), "answered", "composes all 4"),
    (7, _settings(evaluated=True), "partly", "unpaid"),
    (7, _settings(evaluated=False), "answered", "no step after the noise"),
    (8, _top(audit=None), "answered", "No audit"),
    (8, _audit("CONSISTENT"), "answered", "never prove"),
    (8, _audit("CONSISTENT", stale=True), "partly", "other ledger heads"),
    (8, _audit("VIOLATION"), "open", "must not be relied on"),
    (12, _settings(groups=[], evaluated=True), "open", "evaluate.groups"),
    (12, _settings(groups=["sex"], evaluated=True), "partly", "by sex"),
    (12, _settings(groups=["sex"], evaluated=False), "open", "Nobody has looked"),
    (13, _settings(weights="counts"), "partly", "noisy counts"),
    (13, _settings(weights="public"), "partly", "digits: that biases"),
    (14, _settings(evaluated=True), "partly", "must not be published"),
    (14, _settings(evaluated=False), "answered", "No utility was measured"),
    (15, _said(tuning="not stated"), "open", "every try counts"),
    (15, _said(tuning="on public data."), "partly", "nothing here can check: on public data."),
    (16, _settings(pretrain_steps=0), "answered", "No pretrained model"),
    (16, _settings(pretrain_steps=10), "answered", "released noised sums"),
    (18, _settings(baselines=["fedavg"], evaluated=True), "partly", "with fedavg trained for it"),
    (18, _settings(baselines=["fedavg"], evaluated=False), "open", "No plainer baseline"),
    (19, _settings(kind="table"), "answered", "tables"),
    (19, _settings(kind="images"), "partly", "who is in it"),
    (20, _settings(anchors_elsewhere=True, one_process=True), "answered", "12 answers were"),
    (20, _settings(anchors_elsewhere=False, one_process=True), "partly", "anchors on another disk"),
    # Where silos are elsewhere the server's own setting says nothing of their anchors.
    (20, _settings(anchors_elsewhere=True, one_process=False), "partly", "each silo decides"),
    (21, _settings(simulated_partition=False), "answered", "malicious server"),
    (21, _settings(simulated_partition=True), "partly", "simulated from one file"),
    (21, _settings(one_process=True), "partly", "one process was all silos"),
    (23, _settings(network="mlp"), "partly", "a record's gradient in float32"),
    (23, _settings(network="none"), "answered", "integers on a lattice"),
    (24, _settings(noise_seeded=True), "open", "voids it all"),
    (24, _settings(noise_seeded=False), "answered", "AES-256-CTR"),
    (25, _settings(timeout=0.0), "partly", "outside the claim."),
    (25, _settings(timeout=9.0), "partly", "which answers are used"),
    (28, _said(retention="not stated"), "open", "no reason to collect"),
    (28, _said(retention="ten years"), "partly", "ten years."),
)


@pytest.mark.parametrize(("number", "change", "status", "words"), DECIDED)
def test_settings_decide_the_answer(number: int, change: Change, status: str, words: str) -> None:
    """The same statement with one setting changed has another status, and says why."""
    told = statements.of("complete")
    change(told)
    given = answer(told, number)
    assert given["status"] == status
    assert words in given["answer"]


def test_a_statement_of_an_earlier_version_is_answered_as_far_as_it_speaks() -> None:
    """An audit answers anew for statements that are there: what they do not say is open."""
    told = statements.of("complete")
    del told["settings"]["one_process"]
    given = {hazard["number"]: hazard for hazard in answered(told)}
    assert given[21]["status"] == "open"
    assert "does not say 'one_process'" in given[21]["answer"]
    assert given[17]["status"] == "answered"
    assert registry.record(told) is not None


def test_whoever_ran_one_process_was_every_silo_s_curator() -> None:
    """Neither the table of trust nor the registry's record says that silos kept to themselves."""
    apart, together = mechanisms.trust(one_process=False), mechanisms.trust(one_process=True)
    assert "trusts itself alone" in apart["silo"]
    assert "had to trust whoever ran it" in together["silo"]
    for one_process, words in ((False, "curator of its own"), (True, "curator of every silo's")):
        told = statements.of("complete")
        told["settings"]["one_process"] = one_process
        model = registry.record(told)["deployment"]["deployment_model"]
        assert words in model["model_name_details"]


def test_answers_name_the_unit_of_the_claim() -> None:
    """A claim for persons never says that it is for records."""
    told = statements.of("complete")
    for silo in told["silos"]:
        silo["unit"] = "person"
    for number in (1, 4, 5, 13, 23):
        given = answer(told, number)["answer"]
        assert "person" in given
        assert "one record" not in given
        assert "a record's" not in given


def test_an_audit_enters_the_statement_and_its_answer() -> None:
    """What it says in short, and the hazard of audits anew; nothing else changes."""
    told = statements.of("complete")
    heads = {silo["name"]: silo["ledger_head"] for silo in told["silos"]}
    after = audited(told, {"verdict": "CONSISTENT", "heads": heads, "checks": {"CONSISTENT": 9}})
    assert after["audit"]["checks"] == {"CONSISTENT": 9}
    changed = [
        a["number"] for a, b in zip(told["hazards"], after["hazards"], strict=True) if a != b
    ]
    assert changed == [8]
    assert {k: v for k, v in after.items() if k not in ("audit", "hazards")} == {
        k: v for k, v in told.items() if k not in ("audit", "hazards")
    }
    assert audited(after, None) == told
