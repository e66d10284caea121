"""The privacy statement: each epsilon with its terms, from the ledgers, and what is unpaid."""

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from accountants import Composed, Gaussian, epsilon, overlap, tradeoff, verify
from accountants.ledger import Header, Ledger
from dpfedsyn import config as configuration
from dpfedsyn import lattice, run, statement
from dpfedsyn import plan as planning
from dpfedsyn.keys import load, repeatable
from dpfedsyn.marking import find
from dpfedsyn.plan import Plan
from dpfedsyn.released import charged
from dpfedsyn.statement import Outcome
from tests.dpfedsyn.test_hazards import small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default path of the hospitals example, made small, run to its end."""
    path = tmp_path_factory.mktemp("statement") / "run"
    run.run(small(), path)
    return path


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(find(folder, "statement.json").read_text(encoding="utf-8"))
    return content


@cache
def plan_of(name: str, *overrides: str) -> Plan:
    return planning.make(configuration.load(name, overrides))


def ledgers(plan: Plan, folder: Path, spent: float = 0.0) -> dict[str, Ledger]:
    """One ledger per silo with the plan's caps, and one answer of this mu^2 in each."""
    opened = {}
    for name, budget in plan.budgets.items():
        key = repeatable(1, name)
        header = Header(
            key.ledger_id, name, "run", "record", plan.config.privacy.adjacency, 1e-5, (),
            budget.answers_mu**2, None if budget.record_mu is None else budget.record_mu**2, 3, "1",
        )  # fmt: skip
        folder.mkdir(exist_ok=True)
        opened[name] = Ledger.create(folder / name, header, key=key.chain)
        if spent:
            share = 1.0 if budget.record_mu is None else (budget.record_mu / budget.answers_mu) ** 2
            ticket = opened[name].admit(
                digest=b"d", kind="answer", group="B", event=Gaussian(1 / math.sqrt(spent)),
                mu2=spent, record_mu2=None if budget.record_mu is None else spent * share, round=1,
            )  # fmt: skip
            opened[name].commit(ticket, b"reply")
    return opened


def make(plan: Plan, folder: Path, spent: float = 0.0, outcome: Any = None) -> dict[str, Any]:
    opened = ledgers(plan, folder, spent)
    try:
        charges = {name: charged(one) for name, one in opened.items()}
        return statement.make(plan, charges, outcome or Outcome("complete", None, 3, 3))
    finally:
        for ledger in opened.values():
            ledger.close()


def test_every_epsilon_stands_with_delta_unit_and_adjacency(made: dict[str, Any]) -> None:
    """Guarantee of dpfedsyn.statement.making.make: Every claimed epsilon is the one at the ledger's
    cap, which was fixed before the run; the terms that it means nothing without stand beside it."""
    plan = planning.make(small())
    assert len(made["silos"]) == 4
    for silo in made["silos"]:
        assert (silo["unit"], silo["adjacency"], silo["delta"]) == ("record", "add-or-remove", 1e-5)
        at_cap = plan.epsilon(plan.budgets[silo["name"]].record_claim())
        assert silo["epsilon"] == {"upper": at_cap.upper, "lower": at_cap.lower}
        assert 0.97 * 8.0 <= silo["epsilon"]["upper"] <= 8.0
        assert silo["epsilon"]["lower"] <= silo["epsilon"]["upper"]
        assert silo["readings"]["record"]["upper"] <= silo["epsilon"]["upper"]
    assert made["overlap"] == 1
    assert made["across_silos"]["upper"] == max(s["epsilon"]["upper"] for s in made["silos"])


def test_delta_carries_the_draws_of_noise_once(made: dict[str, Any]) -> None:
    """delta' = delta + (1 + e^epsilon) tau for the cap on a silo's draws, beside every claim and
    every reading; a thousandth of delta at most, and none where epsilon is too large for it."""
    plan = planning.make(small())
    for silo in made["silos"]:
        drawn, upper = plan.draws(silo["name"]).total, silo["epsilon"]["upper"]
        assert silo["delta_with_noise"] == lattice.delta_with_noise(1e-5, upper, drawn)
        tau = lattice.total_variation(drawn) + lattice.generator_advantage(drawn)
        excess = silo["delta_with_noise"] - 1e-5
        assert (1.0 + math.exp(upper)) * tau <= excess <= 1e-8
        assert silo["readings"]["record"]["delta_with_noise"] <= silo["delta_with_noise"]
        assert silo["readings"]["answers"]["upper"] > 1e4
        assert silo["readings"]["answers"]["delta_with_noise"] is None
    assert made["across_silos"]["delta_with_noise"] == max(
        silo["delta_with_noise"] for silo in made["silos"]
    )


