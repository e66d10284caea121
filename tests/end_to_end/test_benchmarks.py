"""The benchmarks' own machinery: targets, records, splits that are kept, parts that add up."""

import json
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from dpfedsyn import latency
from tests.end_to_end.small import ROOT, SMALL, python


@pytest.mark.parametrize(
    ("value", "at_least", "met"),
    [(0.9, True, True), (0.7, True, False), (0.7, False, True), (None, True, None)],
)
def test_a_target_is_met_missed_or_not_measured(
    value: float | None, at_least: bool, met: bool | None, benchmark: Any
) -> None:
    """A figure that was not measured is neither met nor missed, and says why."""
    target = benchmark("record").Target(value, 0.8, at_least, "because")
    assert target.to_json() == {"value": value, "target": 0.8, "met": met, "reason": "because"}


def test_the_record_says_where_it_was_measured(benchmark: Any, tmp_path: Path) -> None:
    """Machine, versions, targets and tables, as plain JSON."""
    record = benchmark("record")
    figures = record.Figures({"speed": record.Target(2.0, 1.0, True)}, {"t": [{"a": 1}]})
    record.write(tmp_path / "new" / "f.json", "run", figures, smoke=True)
    stored = json.loads((tmp_path / "new" / "f.json").read_text())
    assert stored["machine"]["cores"] >= 1
    assert {"python", "dpfedsyn", "torch", "opacus"} <= set(stored["versions"])
    assert stored["targets"]["speed"]["met"] is True
    assert (stored["smoke"], stored["tables"]) == (True, {"t": [{"a": 1}]})


@pytest.mark.parametrize("file", ["after", "examples", "run", "utility"])
def test_the_stored_record_is_a_full_one(file: str) -> None:
    """A target of whole runs has a value, one of cells a value or a reason; missed ones stay."""
    stored = json.loads((ROOT / "benchmarks" / "results" / f"{file}.json").read_text())
    assert (stored["benchmark"], stored["smoke"]) == (file, False)
    wanted = {
        "after": {"distilled_behind", "distilled_per_minute"},
        "run": {"auc_default", "auc_best", "process_seconds", "overhead_share"},
        "utility": {
            "mnist_6000_epsilon_1_cnn", "digits_epsilon_1_cnn", "hospitals_epsilon_1_logistic",
            "rounds_25_behind_1000", "private_step_ratio", "mnist_run_minutes",
        },
        "examples": {
            *(f"digits_{p}_{m}{k}" for p in ("default", "best") for m in ("logistic", "mlp")
              for k in ("", "_short")),
            *(f"mnist_best_{m}" for m in ("logistic", "mlp", "cnn")),
            "silo_shares", "silos_lost", "bytes_ratio", "digits_seconds",
        },
    }  # fmt: skip
    assert set(stored["targets"]) >= wanted[file]
    for name, target in stored["targets"].items():
        assert target["value"] is not None or name not in wanted[file]
        assert (target["met"] is None) == (target["value"] is None)
        assert target["reason"]
    of_splits = {"run": "utility on held-out real rows", "examples": "digits, epsilon 10 per silo"}
    if file in of_splits:
        assert {row["splits"] for row in stored["tables"][of_splits[file]]} == {10}


def test_a_split_that_was_measured_is_read_back(benchmark: Any, tmp_path: Path) -> None:
    """The same settings are not run twice; other settings are not taken for them."""
    splits = benchmark("run.splits")
    said: list[str] = []
    first = splits.measure(["dev-a"], tmp_path, SMALL, said.append)
    kept = (tmp_path / "dev-a.json").stat().st_mtime_ns
    assert splits.measure(["dev-a"], tmp_path, SMALL, said.append) == first
    assert (tmp_path / "dev-a.json").stat().st_mtime_ns == kept
    other = splits.measure(["dev-a"], tmp_path, (*SMALL, "answers.rows=80"), said.append)
    assert other[0]["settings"] != first[0]["settings"]
    assert len(said) == 3
    assert first[0]["epsilon"] <= 8.0


