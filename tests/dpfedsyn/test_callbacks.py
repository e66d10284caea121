"""Callbacks are told public facts; what was measured on records reaches those alone that ask."""

import dataclasses
import json
import logging
import math
import sys
import types
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn import config as configuration
from dpfedsyn import run as runner
from dpfedsyn.callbacks import NOT_COVERED, SPENT, Callback, Ended, Relay, Round, Started, facts
from dpfedsyn.callbacks.mlflow import MLflow
from dpfedsyn.callbacks.tensorboard import TensorBoard
from dpfedsyn.errors import ConfigError
from dpfedsyn.progress import Silent
from dpfedsyn.settings import Config
from dpfedsyn.simulation import fit
from tests.end_to_end.small import SMALL

HOSPITALS = Path(str(files("dpfedsyn") / "examples" / "hospitals"))
NAMES = ("cleveland", "hungarian")
QUICK = (*(s for s in SMALL if not s.startswith("answers.rows")), "best.levels=3")


class Recorder:
    """Keeps all that it is told."""

    def __init__(self, private_metrics: bool = False) -> None:
        self.private_metrics = private_metrics
        self.told: list[Any] = []

    def on_start(self, started: Started) -> None:
        self.told.append(started)

    def on_round(self, done: Round) -> None:
        self.told.append(done)

    def on_private(self, step: int, figures: Mapping[str, float]) -> None:
        self.told.append((step, dict(figures)))

    def on_end(self, ended: Ended) -> None:
        self.told.append(ended)


class FakeClient:
    """MLflow's client, as far as it is used: what reaches the server, in order."""

    sent: list[tuple[str, Any]]

    def __init__(self, uri: str | None) -> None:
        FakeClient.sent = [("uri", uri)]

    def get_experiment_by_name(self, name: str) -> None:
        self.sent.append(("experiment", name))

    def create_experiment(self, name: str) -> str:
        return "1"

    def create_run(self, experiment: str, run_name: str) -> Any:
        self.sent.append(("run", run_name))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r"))

    def set_tag(self, run: str, name: str, text: str) -> None:
        self.sent.append(("tag", (name, text)))

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(metrics) + len(params) <= 100
        self.sent += [("metric", (name, value, step)) for name, value, _, step in metrics]
        self.sent += [("parameter", pair) for pair in params]

    def log_dict(self, run: str, content: Any, name: str) -> None:
        self.sent.append(("file", (name, content)))

    def set_terminated(self, run: str, status: str) -> None:
        self.sent.append(("end", status))


class FakeWriter:
    """TensorBoard's writer, as far as it is used."""

    sent: list[tuple[str, Any]]

    def __init__(self, folder: str) -> None:
        FakeWriter.sent = [("folder", folder)]

    def add_text(self, name: str, text: str) -> None:
        self.sent.append(("text", (name, text)))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.sent.append(("scalar", (name, value, step)))

    def close(self) -> None:
        self.sent.append(("close", None))


@pytest.fixture(scope="module", autouse=True)
def fakes() -> Iterator[None]:
    """Stand-ins for both packages, whether they are installed or not."""
    with pytest.MonkeyPatch.context() as patch:
        mlflow, tracking = types.ModuleType("mlflow"), types.ModuleType("mlflow.tracking")
        mlflow.entities = types.SimpleNamespace(  # type: ignore[attr-defined]
            Param=lambda *pair: pair, Metric=lambda *four: four
        )
        tracking.MlflowClient = FakeClient  # type: ignore[attr-defined]
        board = types.ModuleType("torch.utils.tensorboard")
        board.SummaryWriter = FakeWriter  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "mlflow", mlflow)
        patch.setitem(sys.modules, "mlflow.tracking", tracking)
        patch.setitem(sys.modules, "torch.utils.tensorboard", board)
        yield


@dataclasses.dataclass(frozen=True)
class Watched:
    """A run with an evaluation, and all that was told: by default, and to those who asked."""

    folder: Path
    recorder: Recorder
    asking: Recorder
    mlflow: list[tuple[str, Any]]
    board: list[tuple[str, Any]]