def test_nothing_is_claimed_where_delta_cannot_carry_the_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee of dpfedsyn.statement.making.make: ... nor where delta could not carry what drawn
    noise deviates from a Gaussian's: no epsilon is printed, not a smaller one."""
    plan = plan_of("answers-only")
    monkeypatch.setattr(Plan, "delta_with_noise", lambda self, epsilon, draws: None)
    void = make(plan, tmp_path)
    assert void["across_silos"] is None
    assert [silo["epsilon"] for silo in void["silos"]] == [None] * 4


def test_what_was_charged_is_what_the_ledgers_rows_say(folder: Path, made: dict[str, Any]) -> None:
    """Kinds, answers, mu and the chain's head come from the verified ledgers, not from the plan."""
    for silo in made["silos"]:
        path = folder / "silos" / silo["name"]
        verified = verify(
            path / "ledger.sqlite", key=load(path / "key").chain, expected_head=silo["ledger_head"]
        )
        assert verified.head == silo["ledger_head"]
        assert silo["charged"]["R"] == ["counts"]
        assert silo["charged"]["A"] == ["dp-sgd", "moments"]
        assert silo["charged"]["B"]["answers"] == verified.totals.uses["answer"] == 3
        assert silo["charged"]["B"]["mu"] == math.sqrt(verified.totals.answers_mu2)
        assert silo["charged"]["B"]["cap_mu"] == math.sqrt(verified.header.answers_cap)
        assert silo["ledger_id"] == verified.header.ledger_id


def test_the_claim_does_not_shrink_when_less_was_spent(tmp_path: Path) -> None:
    """The claim is the one at the cap; what was spent is a reading, and lies below it."""
    plan = plan_of("answers-only")
    nothing, some = make(plan, tmp_path / "a"), make(plan, tmp_path / "b", spent=1.0)
    for one, other in zip(nothing["silos"], some["silos"], strict=True):
        assert one["epsilon"] == other["epsilon"]
        target = 4.0 if one["name"] == "switzerland" else 8.0
        assert 0.97 * target <= one["epsilon"]["upper"] <= target
        assert one["readings"]["record"]["upper"] == 0.0
        assert 0.0 < other["readings"]["record"]["upper"] < other["epsilon"]["upper"]
        budget = plan.budgets[one["name"]]
        record = (budget.record_mu or 0.0) / budget.answers_mu
        spent = epsilon(Gaussian(1.0 / record), delta=1e-5, adjacency="add-or-remove")
        assert other["readings"]["record"]["upper"] == pytest.approx(spent.upper, rel=1e-9)
        assert other["readings"]["silo"]["upper"] > other["readings"]["record"]["upper"]