def test_means_come_with_their_standard_error(benchmark: Any) -> None:
    """Closed form: values 1, 2, 3 have mean 2 and standard error 1 / sqrt 3."""
    mean = benchmark("run.splits").Mean.of([1.0, 2.0, 3.0])
    assert mean.value == pytest.approx(2.0)
    assert mean.standard_error == pytest.approx(3**-0.5)
    assert benchmark("run.splits").Mean.of([5.0]).standard_error is None


def test_the_time_of_a_part_excludes_the_parts_inside_it(benchmark: Any) -> None:
    """All parts add up to the outermost one, however they nest."""
    stopwatch = benchmark("run.stopwatch")
    watch = stopwatch.Stopwatch()
    began = time.perf_counter()
    with watch.part("outer"), watch.part("inner"):
        sum(range(200_000))
    whole = time.perf_counter() - began
    assert set(watch.times) == {"outer", "inner"}
    assert all(part.wall >= 0.0 for part in watch.times.values())
    assert sum(part.wall for part in watch.times.values()) <= whole


def test_functions_are_timed_only_while_the_measurement_lasts(benchmark: Any) -> None:
    """What was wrapped is the same function again afterwards."""
    stopwatch = benchmark("run.stopwatch")
    original, watch = json.dumps, stopwatch.Stopwatch()
    with watch.timing([stopwatch.Part("dumps", json, "dumps")]):
        assert json.dumps is not original
        assert json.dumps([1]) == "[1]"
    assert json.dumps is original
    assert set(watch.times) == {"dumps"}


def test_an_unknown_benchmark_is_refused() -> None:
    """The names that exist are listed, and the exit code is 2."""
    ran = python("-m", "benchmarks", "nonsense", cwd=ROOT)
    assert ran.returncode == 2
    assert "run" in ran.stderr


def test_a_private_step_is_measured_in_plain_ones(benchmark: Any) -> None:
    """Its parts add up, the noise apart; smoke measures no target."""
    target, rows = benchmark("utility.step").measure(smoke=True)
    of_plain = {row["part"]: row["of a plain step"] for row in rows}
    assert of_plain.pop("plain forward and backward") == 1.0
    assert of_plain.pop("drawing the noise") > 0.0
    total = of_plain.pop("private step, noise apart")
    assert sum(of_plain.values()) == pytest.approx(total, rel=1e-9)
    assert (target.value, target.met) == (None, None)


def test_a_machine_that_drifts_meets_all_modes_of_flower_alike(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forth and back: where each federation is a second slower than the one before, and nothing
    else differs, the ratios are 1; both turns stand in the table."""
    engines, rounds = benchmark("engines.benchmark"), benchmark("engines.flower_rounds")
    asked: list[str] = []

    def seconds(mode: str, count: int) -> tuple[float, list[str]]:
        asked.append(mode)
        return 5.0 + len(asked), []

    monkeypatch.setattr(rounds, "seconds_a_round", seconds)
    monkeypatch.setattr(engines, "_there", lambda name: True)
    targets, rows, _ = engines._flower(False)
    assert asked == ["bare", "ours", "defaults", "defaults", "ours", "bare"]
    assert {name: target.value for name, target in targets.items()} == {
        "flower_ratio": 1.0, "flower_over_defaults": 1.0,
    }  # fmt: skip
    assert [(row["engine"], row["turn"]) for row in rows] == [
        (f"Flower, {mode}", 1 + place // 3) for place, mode in enumerate(asked)
    ]


MEASURED = {
    "one process": "one process",
    "processes on one machine": "processes on one machine, with ledgers",
    "NVFlare": "NVFlare, ours",
    "Flower": "Flower, ours",
}


def test_what_plans_say_of_carrying_is_what_was_measured() -> None:
    """Within a factor of 3, for machines differ; every engine of a plan was measured."""
    stored = json.loads((ROOT / "benchmarks" / "results" / "engines.json").read_text())
    rows = stored["tables"]["seconds a round"]
    assert set(latency.SECONDS) == set(MEASURED)
    for name, said in latency.SECONDS.items():
        found = [row["seconds a round"] for row in rows if row["engine"] == MEASURED[name]]
        assert 1 / 3 <= said / fmean(found) <= 3.0, (name, said, found)