def watched(folder: Path, *callbacks: Callback) -> Path:
    """Two hospitals, fitted and evaluated."""
    silos = {name: HOSPITALS / "data" / f"processed.{name}.data" for name in NAMES}
    fit(
        silos,
        HOSPITALS / "schema.toml",
        folder=folder,
        sizes=dict.fromkeys(NAMES, 200.0),
        rows=60,
        settings=QUICK,
        callbacks=callbacks,
    )
    return folder


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, fakes: None) -> Watched:
    """One run that every kind of callback watched."""
    place = tmp_path_factory.mktemp("told")
    recorder, asking = Recorder(), Recorder(private_metrics=True)
    folder = watched(
        place / "run", recorder, asking, MLflow(tracking_uri="u"), TensorBoard(place / "board")
    )
    return Watched(folder, recorder, asking, FakeClient.sent, FakeWriter.sent)


def numbers(value: Any) -> Iterator[float]:
    """Every number in what was told, those inside texts too."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, str):
        for word in value.replace(",", " ").replace("=", " ").replace('"', " ").split():
            try:
                yield float(word)
            except ValueError:
                continue
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from numbers(key)
            yield from numbers(below)
    elif isinstance(value, list | tuple | set):
        for below in value:
            yield from numbers(below)
    elif dataclasses.is_dataclass(value):
        yield from numbers([getattr(value, field.name) for field in dataclasses.fields(value)])
    else:
        raise AssertionError(f"what is {value!r}?")


def internal(folder: Path) -> set[float]:
    """Figures of the internal evaluation, and seconds of rounds, that no chance makes twice."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    rounds = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    found = {*numbers(results), *(record["seconds"] for record in rounds)}
    found -= set(numbers(json.loads((folder / "statement.json").read_text(encoding="utf-8"))))
    return {value for value in found if len(repr(value)) >= 8}


def test_nothing_that_was_measured_on_records_is_told_by_default(told: Watched) -> None:
    """Guarantee of dpfedsyn.callbacks.Relay: A callback without `private_metrics` is called with
    public settings, released values and what was spent. Every number that reached a callback, a
    tracker or an event file is compared with every figure of the evaluation."""
    secret = internal(told.folder)
    assert len(secret) > 100
    for reached in (told.recorder.told, told.mlflow, told.board):
        assert len(list(numbers(reached))) > 50
        assert secret.isdisjoint(numbers(reached))
    assert len(secret & set(numbers(told.asking.told))) > 100  # those who ask are told them
    private = {name for entry in told.asking.told if isinstance(entry, tuple) for name in entry[1]}
    assert {"round/seconds", "utility/default/logistic/auc", "test_rows"} <= private


def test_what_is_told_by_default_is_this(told: Watched) -> None:
    """The start, a round at a time, the end with the statement; names of metrics in full."""
    first, *rounds, last = told.recorder.told
    assert isinstance(first, Started)
    assert first.silos == NAMES
    assert first.settings["answers.rows"] == 60
    assert first.settings["silos.cleveland.reference_size"] == 200.0
    assert all(isinstance(one, Round) for one in rounds)
    assert [one.step for one in rounds] == list(range(1, len(rounds) + 1))
    assert {one.sampling for one in rounds} == {"default", "best"}
    assert all(one.answered == NAMES for one in rounds)
    assert isinstance(last, Ended)
    assert last.status == "complete"
    assert last.statement is not None
    guaranteed = {silo["name"]: silo["epsilon"]["upper"] for silo in last.statement["silos"]}
    spent = rounds[-1].spent
    assert {name: one.epsilon_upper for name, one in spent.items()} == guaranteed
    assert spent["cleveland"].delta == 1e-5
    assert spent["cleveland"].unit == "record"
    each = ("rows/asked", "spent_not_a_guarantee/epsilon_upper", "spent_not_a_guarantee/answers_mu")
    wanted = {"silos/answered", *(f"{kind}/{name}" for kind in each for name in NAMES)}
    assert {entry[0] for kind, entry in told.mlflow if kind == "metric"} == wanted
    board = {entry[0] for kind, entry in told.board if kind == "scalar"}
    assert board == {name.replace("rows/asked", "rows_asked") for name in wanted}


