"""The plan: computed before anything is released, and kept by what the silos then do."""

import contextlib
import itertools
import math
import re
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountants import Bound, Composed
from accountants.ledger import Header, Ledger
from dpfedsyn import config as configuration
from dpfedsyn import passes, resolved
from dpfedsyn import plan as planning
from dpfedsyn.errors import BudgetExhausted, ConfigError
from dpfedsyn.keys import SiloKey
from dpfedsyn.messages import ScoreQuery
from dpfedsyn.plan import Plan
from dpfedsyn.settings import Config
from dpfedsyn.silo import Public, Silo
from tests.dpfedsyn.test_silo import Constant

KEY = SiloKey(b"q" * 32)


@cache
def plan_of(name: str = "hospitals", *overrides: str) -> Plan:
    return planning.make(configuration.load(name, overrides))


def readings(plan: Plan) -> list[dict[str, Any]]:
    return [silo["readings"] for silo in plan.to_dict()["silos"]]


def test_the_embedded_examples_may_start() -> None:
    """Hospitals fits whole; answers-only starts although it says that a silo will refuse."""
    assert plan_of().fits
    assert plan_of().notes == ()
    plan = plan_of("answers-only")
    assert plan.fits
    plan.require()
    assert len(plan.notes) == 1
    assert plan.notes[0].startswith("switzerland: ")


def test_every_silo_keeps_its_promise_at_the_cap() -> None:
    """Record level at the cap: at most epsilon, and at least 97 % of it, for all hospitals."""
    for name in ("hospitals", "answers-only"):
        plan = plan_of(name)
        for silo in plan.to_dict()["silos"]:
            upper = silo["readings"]["record"]["upper"]
            assert 0.97 * silo["epsilon_target"] <= upper <= silo["epsilon_target"]


def test_the_silo_level_is_none_with_released_counts_and_a_number_without() -> None:
    """Noisy counts have no useful bound on a whole silo; public weights release none."""
    for reading in readings(plan_of()):
        assert reading["silo"] is None
        assert "counts are released" in reading["silo_reason"]
    for reading in readings(plan_of("hospitals", "weights.source=public")):
        assert reading["silo"]["upper"] > 1e6
        assert reading["silo"]["upper"] == reading["answers"]["upper"]
        assert (reading["silo"]["unit"], reading["silo"]["adjacency"]) == ("silo", "replace")
        assert (reading["record"]["unit"], reading["record"]["delta"]) == ("record", 1e-5)
        assert reading["silo_reason"] is None


def test_all_three_readings_grow_with_every_round() -> None:
    """Epsilon after round k never falls, at record level, for the answers alone and for a silo."""
    for name, overrides in (("answers-only", ()), ("hospitals", ("weights.source=public",))):
        plan = plan_of(name, *overrides)
        budget = plan.budgets["va"]
        costs, rows = passes.mechanism(plan.config), plan.config.answers.rows
        noise = [n for part in plan.passes for n in plan.noise(part, rows)]
        each = [costs.silo_mu2(rows, n.score_std, n.energy_std) for n in noise]
        spent = list(itertools.accumulate(each))[::6]
        share = 1.0 if budget.record_mu is None else (budget.record_mu / budget.answers_mu) ** 2
        for claim, scale in (
            (budget.record_claim, share),
            (budget.answers_claim, share),
            (budget.silo_claim, 1.0),
        ):
            uppers = [plan.epsilon(claim(mu2 * scale)).upper for mu2 in spent]
            assert uppers == sorted(uppers)
            assert uppers[0] > 0.0


ADVICE = re.compile(r"epsilon >= ([0-9.e+-]*[0-9])(?:, or a silo of ([0-9]+) records)?")


