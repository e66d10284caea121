"""What the internal evaluation says in words."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accountants import epsilon
from dpfedsyn import checkpoint, config, plan
from dpfedsyn import run as runner
from dpfedsyn.comparison import BASELINES, Comparison, spending
from dpfedsyn.comparison.spending import Spending
from dpfedsyn.data import Records
from dpfedsyn.errors import DataError
from dpfedsyn.evaluation import claims, trained, untrained, winners
from dpfedsyn.evaluation.claims import OURS, PRIVATE, WITHOUT_PRIVACY
from dpfedsyn.evaluation.side_by_side import NoLongerWanted, SideBySide
from dpfedsyn.evaluation.trained import LeftOut
from dpfedsyn.evaluation.untrained import TrainingTable
from dpfedsyn.metrics import classifier


def row(name: str, kind: str, *scores: float | None) -> dict[str, Any]:
    auc, accuracy, mlp_auc, mlp_accuracy = scores
    return {
        "name": name,
        "kind": kind,
        "logistic": {"auc": auc, "accuracy": accuracy},
        "mlp": {"auc": mlp_auc, "accuracy": mlp_accuracy},
    }


def test_a_baseline_that_wins_in_any_measure_is_named_against_every_pass() -> None:
    """Losing one measure of four to one of two passes is said, with both numbers."""
    ours = [row("default", "ours", 0.9, 0.8, 0.9, 0.763), row("best", "ours", 0.9, 0.8, 0.9, 0.9)]
    said = winners([*ours, row("union", "baseline", 0.8, 0.7, 0.8, 0.767)])
    assert said == ["union wins over default in accuracy of the MLP (0.7670 against 0.7630)."]


def test_a_tie_or_an_undefined_score_wins_nothing() -> None:
    """Equal is not better, and a test part with one label has no AUC to win by."""
    same = (None, 0.8, 0.9, 0.8)
    assert winners([row("default", "ours", *same), row("union", "baseline", *same)]) == []


def test_all_four_measures_are_compared() -> None:
    """A baseline that is better everywhere is said to be, everywhere."""
    (said,) = winners(
        [row("default", "ours", 0.5, 0.5, 0.5, 0.5), row("real", "baseline", 0.6, 0.6, 0.6, 0.6)]
    )
    assert said.count("logistic regression") == said.count("MLP") == 2


def test_private_baselines_win_like_any_other() -> None:
    """Whatever is not ours is compared with ours."""
    ours = row("default", OURS, 0.5, 0.5, 0.5, 0.5)
    for kind in (PRIVATE, WITHOUT_PRIVACY):
        assert len(winners([ours, row("other", kind, 0.6, 0.5, 0.5, 0.5)])) == 1


def test_classifiers_see_so_many_rows_of_a_table_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those drawn at random, each with its label and in its order; a smaller table is left as it
    is."""
    x, y = np.arange(200, dtype=np.float32)[:, None], np.arange(200)
    table = TrainingTable("pooled", WITHOUT_PRIVACY, x, y)
    assert untrained.limited(table, 1) is table
    monkeypatch.setattr(untrained, "MOST_ROWS", 20)
    cut = untrained.limited(table, 1)
    assert len(cut.y) == len(set(cut.y)) == 20
    assert np.array_equal(cut.x[:, 0], cut.y)
    assert (np.diff(cut.y) > 0).all()
    assert cut.y[-1] > 100  # not the first ones: records may lie in the order of their time
    assert not np.array_equal(cut.y, untrained.limited(table, 2).y)
    assert (cut.name, cut.kind) == (table.name, table.kind)


