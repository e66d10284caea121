"""Two trainings on the same records compose, and `plan` shows it."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from accountants import (
    ApproximateDP,
    Cascade,
    Composed,
    Gaussian,
    PoissonSampled,
    Repeated,
    Unbounded,
    epsilon,
)
from accountants.ledger import Header, Ledger, Planned
from dpfedsyn import cli, earlier, keys
from dpfedsyn import config as configuration
from dpfedsyn import plan as planning
from dpfedsyn.budget import Budget, solve
from dpfedsyn.errors import ConfigError, LedgerCorrupt, RunError
from dpfedsyn.plan import Plan
from dpfedsyn.silo_ledger import planned

STEP = PoissonSampled(Gaussian(3.0), 0.25)
PLANNED = (
    Planned("counts", "R", Gaussian(9.0), 1),
    Planned("moments", "A", Gaussian(2.0), 1),
    Planned("dp-sgd", "A", STEP, 200),
)
HEADER = Header("aa", "va", "first", "record", "add-or-remove", 1e-5, PLANNED, 9.0, None, 3, "1")


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The plan of the hospitals."""
    return planning.make(configuration.load("hospitals"))


def write(folder: Path, name: str, header: Header, steps: int = 0) -> Path:
    """An earlier run's silo, killed after so many steps."""
    silo = folder / "silos" / name
    silo.mkdir(parents=True)
    (folder / "config.toml").write_text("[privacy]\nepsilon = 8.0\n", encoding="utf-8")
    key = keys.fresh()
    keys.store(key, silo / "key")
    own = replace(header, ledger_id=key.ledger_id, silo=name)
    with Ledger.create(silo / "ledger.sqlite", own, key=key.chain) as ledger:
        if steps:
            ledger.commit(
                ledger.admit(digest=b"b", kind="dp-sgd", group="A", event=STEP, uses=steps), None
            )
    return folder


def test_the_claim_of_a_ledger_is_that_of_its_budget() -> None:
    """Guarantee of dpfedsyn.earlier.claim: It is the record-level claim of the budget that the
    ledger was opened with."""
    budget = Budget(Gaussian(9.0), True, Gaussian(2.0), Repeated(STEP, 200), 3.0, None)
    both = earlier.claim(HEADER), budget.record_claim()
    found = [epsilon(event, delta=1e-5) for event in both]
    assert found[0] == found[1]
    inside = Composed((Repeated(Gaussian(2.0), 1), Repeated(STEP, 200)))
    assert earlier.claim(HEADER) == Composed(
        (Repeated(Gaussian(9.0), 1), Cascade(inside, Gaussian(1 / 3)))
    )


def test_ensembles_and_models_that_nobody_paid_for() -> None:
    """At its cap an ensemble is one Gaussian; without charged training, or void, there is no
    epsilon: a ledger of no private training and no record-level cap promises nothing."""
    ensemble = replace(HEADER, planned=(), record_cap=4.0)
    assert earlier.claim(ensemble) == Composed((Gaussian(0.5),))
    unpaid = earlier.claim(replace(HEADER, planned=PLANNED[:1]))
    assert isinstance(unpaid, Unbounded)
    assert earlier.claim(HEADER, "seeded") == Unbounded("seeded")


def first_of(name: str, *more: str) -> Budget:
    """Of an example's first silo."""
    return next(iter(planning.make(configuration.load(name, more)).budgets.values()))


def brought(claimed: ApproximateDP | None) -> Budget:
    """Of a silo that brings a model, and releases counts of its records."""
    config = configuration.load("hospitals")
    silo = replace(config.silos[0], model="model.json")
    if claimed is not None:
        silo = replace(silo, training="claimed")
    return solve(config, silo, claimed)


@pytest.mark.parametrize(
    "make",
    [
        lambda: first_of("hospitals"),
        lambda: first_of("hospitals", "preset=best", "network.kind=none", "base.combine=pool"),
        lambda: first_of("answers-only"),
        lambda: first_of("digits"),
        lambda: first_of("digits", "preset=best"),
        lambda: first_of("two-hospitals", "weights.source=public"),
        lambda: brought(None),
        lambda: brought(ApproximateDP(2.0, 1e-6)),
    ],
)
def test_every_budget_s_ledger_claims_what_the_budget_does(make: Callable[[], Budget]) -> None:
    """Whatever a run plans: what a later plan adds is what this one promised, nothing forgotten."""
    own = make()
    record = None if own.record_mu is None else own.record_mu**2
    header = replace(HEADER, planned=planned(own), answers_cap=own.answers_mu**2, record_cap=record)
    found = epsilon(earlier.claim(header), delta=1e-5)
    promised = epsilon(own.record_claim(), delta=1e-5)
    assert found.upper == pytest.approx(promised.upper, rel=1e-9)
    assert promised.upper < math.inf