def test_no_place_on_this_machine_is_told(told: Watched) -> None:
    """Paths of records and keys are their owner's business."""
    started = told.recorder.told[0]
    assert str(HOSPITALS) not in repr(started)
    assert str(told.folder.parent) not in repr(started)
    assert not {"path", "folder", "anchors", "unsafe_noise_seed"} & {
        key.rpartition(".")[2] for key in started.settings
    }


def test_trackers_say_what_spent_is_and_what_is_not_covered(told: Watched, tmp_path: Path) -> None:
    """Spent is no guarantee; private figures come with the sentence that no claim covers them."""
    tags = dict(entry for kind, entry in told.mlflow if kind == "tag")
    assert tags["dpfedsyn.spent"] == SPENT
    assert "dpfedsyn.private" not in tags
    assert tags["dpfedsyn.guarantee.cleveland"].startswith("epsilon <= 8 (delta 1e-05, unit record")
    assert told.mlflow[-1] == ("end", "FINISHED")
    texts = dict(entry for kind, entry in told.board if kind == "text")
    assert texts["spent"] == SPENT
    assert "private" not in texts
    assert '"unit": "record"' in texts["statement"]
    for make, sent in (
        (lambda: MLflow(private_metrics=True), lambda: FakeClient.sent),
        (lambda: TensorBoard(tmp_path, private_metrics=True), lambda: FakeWriter.sent),
    ):
        asking: Callback = make()
        asking.on_start(Started("r", ("a",), {}))
        asking.on_private(3, {"utility/default/logistic/auc": 0.7})
        assert NOT_COVERED in repr(sent())
        assert "private/utility/default/logistic/auc" in repr(sent())


def test_what_is_told_is_the_same_whatever_the_records(tmp_path: Path) -> None:
    """With weights that are public nothing released enters a round's facts: two data sets, of which
    one has no row with the disease, tell the same to the last bit; what differs names ledgers and
    released rows."""

    def facts_of(name: str, content: str) -> tuple[list[Any], Any]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.data").write_text(content)
        loaded = configuration.load(
            "hospitals", [*SMALL, "evaluate.enabled=false", 'weights.source="public"']
        )
        own = dataclasses.replace(loaded.silos[1], path=str(tmp_path / name / "own.data"))
        config = dataclasses.replace(loaded, silos=(loaded.silos[0], own))
        recorder = Recorder()
        relay = Relay([recorder], config, tmp_path / name / "run")
        runner.run(config, tmp_path / name / "run", progress=relay)
        relay.finish()
        *before, last = recorder.told
        statement = json.loads(json.dumps(last.statement))
        del statement["release"]
        for silo in statement["silos"]:
            del silo["ledger_id"], silo["ledger_head"]
        return before, statement

    lines = (HOSPITALS / "data" / "processed.hungarian.data").read_text().splitlines(True)
    healthy = [line for line in lines if line.strip().endswith(",0")]
    assert 0 < len(healthy) < len(lines)
    assert facts_of("all", "".join(lines)) == facts_of("healthy", "".join(healthy))


class Failing(Recorder):
    """Fails in its second round."""

    def on_round(self, done: Round) -> None:
        if done.step == 2:
            raise RuntimeError("the tracker is gone")
        super().on_round(done)


class Interrupted(Silent):
    """Presses Ctrl-C after the second round."""

    def round(self, record: dict[str, Any]) -> None:
        if record["round"] == 2:
            raise KeyboardInterrupt


def tiny() -> Config:
    """A run that ends soon."""
    return configuration.load("hospitals", [*SMALL, "evaluate.enabled=false", "best.levels=2"])