def test_an_evaluation_trains_on_no_more_rows_than_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours, baselines and real rows; the network that makes the features as well."""
    monkeypatch.setattr(untrained, "MOST_ROWS", 40)
    seen, plain = list[int](), classifier.fixed
    monkeypatch.setattr(
        classifier, "fixed", lambda x, *more: seen.append(len(x)) or plain(x, *more)
    )
    settings = ("answers.rows=60", "train.steps=2", "network.hidden=4", "sampler.levels=2")
    more = ("sampler.steps_per_level=1", "answers.best_share=0", "evaluate.baselines=[]")
    runner.run(config.load("hospitals", [*settings, *more]), tmp_path / "run")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    rows = {row["name"]: row["rows"] for row in results["utility"]}
    assert rows["default"] == rows["pooled real records (no privacy)"] == 40
    assert max(rows.values()) == max(seen) == 40
    assert results["train_rows"] > 400


# --- what a baseline would promise ----------------------------------------------------------------


def comparison(*overrides: str, va: float | None = None) -> Comparison:
    """The hospitals with ten records each, the last with a budget of its own, if one is given."""
    settings = config.load("hospitals", ["train.steps=4", "network.hidden=4", *overrides])
    last = replace(settings.silos[-1], epsilon=va)
    planned = plan.make(replace(settings, silos=(*settings.silos[:-1], last)))
    rng = np.random.default_rng(0)
    x = (0.3 * rng.standard_normal((10, planned.dimension))).astype(np.float32)
    part = Records(x, np.arange(10) % 2, tuple(map(str, range(10))))
    silos = planned.config.silos
    return Comparison(
        planned.config,
        planned.encoder,
        {silo.name: part for silo in silos},
        planned.budgets,
        np.full((len(silos), planned.classes), 1.0 / len(silos)),
        torch.device("cpu"),
        seed=1,
    )


def upper(c: Comparison, spent: Spending) -> float:
    privacy = c.config.privacy
    return epsilon(spent.claim(), delta=privacy.delta, adjacency=privacy.adjacency).upper


@pytest.mark.parametrize("overrides", [(), ("privacy.epsilon=7", "privacy.adjacency=zero-out")])
def test_the_claims_are_what_the_mechanisms_compose_to(overrides: tuple[str, ...]) -> None:
    """Per silo, with delta, unit and adjacency; an own budget of one silo is its own claim."""
    c = comparison(*overrides, va=6.0)
    for key, baseline in BASELINES.items():
        claim = claims.of_baseline(c, baseline)
        assert claim is not None
        for silo in c.config.silos:
            run = c.budgets[silo.name]
            expected = {
                "class-gaussians": spending.class_gaussians(c.config, silo, run),
                "fedavg": spending.fedavg(c.config, silo, run),
                "pooled": spending.pooled(c.config, c.budgets),
                "paper": spending.literal_paper(c.config, silo),
            }[key]
            assert claim["epsilon"][silo.name] == upper(c, expected)
            assert claim["epsilon"][silo.name] <= c.config.epsilon(silo)
        privacy = c.config.privacy
        assert {claim[k] for k in ("delta", "unit", "adjacency")} == {
            privacy.delta, privacy.unit, privacy.adjacency,
        }  # fmt: skip
    paper = claims.of_baseline(c, BASELINES["paper"])
    assert paper is not None
    assert paper["epsilon"]["va"] <= 6.0 < paper["epsilon"]["cleveland"]


def test_models_used_freely_promise_without_relief_from_the_answers() -> None:
    """The union is charged counts, moments and DP-SGD; with loud answers that is more than the
    run's epsilon, and it is said. Its bases alone promise more (a smaller epsilon)."""
    c = comparison("answers.mu=0.5")
    models, bases = claims.of_models(c), claims.of_models(c, network=False)
    assert models is not None
    assert bases is not None
    run = c.budgets["va"]
    spent = Spending(run.counts, run.origin, run.means, run.moments, run.training)
    assert models["epsilon"]["va"] == upper(c, spent) > c.config.privacy.epsilon
    assert bases["epsilon"]["va"] == upper(c, replace(spent, training=None))
    assert bases["epsilon"]["va"] < models["epsilon"]["va"]
    assert claims.of_silo(models, "va") == {**models, "epsilon": {"va": models["epsilon"]["va"]}}


@pytest.mark.parametrize("method", ["not-private", "ensemble"])
def test_models_without_dp_sgd_claim_nothing(method: str) -> None:
    """Members of an ensemble are protected by the noise of their answers alone."""
    weights = 'weights.source="public"'
    c = comparison(f"train.method={method}", weights, "answers.mu=1", "train.parts=4")
    assert claims.kind_of_models(c) == WITHOUT_PRIVACY
    assert claims.of_models(c) is None
    found = claims.of_baseline(c, BASELINES["fedavg"])
    assert (found is None) == (method == "not-private")


# --- which baselines there are --------------------------------------------------------------------


def test_what_was_not_asked_for_is_named_as_left_out() -> None:
    """Class Gaussians need no training and are always made."""
    c = comparison("evaluate.baselines=fedavg")
    assert trained.wanted(c) == ("fedavg", "class-gaussians")
    names = {one.name: one.reason for one in trained.left_out(c)}
    assert set(names) == {BASELINES["pooled"].title, BASELINES["paper"].title}
    assert all("evaluate.baselines" in reason for reason in names.values())
    assert "FedAvg" in trained.notes(c)[0]
    assert "literal paper" not in trained.notes(c)[0]


def test_what_cannot_be_accounted_for_is_named_with_the_reason() -> None:
    """An ensemble under replace has no DP-SGD to be compared with."""
    c = comparison(
        "train.method=ensemble", 'weights.source="public"', "privacy.adjacency=replace",
        "answers.mu=1", "train.parts=4", "evaluate.baselines=all",
    )  # fmt: skip
    assert trained.wanted(c) == ()
    left = trained.left_out(c)
    assert [one.name for one in left] == [
        BASELINES[key].title for key in ("class-gaussians", "fedavg", "pooled", "paper")
    ]
    assert all("adjacency is replace" in one.reason for one in left)
    assert trained.notes(c) == []


