"""A run whose silos release their sums: pretraining, networks, audits and refusals, on images."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from accountants import Composed, Gaussian, epsilon
from accountants.ledger import Ledger
from dpfedsyn import config as configuration
from dpfedsyn import keys
from dpfedsyn import plan as planning
from dpfedsyn import run as runner
from dpfedsyn.audit.runs import audit
from dpfedsyn.errors import ConfigError
from dpfedsyn.federation import training_steps
from dpfedsyn.marking import find
from dpfedsyn.progress import Silent

SMALL = (
    "preset=best",
    "network.kind=unet",
    "network.channels=8",
    "network.highest_noise=3.0",
    "base.combine=sum",
    "base.label_share=1.0",
    "base.clusters=2",
    "base.cluster_axes=6",
    "base.cluster_rounds=1",
    "base.origin_share=.05",
    "base.origin_radius=4.2",
    "pretrain.steps=6",
    "pretrain.rows=60",
    "pretrain.batch=16",
    "train.steps=4",
    "train.block=2",
    "train.draws=1",
    "answers.rows=40",
    "best.levels=3",
    "best.energy=path",
    "best.step=anchored",
    "evaluate.enabled=false",
)
RELEASED = ["counts", "origin", "means", "moments", "centres", "clusters"]


class Counting(Silent):
    """Counts the steps of each stage, beside how many it said that it would have."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int | None]] = {}

    def stage(self, name: str, total: int | None) -> None:
        self.steps[name] = self._now = [0, total]

    def advance(self, text: str = "") -> None:
        self._now[0] = (self._now[0] or 0) + 1


@pytest.fixture(scope="module")
def counted() -> Counting:
    """What the whole run told of its steps."""
    return Counting()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, counted: Counting) -> Path:
    """One whole run."""
    folder = tmp_path_factory.mktemp("released") / "run"
    runner.run(configuration.load("digits", SMALL), folder, progress=counted)
    return folder


def test_a_silo_of_its_own_has_as_many_steps_as_it_says(finished: Path, counted: Counting) -> None:
    """Those that pretrain its start are its own to take: 6, and 4 of training behind them."""
    told = counted.steps
    assert told["pretrain on released samples"] == [6, 6]
    assert told["train silo-0"] == [4, 4]
    config = configuration.load("digits", SMALL)
    assert training_steps(config, config.silos[0]) == 6 + 4


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_released_sums_stand_in_the_statement_and_the_claim_is_the_budget(finished: Path) -> None:
    """Base, counts and network compose to the stated epsilon; recomputed from the plan's events."""
    plan = planning.make(configuration.load("digits", SMALL))
    for silo in read(find(finished, "statement.json"))["silos"]:
        budget = plan.budgets[silo["name"]]
        sums = (budget.counts, budget.origin, budget.means, budget.moments, *budget.clusters)
        events = tuple(event for event in (*sums, budget.training) if event is not None)
        assert len(events) == 7
        alone = epsilon(Composed(events), delta=1e-5, adjacency="add-or-remove")
        assert silo["epsilon"]["upper"] == pytest.approx(alone.upper, rel=1e-6)
        assert silo["epsilon"]["upper"] <= 10.0
        fewer = epsilon(Composed(events[:-1]), delta=1e-5, adjacency="add-or-remove")
        assert fewer.upper < 0.999 * alone.upper
        assert [type(event) for event in budget.clusters] == [Gaussian] * 2


def test_an_audit_repeats_the_base_and_the_pretrained_start(finished: Path) -> None:
    """CONSISTENT with training repeated; other records, or another start, are found."""
    found = audit(finished, retrain=True)
    assert found.verdict == "CONSISTENT"
    names = {finding.check for finding in found.findings}
    assert {
        "noise of origin",
        "noise of centres",
        "noise of clusters",
        "training repeated",
    } <= names


def test_a_resumed_run_asks_nothing_again(finished: Path, tmp_path: Path) -> None:
    """Bases, start and rows are the same bytes; no row is added to any ledger."""
    again = tmp_path / "run"
    shutil.copytree(finished, again)
    before = {p.name: p.read_bytes() for p in again.glob("*synthetic*")}
    rows = [len(read_rows(again, k)) for k in range(4)]
    runner.run(configuration.load("digits", SMALL), again, resume=True)
    assert {p.name: p.read_bytes() for p in again.glob("*synthetic*")} == before
    assert [len(read_rows(again, k)) for k in range(4)] == rows


def read_rows(folder: Path, silo: int) -> list[Any]:
    """The charges of one silo's ledger that its base cost."""
    own = folder / "silos" / f"silo-{silo}"
    with Ledger.open(own / "ledger.sqlite", key=keys.load(own / "key").chain) as ledger:
        return [charge for charge in ledger.charges() if charge.kind in RELEASED]


def test_a_run_without_a_network_spends_all_on_its_base(tmp_path: Path) -> None:
    """The budget is met to a thousandth of a per cent, and no DP-SGD is charged."""
    overrides = [*SMALL, "network.kind=none", "pretrain.steps=0"]
    runner.run(configuration.load("digits", overrides), tmp_path / "run")
    for silo in read(find(tmp_path / "run", "statement.json"))["silos"]:
        assert 9.9999 <= silo["epsilon"]["upper"] <= 10.0
    assert audit(tmp_path / "run", retrain=True).verdict == "CONSISTENT"
    assert not list((tmp_path / "run").rglob("model.safetensors"))


def test_pictures_come_out_in_their_range(finished: Path) -> None:
    """Whole pixel values of the schema, as many as were asked for."""
    with np.load(next(finished.glob("*synthetic*.npz"))) as archive:
        images = archive["images"]
    assert images.shape == (40, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 16


TABLE = (
    "preset=best",
    "answers.rows=200",
    "best.levels=3",
    "evaluate.enabled=false",
)


def test_a_table_is_brought_to_its_released_histograms(tmp_path: Path) -> None:
    """The hospitals by `best`: histograms are charged, released and audited, the budget is met, and
    a skewed column comes out skewed; without them it does not."""
    for name, share in (("with", 0.1), ("without", 0.0)):
        overrides = [*TABLE, f"base.marginals_share={share}", "privacy.epsilon=30"]
        runner.run(configuration.load("hospitals", overrides), tmp_path / name)
        for silo in read(find(tmp_path / name, "statement.json"))["silos"]:
            assert 29.999 <= silo["epsilon"]["upper"] <= 30.0
    assert audit(tmp_path / "with", retrain=True).verdict == "CONSISTENT"
    with_them, without = (
        pd.read_csv(find(tmp_path / name, "synthetic.csv"))["oldpeak"].dropna()
        for name in ("with", "without")
    )
    # Two in five real patients have an oldpeak of exactly 0.
    assert (with_them == 0.0).mean() > 0.3
    assert (without == 0.0).mean() != pytest.approx((with_them == 0.0).mean(), abs=0.05)


def test_histograms_of_pictures_are_refused() -> None:
    """They have no columns of numbers."""
    config = configuration.load("digits", ["base.marginals_share=0.1"])
    with pytest.raises(ConfigError, match="no columns of numbers"):
        planning.make(config)
