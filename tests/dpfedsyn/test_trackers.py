"""MLflow and TensorBoard themselves, where they are installed: what arrives can be read back."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn.callbacks import NOT_COVERED, Ended, Round, Spent, Started
from dpfedsyn.callbacks.mlflow import MLflow
from dpfedsyn.callbacks.tensorboard import TensorBoard

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of packages that are not ours
]
STATEMENT = {
    "silos": [
        {
            "name": "clinic",
            "epsilon": {"upper": 8.0, "lower": 1.0},
            "delta": 1e-5,
            "unit": "record",
            "adjacency": "add-or-remove",
        }
    ]
}
SETTINGS = {f"section.key-{k}": k for k in range(130)}  # more than MLflow takes at once


def spent(upper: float) -> Spent:
    """What a silo's ledger has spent."""
    return Spent(upper, 1e-5, "record", "add-or-remove", 3.5)


def run(callback: Any) -> None:
    """A run of two rounds, as `Relay` tells it."""
    callback.on_start(Started("two-rounds", ("clinic",), SETTINGS))
    for step, upper in ((1, 7.5), (2, math.inf)):
        told = {"clinic": spent(upper)}
        callback.on_round(Round(step, "default", step, 2, {"clinic": 5}, ("clinic",), told))
    if callback.private_metrics:
        callback.on_private(2, {"utility/union of private bases (no network)/auc": 0.75})
    callback.on_end(Ended("complete", STATEMENT))


@pytest.mark.parametrize("private", [False, True])
def test_mlflow_keeps_settings_spending_and_statement(
    private: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a store of files, read back by its own client."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = (tmp_path / "store").as_uri()
    client = mlflow.tracking.MlflowClient(store)
    client.create_experiment("here", artifact_location=(tmp_path / "files").as_uri())
    for _ in range(2):  # the experiment is there the second time
        run(MLflow("here", tracking_uri=store, private_metrics=private))
    number = client.get_experiment_by_name("here").experiment_id
    first, second = client.search_runs([number])
    assert first.info.status == second.info.status == "FINISHED"
    assert first.info.run_name == "two-rounds"
    assert first.data.params == {key: str(value) for key, value in SETTINGS.items()}
    place = "spent_not_a_guarantee/epsilon_upper/clinic"
    history = client.get_metric_history(first.info.run_id, place)
    assert [(entry.step, entry.value) for entry in history] == [(1, 7.5)]
    assert first.data.tags["dpfedsyn.guarantee.clinic"].startswith("epsilon <= 8 (delta 1e-05")
    kept = client.download_artifacts(first.info.run_id, "statement.json", str(tmp_path))
    assert json.loads(Path(kept).read_text()) == STATEMENT
    names = {name for name in first.data.metrics if name.startswith("private/")}
    assert names == ({"private/utility/union of private bases _no network_/auc"} & names)
    assert bool(names) is private
    assert (first.data.tags.get("dpfedsyn.private") == NOT_COVERED) is private


@pytest.mark.parametrize("private", [False, True])
def test_tensorboard_keeps_settings_spending_and_statement(private: bool, tmp_path: Path) -> None:
    """Read back by its own accumulator of events."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run(TensorBoard(tmp_path, private_metrics=private))
    events = reading.EventAccumulator(str(tmp_path))
    events.Reload()
    tags = events.Tags()
    upper = events.Scalars("spent_not_a_guarantee/epsilon_upper/clinic")
    assert [(entry.step, entry.value) for entry in upper] == [(1, 7.5), (2, math.inf)]
    assert [entry.value for entry in events.Scalars("silos/answered")] == [1.0, 1.0]
    texts = {tag.partition("/")[0] for tag in tags["tensors"]}
    assert {"settings", "spent", "statement", "status"} <= texts
    assert ("private" in texts) is private
    assert any(tag.startswith("private/") for tag in tags["scalars"]) is private
