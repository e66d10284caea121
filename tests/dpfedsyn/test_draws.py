"""How many draws of noise a run may take: counted before it, and never more in it."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants.ledger import Ledger
from dpfedsyn import config as configuration
from dpfedsyn import keys, run
from dpfedsyn import plan as planning
from dpfedsyn.architecture import Architecture
from dpfedsyn.draws import ASKED_AGAIN
from dpfedsyn.images import Geometry
from dpfedsyn.lattice import Lattice
from dpfedsyn.noise import Keystream
from dpfedsyn.parameters import parameters
from dpfedsyn.plan import Plan
from dpfedsyn.settings import NetworkSettings
from tests.dpfedsyn.test_hazards import small


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 30))
def test_parameters_of_an_mlp_are_counted_without_it(d: int, classes: int, hidden: int) -> None:
    """As many as the network has that is built."""
    settings = NetworkSettings(hidden=hidden)
    network = Architecture(settings, d, classes).drawn(Keystream(bytes(32)))
    assert parameters(settings, d, classes) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("channels", [8, 16])
@pytest.mark.parametrize("pose", [0, 3])
@pytest.mark.parametrize("classes", [1, 10])
def test_parameters_of_a_unet_are_counted_without_it(
    channels: int, pose: int, classes: int
) -> None:
    """With and without coordinates that move pixels."""
    basis = np.zeros((9 + pose, 35))
    basis[:9, :9] = np.eye(9)
    settings = NetworkSettings(kind="unet", channels=channels)
    made = Architecture(settings, 9 + pose, classes, Geometry(5, 7, basis))
    network = made.drawn(Keystream(bytes(32)))
    counted = parameters(settings, 9 + pose, classes, pose)
    assert counted == sum(p.numel() for p in network.parameters())


@cache
def plan_of(name: str, *overrides: str) -> Plan:
    return planning.make(configuration.load(name, overrides))


@pytest.mark.parametrize("weights", ["counts", "public"])
def test_a_run_draws_what_was_counted_and_no_more(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee of dpfedsyn.draws.draws: No run draws more: planned mechanisms are charged once,
    DP-SGD for its planned steps; the answers take half of their cap but for the reserve's part of
    it, since nothing was asked again.
    """
    seen: list[int] = []
    real = Lattice.noise

    def watched(self: Lattice, stream: Any, count: int) -> Any:
        seen.append(count)
        return real(self, stream, count)

    monkeypatch.setattr(Lattice, "noise", watched)
    config = small(f"weights.source={weights}")
    run.run(config, tmp_path / "run")
    plan = planning.make(config)
    caps = [plan.draws(name) for name in plan.budgets]
    assert plan.rounds == 3
    asked = plan.rounds * config.answers.rows * (plan.dimension + 1)
    assert [c.answers for c in caps] == [round(ASKED_AGAIN * 1.2 * asked)] * len(caps)
    expected = sum(c.total - c.answers + asked for c in caps)
    assert sum(seen) == expected


def test_moments_about_released_means_and_images_are_counted() -> None:
    """Two queries, covariances per label, and an example of images, whose plan fits."""
    plan = plan_of("digits")
    for name in plan.budgets:
        drawn = plan.draws(name)
        assert drawn.counts == 10
        assert drawn.moments == 10 * 50 + (1 + 10) * 50 * 51 // 2
        assert drawn.training == plan.config.train.steps * (512 * 77 + 50 * 513)
        assert drawn.answers == round(2 * plan.rounds * 4000 * 1.2) * 51
    assert plan.fits