@pytest.mark.parametrize("method", ["dp-sgd", "not-private"])
def test_a_run_without_privacy_is_compared_with_twins_that_are_called_so(method: str) -> None:
    """Kind and name say what was trained: a private baseline, or its twin without noise."""
    c = comparison(f"train.method={method}")
    made = trained.table(c, "pooled", np.arange(12) % 2, lambda name: None, None)
    assert isinstance(made, TrainingTable)
    private = method == "dp-sgd"
    assert made.kind == (PRIVATE if private else WITHOUT_PRIVACY)
    assert made.name.endswith("non-private twin") != private
    assert (made.claim is not None) == private


def test_the_literal_paper_gets_fewer_rows_and_says_how_many() -> None:
    """Its rows are bounded, not its rounds; the other baselines get all."""
    c = comparison()
    c = replace(c, paper=replace(c.paper, levels=2))
    labels = np.zeros(2001, dtype=np.int64)
    paper = trained.table(c, "paper", labels, lambda name: None, None)
    whole = trained.table(c, "class-gaussians", labels, lambda name: None, None)
    assert isinstance(paper, TrainingTable)
    assert isinstance(whole, TrainingTable)
    assert (len(paper.y), len(whole.y)) == (2000, 2001)


def test_a_baseline_that_fails_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples that cannot be decoded cost that baseline its line, not the run its evaluation."""

    def diverged(*given: Any) -> Any:
        raise DataError("sample 1 holds NaN")

    broken = replace(BASELINES["pooled"], sample=diverged)
    monkeypatch.setitem(BASELINES, "pooled", broken)  # type: ignore[arg-type]
    found = trained.table(comparison(), "pooled", np.zeros(3, int), lambda name: None, None)
    assert found == LeftOut(BASELINES["pooled"].title, "sample 1 holds NaN")


def test_the_steps_of_progress_are_those_that_were_announced() -> None:
    """As many as `steps` says, for all baselines together."""
    c = comparison("evaluate.baselines=all")
    c = replace(c, paper=replace(c.paper, levels=250))
    told: list[str] = []
    for key in trained.wanted(c):
        trained.table(c, key, np.zeros(3, dtype=np.int64), told.append, None)
    assert len(told) == trained.steps(c) == 4 + 4 + 1 + (4 + 2)


# --- kept for a resumed run -----------------------------------------------------------------------


def test_a_kept_baseline_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time it is read back, bit for bit; other labels or settings make it again."""
    c, labels, told = comparison(), np.arange(6) % 2, []

    def make(c: Comparison, labels: Any) -> Any:
        made = trained.table(c, "class-gaussians", labels, told.append, tmp_path)
        assert isinstance(made, TrainingTable)
        return made.x

    first = make(c, labels)
    assert len(told) == 4
    assert np.array_equal(make(c, labels), first)
    assert len(told) == 4
    make(c, labels[::-1].copy())
    assert len(told) == 8
    make(comparison("privacy.epsilon=7"), labels[::-1].copy())
    assert len(told) == 12


def test_a_damaged_kept_baseline_is_made_again(tmp_path: Path) -> None:
    """It is no loss: nothing was charged for it."""
    c, labels = comparison(), np.arange(6) % 2
    first = trained.table(c, "class-gaussians", labels, lambda name: None, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    for damage in (b"no archive", b""):
        kept.write_bytes(damage)
        again = trained.table(c, "class-gaussians", labels, lambda name: None, tmp_path)
        assert isinstance(first, TrainingTable)
        assert isinstance(again, TrainingTable)
        assert np.array_equal(first.x, again.x)
    checkpoint.save(kept, {"other": np.zeros(1)})
    assert isinstance(
        trained.table(c, "class-gaussians", labels, lambda name: None, tmp_path), TrainingTable
    )


# --- two threads ----------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_work() -> None:
    """Whichever piece ends first."""
    beside = SideBySide()
    work = [lambda k=k: (time.sleep(0.02 * (3 - k)), k)[1] for k in range(4)]
    assert beside.run(work) == [0, 1, 2, 3]
    beside.check()


def test_the_first_failure_ends_what_still_runs() -> None:
    """The other piece stops at its next step, and Ctrl-C inside a piece is Ctrl-C."""
    beside, began, stopped = SideBySide(), threading.Event(), threading.Event()

    def endless() -> None:
        began.set()
        try:
            while True:
                beside.check()
                time.sleep(0.001)
        except NoLongerWanted:
            stopped.set()
            raise

    def interrupted() -> None:
        began.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        beside.run([endless, interrupted])
    assert stopped.is_set()


def test_one_model_that_was_brought_leaves_the_union_without_a_claim() -> None:
    """What it generates without noise is of records that nobody here has charged."""
    c = comparison()
    first, *others = c.config.silos
    silos = (replace(first, model="model.json"), *others)
    mixed = replace(c, config=replace(c.config, silos=silos))
    assert claims.kind_of_models(c) == PRIVATE
    assert claims.kind_of_models(mixed) == WITHOUT_PRIVACY
    assert claims.of_models(mixed) is None