@pytest.mark.parametrize("epsilon", ["0.001", "0.05", "0.4"])
def test_too_small_a_budget_names_what_would_work_and_it_does(epsilon: str) -> None:
    """Each silo's fault gives an epsilon, and a size where one would do; either makes it fit."""
    plan = plan_of("hospitals", f"privacy.epsilon={epsilon}")
    assert not plan.fits
    with pytest.raises(BudgetExhausted, match="nothing was released") as refused:
        plan.require()
    assert refused.value.exit_code == 3
    advice = {fault.split(":")[0]: ADVICE.search(fault) for fault in plan.faults}
    assert all(fault.count("delta 1e-05, unit record, add-or-remove") for fault in plan.faults)
    wanted, sizes = [], {}
    for name, found in advice.items():
        assert found is not None
        wanted.append(found[1])
        if found[2] is not None:
            sizes[name] = float(found[2])
    larger = max(wanted, key=float)
    assert plan_of("hospitals", f"privacy.epsilon={larger}").fits
    assert sizes or float(epsilon) < 0.01
    silos = tuple(
        replace(silo, reference_size=sizes.get(silo.name, silo.reference_size))
        for silo in plan.config.silos
    )
    assert planning.make(replace(plan.config, silos=silos)).fits or not sizes


def test_the_advice_is_not_far_from_the_least_that_works() -> None:
    """A tenth less than the advised epsilon still fails for the smallest hospital."""
    plan = plan_of("hospitals", "privacy.epsilon=0.001")
    found = [ADVICE.search(fault) for fault in plan.faults]
    needed = max(float(match[1]) for match in found if match is not None)
    assert not plan_of("hospitals", f"privacy.epsilon={0.85 * needed}").fits


def test_a_run_that_ends_early_is_a_fault_unless_it_is_allowed() -> None:
    """The message names the silo, how many rounds fit and the answers.mu that makes all fit."""
    plan = plan_of("answers-only", "answers.allow_partial=false")
    (fault,) = plan.faults
    found = re.search(r"lower answers\.mu to ([0-9.]+)", fault)
    assert found is not None
    mended = plan_of("answers-only", "answers.allow_partial=false", f"answers.mu={found[1]}")
    assert mended.fits
    rounds = sum(len(part.kernels) for part in mended.passes)
    assert all(planning.rounds_that_fit(mended, name) == rounds for name in mended.budgets)


def rounds_answered(plan: Plan, name: str) -> int:
    """How many rounds a silo with this plan's caps answers before it refuses."""
    budget, mechanism = plan.budgets[name], passes.mechanism(plan.config)
    record_cap = None if budget.record_mu is None else budget.record_mu**2
    header = Header(
        KEY.ledger_id, name, plan.config.name, "record", plan.config.privacy.adjacency, 1e-5, (),
        budget.answers_mu**2, record_cap, 3, "1",
    )  # fmt: skip
    rows, moved = plan.config.answers.rows, passes.moved_parts(plan.config)
    public = Public(
        name,
        plan.config.name,
        plan.dimension,
        plan.classes,
        mechanism,
        moved,
        b"v",
    )
    models = [Constant(0.0) for _ in range(mechanism.parts)]
    x, labels = np.zeros((rows, plan.dimension), np.float32), np.zeros(rows, np.int64)
    answered = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder) / "ledger", header, key=KEY.chain) as ledger,
    ):
        silo = Silo(public, models, ledger, KEY)
        with contextlib.suppress(BudgetExhausted):
            for part in plan.passes:
                steps = zip(part.kernels, plan.noise(part, rows), strict=True)
                for kernel, noise in steps:
                    silo.answer(
                        ScoreQuery(
                            plan.config.name, answered + 1, kernel.t, x, labels,
                            noise.score_std, noise.energy_std,
                        )
                    )  # fmt: skip
                    answered += 1
    return answered


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("privacy.adjacency=replace",),
        ("answers.mu=0.7", "privacy.epsilon=1.3"),
        ("answers.mu=3.0", "train.parts=3"),
        ("answers.best_share=0.3", "preset=default"),
    ],
)
def test_the_rounds_that_fit_are_the_rounds_that_a_silo_answers(overrides: tuple[str, ...]) -> None:
    """Plan and filter agree to the round, for every hospital of the ensemble example."""
    plan = plan_of("answers-only", *overrides)
    for name in plan.budgets:
        assert rounds_answered(plan, name) == planning.rounds_that_fit(plan, name)