def test_the_mean_of_all_records_is_counted_and_shown() -> None:
    """Three queries: d more draws, a share of the budget, and a line in the plan's table."""
    plan = plan_of("digits", "preset=best")
    shown = {silo["name"]: silo for silo in plan.to_dict()["silos"]}
    for name, budget in plan.budgets.items():
        drawn = plan.draws(name)
        assert drawn.moments == 50 + 10 * 50 + (1 + 10) * 50 * 51 // 2
        mechanisms = {row["name"]: row for row in shown[name]["mechanisms"]}
        assert set(mechanisms) == {"counts", "origin", "means", "moments", "answers"}
        assert budget.origin is not None
        assert mechanisms["origin"]["mu"] == budget.origin.mu
        shares = [row["share_mu2"] for row in mechanisms.values() if row["share_mu2"] is not None]
        assert sum(shares) == pytest.approx(1.0)
        assert mechanisms["origin"]["share_mu2"] == pytest.approx(0.9 * 0.056, rel=1e-6)


def test_an_ensemble_draws_for_its_answers_alone() -> None:
    """Nothing else of it is noised."""
    plan = plan_of("answers-only")
    for name in plan.budgets:
        drawn = plan.draws(name)
        assert drawn.total == drawn.answers == 2 * plan.rounds * 8 * (plan.dimension + 1)


@pytest.mark.parametrize("epsilon", [60.0, 1e3])
def test_a_claim_that_delta_cannot_carry_is_refused_before_anything_runs(epsilon: float) -> None:
    """At so large an epsilon the sampler's deviation times e^epsilon is no longer small: the plan
    says fact, consequence and mend, and does not fit."""
    plan = planning.make(small(f"privacy.epsilon={epsilon}"))
    assert not plan.fits
    (fault, *_) = [text for text in plan.faults if text.startswith("va: ")]
    assert f"epsilon = {epsilon:g} for" in fault
    assert "no (epsilon, delta) is claimed" in fault
    assert "lower answers.rows" in fault


def test_overlap_counts_the_draws_of_all_silos_behind_a_person() -> None:
    """The silos with the most draws, and their joint epsilon: refused where that is too much."""
    plan = planning.make(small("privacy.overlap=3"))
    each = sorted(plan.draws(name).total for name in plan.budgets)
    assert plan.overlapping_draws == sum(each[1:])
    assert plan.fits
    far = planning.make(small("privacy.overlap=3", "privacy.epsilon=36"))
    assert [text for text in far.faults if text.startswith("across silos: ")]
    assert not [text for text in far.faults if not text.startswith("across silos: ")]


def test_a_run_without_privacy_has_no_claim_to_refuse() -> None:
    """Its statement is void anyway."""
    plan = planning.make(small("train.method=not-private", "privacy.epsilon=1e5"))
    assert not [text for text in plan.faults if "draws of noise" in text]
    assert replace(plan).draws("va").training == 0


def test_draws_of_a_ledger_are_those_of_its_rows(tmp_path: Path) -> None:
    """No row of a run goes without: a forgotten one would not be covered by delta."""
    run.run(small(), tmp_path / "run")
    silo = tmp_path / "run" / "silos" / "va"
    with Ledger.open(silo / "ledger.sqlite", key=keys.load(silo / "key").chain) as ledger:
        charges = ledger.charges()
    assert min(charge.draws for charge in charges) > 0
    answers = {charge.draws for charge in charges if charge.kind == "answer"}
    plan = planning.make(small())
    assert answers == {400 * (plan.dimension + 1)}
    cap = plan.draws("va")
    asked = plan.rounds * 400 * (plan.dimension + 1)
    assert sum(charge.draws for charge in charges) == cap.total - cap.answers + asked
    assert ledger.header.draws_cap == cap.total


def test_more_rows_rounds_steps_or_parameters_need_more_draws() -> None:
    """And nothing else does: reference sizes and budgets change no number of draws."""
    base = plan_of("hospitals").draws("va").total
    for more in ("answers.rows=3001", "sampler.levels=26", "train.steps=201", "network.hidden=513"):
        assert plan_of("hospitals", more).draws("va").total > base
    for same in ("privacy.epsilon=9", "answers.mu=5000", "train.draws=4"):
        assert plan_of("hospitals", same).draws("va").total == base