def test_a_noise_seed_voids_the_statement(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.statement.making.make: With a noise seed there is no claim at all: it
    says in words that the run is NOT private, and why; without one it says nothing of the kind."""
    void = make(plan_of("answers-only", "privacy.unsafe_noise_seed=0"), tmp_path / "a")
    assert void["private"] is False
    assert "unsafe_noise_seed is set" in void["void"]
    assert all("nothing is promised" in silo["readings_are"] for silo in void["silos"])
    assert "NOT private" in void["void"]
    assert void["across_silos"] is None
    assert all(silo["epsilon"] is None for silo in void["silos"])
    sound = make(plan_of("answers-only"), tmp_path / "b")
    assert sound["private"] is True
    assert sound["void"] is None


def test_the_implementation_is_named_and_its_limits_too(made: dict[str, Any]) -> None:
    """Noise sampler with its deviation and caps, sampling, training, accountant and adversary;
    float32 gradients are a caveat, and float noise is none any more."""
    implementation = made["implementation"]
    assert implementation["noise"] == lattice.SAMPLER
    assert "rounded Gaussian on a lattice" in implementation["noise"]
    assert "AES-256-CTR" in implementation["noise"]
    assert f"{lattice.PER_DRAW:.3g} per draw" in implementation["noise_deviation"]
    assert "(1 + e^epsilon)" in implementation["noise_deviation"]
    for name, drawn in ((n, planning.make(small()).draws(n)) for n in ("cleveland", "va")):
        assert f"{name} {drawn.total:,} (counts 2," in implementation["draws"]
    assert "add-or-remove, of training and claims" in implementation["adjacency"]
    assert "Poisson at the public rate 0.25" in implementation["sampling"]
    assert "Opacus" in implementation["training"]
    assert "C (1 + 1e-6)" in implementation["training"]
    assert "malicious server" in implementation["adversary"]
    assert "computational" in implementation["adversary"]
    assert any("computed in float32" in caveat for caveat in made["caveats"])
    assert not any("floating-point Gaussian" in caveat for caveat in made["caveats"])
    assert any("no silo-level claim" in caveat for caveat in made["caveats"])
    assert set(made["software"]) == {"dpfedsyn", "torch", "opacus", "numpy", "cryptography"}


def test_what_nobody_pays_for_is_named(made: dict[str, Any]) -> None:
    """The held-out test part, the schema, participation and timing lie outside the claim."""
    text = " ".join(made["unprotected"])
    assert "the test part: it is never used for training" in text
    assert "unpaid (33% of each silo's records" in text
    for words in ("schema", "which silos take part", "timing"):
        assert words in text
    assert any("publishing them is not covered" in caveat for caveat in made["caveats"])


def test_an_ensemble_says_what_protects_it(tmp_path: Path) -> None:
    """No sampling, no private training: the answers alone, and a number at silo level."""
    made = make(plan_of("answers-only"), tmp_path / "a", spent=1.0)
    assert "answers alone" in made["implementation"]["sampling"]
    assert "never released" in made["implementation"]["training"]
    assert not any("no silo-level claim" in caveat for caveat in made["caveats"])
    for silo in made["silos"]:
        assert silo["shares_mu2"] == {"answers": 1.0}
        assert silo["charged"]["R"] == silo["charged"]["A"] == []
        assert silo["readings"]["silo_reason"] is None


def test_how_a_run_ended_and_what_overlaps_are_part_of_it(tmp_path: Path) -> None:
    """A partial run names its refusal; m silos per person compose in the claim across silos."""
    plan = plan_of("answers-only", "privacy.overlap=2")
    made = make(plan, tmp_path / "a", outcome=Outcome("partial", "switzerland: no more", 2, 3))
    assert (made["status"], made["reason"]) == ("partial", "switzerland: no more")
    assert made["overlap"] == 2
    claims = [budget.record_claim() for budget in plan.budgets.values()]
    bound = overlap(claims, 2, delta=1e-5, adjacency="add-or-remove")
    terms = {"delta": 1e-5, "unit": "record", "adjacency": "add-or-remove"}
    carried = plan.delta_with_noise(bound.upper, 2 * plan.draws("va").total)
    claim = {"upper": bound.upper, "lower": bound.lower, "delta_with_noise": carried}
    told = dict(made["across_silos"])
    risk = told.pop("risk")
    assert told == {**claim, **terms}
    pair = Composed((claims[0], claims[1]))
    assert risk["advantage"] >= tradeoff(pair, adjacency="add-or-remove").advantage.lower
    assert risk["advantage"] > max(silo["risk"]["advantage"] for silo in made["silos"])
    assert made["across_silos"]["upper"] > 8.0


def test_it_is_plain_json_of_a_stated_version(made: dict[str, Any], tmp_path: Path) -> None:
    """Finite numbers and texts only, whatever the outcome: another program can read it."""
    assert made["statement_version"] == statement.STATEMENT_VERSION == 2
    plan = plan_of("answers-only")
    fresh = make(replace(plan), tmp_path / "a")
    assert json.loads(json.dumps(fresh, allow_nan=False)) == fresh


def test_little_protection_by_answers_is_said_only_where_it_is_so(tmp_path: Path) -> None:
    """With a small cap and public weights the answers carry the claim: then it is not said."""
    weak = make(plan_of("hospitals"), tmp_path / "a")
    assert any("next to nothing of its own" in caveat for caveat in weak["caveats"])
    strong = make(plan_of("hospitals", "answers.mu=1", "weights.source=public"), tmp_path / "b")
    assert not any("next to nothing of its own" in caveat for caveat in strong["caveats"])