def test_a_plan_whose_rounds_cost_exactly_the_cap_is_answered_whole() -> None:
    """The filter rounds up, the schedule leaves room: no silo refuses the last planned round."""
    budget = plan_of("answers-only").budgets["va"]
    plan = plan_of("answers-only", f"answers.mu={budget.record_mu!r}")
    rounds = sum(len(part.kernels) for part in plan.passes)
    assert planning.rounds_that_fit(plan, "va") == rounds == rounds_answered(plan, "va")


def test_under_replace_a_record_moves_two_parts_of_an_ensemble() -> None:
    """Twice the noise for the same record-level cost; the cap between models halves."""
    plans = [
        plan_of("answers-only", f"privacy.adjacency={a}") for a in ("add-or-remove", "replace")
    ]
    costs = [passes.moved_parts(plan.config) for plan in plans]
    assert costs == [1, 2]
    noise = [plan.noise(plan.passes[0], 8)[0].score_std for plan in plans]
    assert noise[1] == pytest.approx(2.0 * noise[0], rel=1e-12)
    caps = [plan.budgets["va"] for plan in plans]
    assert caps[0].record_mu == caps[1].record_mu
    assert caps[0].answers_mu == pytest.approx(2.0 * caps[1].answers_mu, rel=1e-12)


def test_the_extra_pass_is_what_the_section_best_says() -> None:
    """Blended rows are asked of every silo, and the pass costs what its share may cost."""
    plan = plan_of("hospitals", "best.step=blend", "best.energy=uniform", "best.levels=5")
    main, extra = plan.passes
    assert (main.settings.step, main.settings.energy) == ("blend", "released")
    assert (extra.name, extra.settings) == ("best", plan.config.best)
    assert len(extra.kernels) == 5
    spent = sum(plan.round_costs[len(main.kernels) :])
    cap = plan.config.answers.best_share * passes.planned_mu(plan.config) ** 2
    assert spent == pytest.approx(cap, rel=1e-6)


def test_all_passes_together_cost_what_the_answers_may() -> None:
    """The extra pass has a share of its own: both sum to answers.mu^2, and leave the reserve."""
    for plan in (
        plan_of(),
        plan_of("hospitals", "preset=paper"),
        plan_of("hospitals", "preset=best"),
    ):
        mechanism, rows = passes.mechanism(plan.config), plan.config.answers.rows
        for asked in (rows, 7, 1):
            spent = math.fsum(
                mechanism.silo_mu2(asked, n.score_std, n.energy_std)
                for part in plan.passes
                for n in plan.noise(part, asked)
            )
            planned, cap = plan.config.answers.mu**2, plan.budgets["va"].answers_mu ** 2
            assert (1.0 - 1e-6) * planned <= spent <= planned
            assert cap == pytest.approx(planned * (1.0 + plan.config.answers.reserve))
        numbers = [part.first_round for part in plan.passes]
        assert numbers == [0, len(plan.passes[0].kernels)][: len(numbers)]


def test_both_noises_of_the_default_are_calibrated_jointly() -> None:
    """Released energies get their share of mu^2, scores the rest; no energies, all for scores."""
    plan = plan_of()
    mechanism, rows = passes.mechanism(plan.config), plan.config.answers.rows
    for part in plan.passes:
        for noise in plan.noise(part, rows):
            whole = mechanism.silo_mu2(rows, noise.score_std, noise.energy_std)
            scores = mechanism.silo_mu2(rows, noise.score_std, None)
            share = plan.config.answers.energy_share if part.name == "default" else 0.0
            assert scores == pytest.approx((1.0 - share) * whole, rel=1e-9)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_overlap_composes_the_worst_m_silos(m: int) -> None:
    """A person in m of four hospitals pays the worst m claims; one hospital, the worst claim."""
    plan = plan_of("answers-only", f"privacy.overlap={m}")
    bound = plan.across_silos()
    claims = sorted(
        (budget.record_claim() for budget in plan.budgets.values()),
        key=lambda claim: plan.epsilon(claim).upper,
    )
    composed = plan.epsilon(Composed(tuple(claims[-m:])))
    assert bound.upper == pytest.approx(composed.upper, rel=1e-9)
    assert plan.to_dict()["overlap"] == m