def test_a_run_of_which_nobody_knows_whether_it_was_seeded_is_not_added(
    plan: Plan, tmp_path: Path
) -> None:
    """Without its configuration it might have hidden nothing."""
    run = write(tmp_path / "r", "va", HEADER)
    (run / "config.toml").unlink()
    with pytest.raises(RunError, match="whether the noise of that run hides anything"):
        earlier.together(plan, [run])


def test_a_second_training_costs_both_and_a_third_all_three(plan: Plan, tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.earlier.together: `together` bounds the composition of this plan with
    the earlier runs, each at its caps and with all the uses that it planned."""
    runs = [write(tmp_path / name, "va", HEADER, steps=5) for name in ("r1", "r2")]
    alone = plan.epsilon(plan.budgets["va"].record_claim()).upper
    first = epsilon(earlier.claim(HEADER), delta=1e-5).upper
    uppers = []
    for count in (1, 2):
        rows = {row["name"]: row for row in earlier.together(plan, runs[:count])}
        uppers.append(rows["va"]["together"]["upper"])
        assert (
            rows["va"]["charged"]
            == ["counts 0 of 1, moments 0 of 1, dp-sgd 5 of 200, 0 answers"] * count
        )
        assert rows["va"]["runs"] == [str(run) for run in runs[:count]]
        untouched = rows["cleveland"]
        assert untouched["runs"] == untouched["charged"] == []
        assert untouched["earlier"]["upper"] == 0.0
        assert untouched["together"]["upper"] == pytest.approx(
            plan.epsilon(plan.budgets["cleveland"].record_claim()).upper
        )
    assert rows["va"]["earlier"]["upper"] > first
    assert alone < uppers[0] < uppers[1]
    assert uppers[0] > first
    own = plan.budgets["va"]
    training = Composed(
        (*own.releases(), *own.inside(), *(Repeated(p.event, p.uses) for p in PLANNED))
    )
    assert uppers[0] <= plan.epsilon(training).upper * (1 + 1e-9)


def test_training_that_was_killed_half_way_counts_as_planned(plan: Plan, tmp_path: Path) -> None:
    """It may be resumed: what it can still spend is counted, not what it has spent."""
    runs = [write(tmp_path / str(steps), "va", HEADER, steps=steps) for steps in (1, 200)]
    uppers = [
        row["together"]["upper"]
        for run in runs
        for row in earlier.together(plan, [run])
        if row["name"] == "va"
    ]
    assert uppers[0] == uppers[1]


@pytest.mark.parametrize("change", [{"adjacency": "zero-out"}, {"unit": "person"}])
def test_terms_are_never_mixed(change: dict[str, Any], plan: Plan, tmp_path: Path) -> None:
    """Another unit or adjacency: two numbers that cannot be added."""
    run = write(tmp_path / "r", "va", replace(HEADER, **change))
    with pytest.raises(ConfigError, match="cannot be added"):
        earlier.together(plan, [run])


def test_a_folder_without_these_silos_and_a_damaged_ledger_are_refused(
    plan: Plan, tmp_path: Path
) -> None:
    """Nothing to add is a mistake in the folder's name; a damaged ledger proves nothing."""
    with pytest.raises(RunError, match="holds a ledger of none of"):
        earlier.together(plan, [write(tmp_path / "other", "elsewhere", HEADER)])
    run = write(tmp_path / "damaged", "va", HEADER)
    path = run / "silos" / "va" / "ledger.sqlite"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(LedgerCorrupt):
        earlier.together(plan, [run])


def test_repeatable_noise_voids_the_sum(plan: Plan, tmp_path: Path) -> None:
    """A test run on the same records: anybody can subtract its noise, so nothing is promised."""
    run = write(tmp_path / "r", "va", HEADER)
    (run / "config.toml").write_text("[privacy]\nunsafe_noise_seed = 3\n", encoding="utf-8")
    (va,) = [row for row in earlier.together(plan, [run]) if row["name"] == "va"]
    assert va["together"]["upper"] == math.inf


def call(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(
        cli.app, [str(argument) for argument in arguments]
    )


def test_plan_shows_the_sum_with_its_terms(tmp_path: Path) -> None:
    """On the terminal as a table, in JSON under `after`; with a frontier it makes no sense."""
    run = write(tmp_path / "r1", "va", HEADER, steps=5)
    shown = call("plan", "hospitals", "--after", run)
    assert shown.exit_code == 0, shown.output
    flat = " ".join(shown.output.split())
    assert "Together with earlier runs on the same records" in flat
    assert "dp-sgd 5 of 200" in flat
    assert "Upper ends at delta 1e-05, unit record, add-or-remove" in flat
    planned = json.loads(call("plan", "hospitals", "--after", run, "--json").stdout)
    after = {row["name"]: row for row in planned["after"]}
    assert after["va"]["together"]["upper"] > after["cleveland"]["together"]["upper"]
    assert call("plan", "hospitals", "--after", run, "--epsilon", "3").exit_code == 2
    assert call("plan", "hospitals", "--after", tmp_path / "none").exit_code == 2
