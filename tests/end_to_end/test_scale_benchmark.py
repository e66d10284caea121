"""The benchmark of scale: its federation is what it says, its figures mean what they say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.scale import child
from dpfedsyn.encoding import TableEncoder
from tests.end_to_end.small import ROOT, python

TARGETS = {"scale_peak_gb", "scale_time_growth", "scale_memory_growth"}


def test_the_made_up_federation_is_a_table_of_thirty_columns(
    benchmark: Any, tmp_path: Path
) -> None:
    """Numbers, codes and a label of two values, all of which the schema takes; files of one seed
    are equal, and the first rows of a larger federation are those of a smaller one."""
    made = benchmark("scale.made")
    texts = {}
    for name, rows in (("a", 4000), ("b", 4000), ("c", 8000)):
        (tmp_path / name).mkdir()
        made.write(tmp_path / name, rows, {"train.steps": 5})
        texts[name] = [(tmp_path / name / f"{silo}.csv").read_bytes() for silo in made.SILOS]
    assert texts["a"] == texts["b"]
    assert all(len(text.splitlines()) == 2001 for text in texts["c"])
    header = texts["a"][0].splitlines()[0].split(b",")
    assert len(header) == 30
    encoder = TableEncoder(made.schema())
    found = [encoder.read(tmp_path / "a" / f"{silo}.csv", silo=silo) for silo in made.SILOS]
    assert [len(records) for records in found] == [1000] * 4
    means = [records.x.mean(axis=0) for records in found]
    assert np.abs(means[0] - means[3]).max() > 0.1  # silos differ
    for records in found:
        assert 0.2 < records.y.mean() < 0.8


def test_files_are_written_in_pieces_with_one_header(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silo of three pieces is one table."""
    made = benchmark("scale.made")
    monkeypatch.setattr(made, "PIECE", 40)
    made.write(tmp_path, 400, {})
    lines = (tmp_path / "north.csv").read_text().splitlines()
    assert len(lines) == 101
    assert sum(line.startswith("number0") for line in lines) == 1


def test_growth_is_one_where_costs_are_linear(benchmark: Any) -> None:
    """Whatever a run costs before its first row; n^2 gives the sums of neighbouring sizes."""
    growth = benchmark("scale.benchmark").growth
    rows = [100, 400, 1600]
    assert growth(rows, [7.0 + 3.0 * n for n in rows]) == pytest.approx(1.0)
    assert growth(rows, [5.0 + float(n) ** 2 for n in rows]) == pytest.approx(2000 / 500)


def test_memory_and_time_are_counted_where_they_are_taken(benchmark: Any) -> None:
    """An inner stage's bytes and seconds are not its outer one's, nor a later one's."""
    meter = benchmark("scale.meter")
    if meter.resident() is None:
        pytest.skip("this system tells no peak of memory")
    counted = meter.Meter()
    with counted.stage("outer"):
        with counted.stage("inner"):
            held = np.ones(2**25)  # 256 MiB
            del held
        with counted.stage("inner"):
            sum(range(1000))
    with counted.stage("later"):
        sum(range(10))
    counted.close()
    peaks = {name: stage.peak for name, stage in counted.stages.items()}
    assert set(peaks) == {meter.OTHER, "outer", "inner", "later"}
    for name in ("outer", "later", meter.OTHER):
        assert peaks["inner"] - peaks[name] > 200 * 2**20
    assert counted.stages["inner"].time.processor > counted.stages["later"].time.processor


def test_functions_are_stages_only_while_they_are_measured(benchmark: Any) -> None:
    """What was wrapped is the same function again afterwards."""
    part, meter = benchmark("run.stopwatch").Part, benchmark("scale.meter").Meter()
    original = json.dumps
    with meter.measuring([part("dumps", json, "dumps")]):
        assert json.dumps([1]) == "[1]"
    assert json.dumps is original
    assert "dumps" in meter.stages


def result(rows: int, peak: int | None, seconds: float) -> dict[str, Any]:
    """A run as its process tells it."""
    stages = benchmark_stages()
    each = {"wall": seconds, "processor": seconds, "peak": peak}
    return {"rows": rows, "status": "complete", "before": 0, "stages": dict.fromkeys(stages, each)}


def benchmark_stages() -> list[str]:
    names = ["read and encode", "private base", "DP-SGD", "rounds", "decode and write"]
    return [*names, "report", "everything else"]


@pytest.mark.parametrize(
    ("peaks", "met"),
    [
        ([1, 2, 6], [True, True, True]),
        ([1, 2, 9], [False, True, False]),
        (None, [None, True, None]),
    ],
)
def test_targets_are_met_missed_or_not_measured(
    peaks: list[int] | None, met: list[bool | None], benchmark: Any
) -> None:
    """Gigabytes of the largest run, growth of time and memory; a system may tell no memory."""
    module = benchmark("scale.benchmark")
    found = module._targets([
        result(rows, None if peaks is None else peaks[k] * 10**9, rows * 1e-5)
        for k, rows in enumerate(module.SIZES)
    ])  # fmt: skip
    assert [found[name].met for name in ("scale_peak_gb", "scale_time_growth")] == met[:2]
    assert found["scale_memory_growth"].met == met[2]
    assert all(target.reason for target in found.values())


def test_a_size_is_measured_again_where_its_settings_or_law_changed(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is read back for the same question alone."""
    module, asked = benchmark("scale.benchmark"), list[int]()

    def answer(rows: int, settings: dict[str, Any]) -> dict[str, Any]:
        asked.append(rows)
        return result(rows, 10**9, 1.0)

    monkeypatch.setattr(module, "KEPT", tmp_path)
    monkeypatch.setattr(module, "_asked", answer)
    assert module._once(500)["rows"] == module._once(500)["rows"] == 500
    assert asked == [500]
    monkeypatch.setattr(module, "_law", lambda: "another")
    module._once(500)
    assert asked == [500, 500]


@pytest.mark.slow  # `.ci/run` takes the same smoke run from the command line
def test_smoke_measures_what_it_can_and_says_what_it_cannot(tmp_path: Path) -> None:
    """Every stage of a small run; no target, each with its reason."""
    path = tmp_path / "scale.json"
    ran = python("-m", "benchmarks", "scale", "--smoke", "--json", str(path), cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(path.read_text())
    assert set(found["targets"]) == TARGETS
    assert all(t["value"] is None and t["reason"] for t in found["targets"].values())
    (row,) = found["tables"]["stages, microseconds of a processor per row"]
    assert {"read and encode", "private base", "DP-SGD", "rounds", "decode and write"} <= set(row)


def test_the_stored_record_is_a_full_one() -> None:
    """A million rows in the last line, three sizes, every target with a value."""
    stored = json.loads((ROOT / "benchmarks" / "results" / "scale.json").read_text())
    assert (stored["benchmark"], stored["smoke"]) == ("scale", False)
    assert set(stored["targets"]) == TARGETS
    assert [row["rows"] for row in stored["tables"]["whole runs"]][-1] == 1_000_000
    assert len(stored["tables"]["whole runs"]) == 3
    for target in stored["targets"].values():
        assert target["reason"]
        assert (target["met"] is None) == (target["value"] is None)


def test_every_stage_that_is_measured_is_a_function_of_the_package() -> None:
    """Renamed, it would be found by the full run alone."""
    for part in child.PARTS:
        assert callable(getattr(part.owner, part.attribute)), part