def test_a_callback_that_fails_costs_no_budget(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told nothing more, the log says so with the fault, the others and the run go on."""
    failing, other = Failing(), Recorder()
    relay = Relay([failing, other], tiny(), tmp_path / "run")
    with caplog.at_level(logging.ERROR):
        assert runner.run(tiny(), tmp_path / "run", progress=relay).status == "complete"
    relay.finish()
    relay.finish()
    assert [type(one) for one in failing.told] == [Started, Round]
    assert sum(isinstance(one, Ended) for one in other.told) == 1
    assert "Failing failed and is told nothing more" in caplog.text
    assert "the tracker is gone" in caplog.text


def test_a_run_that_was_cut_off_ends_without_a_statement(tmp_path: Path) -> None:
    """And one that goes on counts its rounds from there."""
    recorder = Recorder()
    relay = Relay([recorder], tiny(), tmp_path / "run")

    class Both(Interrupted):
        def stage(self, name: str, total: int | None) -> None:
            relay.stage(name, total)

        def round(self, record: dict[str, Any]) -> None:
            relay.round(record)
            super().round(record)

    with pytest.raises(KeyboardInterrupt):
        runner.run(tiny(), tmp_path / "run", progress=Both())
    relay.finish()
    assert recorder.told[-1] == Ended("stopped", None)
    again = Recorder()
    relay = Relay([again], tiny(), tmp_path / "run")
    runner.run(tiny(), tmp_path / "run", resume=True, progress=relay)
    assert next(one for one in again.told if isinstance(one, Round)).step == 3


def test_a_run_that_is_refused_is_told_to_nobody(tmp_path: Path) -> None:
    """No tracker has a run that never began."""
    recorder = Recorder()
    with pytest.raises(ConfigError):
        fit(
            {"a": HOSPITALS / "data" / "processed.va.data"},
            tmp_path / "none.toml",
            folder=tmp_path / "run",
            sizes={"a": 100.0},
            callbacks=[recorder],
        )
    relay = Relay([recorder], tiny(), tmp_path / "run")
    relay.stage("read records", 4)
    relay.finish()
    assert recorder.told == []


def test_what_is_no_callback_is_refused(tmp_path: Path) -> None:
    """Before anything runs, with what it needs."""
    with pytest.raises(ConfigError, match="dict is no callback, so nothing was run"):
        Relay([{}], tiny(), tmp_path)  # type: ignore[list-item]
    assert isinstance(Recorder(), Callback)


@pytest.mark.parametrize(
    ("package", "make"),
    [("mlflow", MLflow), ("torch.utils.tensorboard", lambda: TensorBoard("board"))],
)
def test_a_package_that_is_not_installed_is_named(
    package: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it, when the callback is made."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install 'dpfedsyn\[(mlflow|tensorboard)\]'"):
        make()


def test_an_infinite_epsilon_is_no_figure_of_mlflow() -> None:
    """Some stores would keep the largest float in its place."""
    callback = MLflow()
    callback.on_start(Started("r", ("a",), {}))
    spent = facts.Spent(math.inf, 1e-5, "record", "add-or-remove", 3.0)
    callback.on_round(Round(1, "default", 1, 2, {"a": 5}, ("a",), {"a": spent}))
    metrics = {entry[0] for kind, entry in FakeClient.sent if kind == "metric"}
    assert "spent_not_a_guarantee/answers_mu/a" in metrics
    assert "spent_not_a_guarantee/epsilon_upper/a" not in metrics


def test_figures_are_named_by_their_place() -> None:
    """By keys, by the names of rows, else by position; texts and truth values are no figures."""
    results = {"n": 3, "ok": True, "rows": [{"name": "ours", "auc": 0.5}, {"auc": math.nan}, [1.0]]}
    assert facts.private_figures(results) == {"n": 3.0, "rows/ours/auc": 0.5, "rows/2/0": 1.0}