def test_overlap_never_costs_less_with_training() -> None:
    """Cascades of several silos: monotone in m, and m = 1 is the worst single silo."""
    bounds = [plan_of("hospitals", f"privacy.overlap={m}").across_silos() for m in (1, 2, 4)]
    uppers = [bound.upper for bound in bounds]
    assert uppers == sorted(set(uppers))
    single = max(reading["record"]["upper"] for reading in readings(plan_of()))
    assert uppers[0] == pytest.approx(single, rel=1e-9)
    assert all(isinstance(bound, Bound) for bound in bounds)


def test_the_plan_reads_no_records(tmp_path: Path) -> None:
    """With every data file emptied the plan is the same: it knows public settings alone."""
    config: Config = resolved.absolute(plan_of().config)
    empty = tmp_path / "empty.data"
    empty.write_text("")
    silos = tuple(replace(silo, path=str(empty)) for silo in config.silos)
    assert planning.make(replace(config, silos=silos)).to_dict() == plan_of().to_dict()


def test_sampled_training_under_replace_is_refused_before_planning() -> None:
    """The configuration itself is at fault, and says which adjacencies there are."""
    with pytest.raises(ConfigError, match="add-or-remove and zero-out only"):
        plan_of("hospitals", "privacy.adjacency=replace")


def test_an_ensemble_of_all_but_empty_parts_does_not_fit_and_says_what_would() -> None:
    """Fewer than two records a part, by public reference size; the named number of parts fits."""
    plan = plan_of("answers-only", "train.parts=41")
    faults = [fault for fault in plan.faults if fault.startswith("switzerland: 41 parts")]
    assert len(faults) == 1
    assert "train.parts <= 40" in faults[0]
    assert plan_of("answers-only", "train.parts=40").fits


def test_the_plan_tells_what_is_spent_after_which_round_until_a_silo_refuses() -> None:
    """Every entry equals the claim at that many rounds; a silo whose cap is reached is left out."""
    plan = plan_of("answers-only")
    entries = plan.to_dict()["epsilon_over_rounds"]
    assert [entry["round"] for entry in entries] == [1, 2, 5, 10, 20, 24]
    fitting = planning.rounds_that_fit(plan, "switzerland")
    for entry in entries:
        assert ("switzerland" in entry["silos"]) == (entry["round"] <= fitting)
        budget = plan.budgets["va"]
        spent = planning.mu2_after(plan, entry["round"])
        assert budget.record_mu is not None
        share = (budget.record_mu / budget.answers_mu) ** 2
        claim = plan.epsilon(budget.record_claim(spent * share))
        assert entry["silos"]["va"]["record"]["upper"] == claim.upper
    assert planning.mu2_after(plan, 24) == pytest.approx(passes.planned_mu(plan.config) ** 2)


def test_absorption_with_energies_of_the_noisy_answers_is_noted_as_inexact() -> None:
    """The weights then depend on the noise that is absorbed; the literal preset absorbs nothing."""
    inexact = plan_of("hospitals", "preset=paper", "sampler.absorb=true", "answers.rows=10")
    assert any("absorb" in note for note in inexact.notes)
    assert inexact.fits
    for overrides in (("preset=paper", "answers.rows=10"), ()):
        assert not any("absorb" in note for note in plan_of("hospitals", *overrides).notes)
