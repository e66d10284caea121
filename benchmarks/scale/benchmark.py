"""A run of a million rows in four silos: what it costs, and whether twice the rows cost twice."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import kept
from benchmarks.accounting.fresh import ROOT, environment
from benchmarks.record import Figures, Row, Target, say
from benchmarks.scale import made
from benchmarks.scale.stages import WORK
from dpfedsyn import __version__

SIZES = (62_500, 250_000, 1_000_000)
SMOKE_SIZE = 1_000
KEPT = ROOT / "benchmarks" / "results" / "scale"
MOST_GB, MOST_GROWTH = 8.0, 1.2
SMOKE = "smoke: a million rows do not fit into its minute"

Result = dict[str, Any]


def measure(*, smoke: bool) -> Figures:
    """Return the figures; a size that was measured with the same settings is read back."""
    results = [_quick(SMOKE_SIZE)] if smoke else [_once(rows) for rows in SIZES]
    tables = {
        "whole runs": [_whole(result) for result in results],
        "stages, microseconds of a processor per row": [_stages(r, "processor") for r in results],
        "stages, peak memory in GB": [_stages(result, "peak") for result in results],
    }
    return Figures(_targets(None if smoke else results), tables, notes=NOTES)


NOTES = (
    "Four silos, 30 columns, 20 rounds; as many rows are sampled as a tenth of the records: a row "
    "costs what one record and a tenth of a synthetic row do.",
    "Growth: what a further row costs from the middle size to the largest, over what it costs from "
    "the smallest to the middle one; 1 is linear. Seconds are a processor's, for other programs "
    "may have been running beside, of all stages but start, plan and report.",
)


def settings(rows: int, *, steps: int = 200) -> dict[str, Any]:
    """Return what differs from the defaults: "section.key" to a value as TOML writes it."""
    return {
        "data.split_key": '"scale"',
        "base.clip_radius": 6.5,  # about the length of an encoded row: 51 coordinates
        "train.sampling_rate": 0.004,
        "train.steps": steps,
        "answers.rows": int(made.SAMPLES_PER_ROW * rows),
        "answers.best_share": 0.0,
        "sampler.levels": made.ROUNDS // 4,
        "sampler.steps_per_level": 4,
        "evaluate.enabled": "false",  # it trains classifiers, which is no part of a run's cost
    }


def _quick(rows: int) -> Result:
    say(f"{rows:,} rows")
    return _asked(rows, settings(rows, steps=5))


def _once(rows: int) -> Result:
    """Measure one size, or read back what was kept of it."""
    asked = settings(rows)
    bound = json.dumps([__version__, asked, rows, _law()])

    def make() -> Result:
        say(f"{rows:,} rows: minutes")
        return _asked(rows, asked)

    return kept.read_or_make(KEPT / f"{rows}.json", bound, make)[0]


def _law() -> str:
    return hashlib.sha256(Path(made.__file__).read_bytes()).hexdigest()


def _asked(rows: int, asked: dict[str, Any]) -> Result:
    """Run once in a process of its own, so that its memory is its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale.child"], cwd=ROOT, env=environment(),
        input=json.dumps({"rows": rows, "settings": asked}),
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: Result = json.loads(done.stdout)
    assert found["status"] == "complete", found
    return found


def _whole(result: Result) -> Row:
    rows, peak = result["rows"], _peak(result)
    wall = sum(result["stages"][name]["wall"] for name in WORK)
    return {
        "rows": rows,
        "synthetic rows": int(made.SAMPLES_PER_ROW * rows),
        "seconds": wall,
        "processor seconds": _seconds(result),
        "microseconds per row": 1e6 * _seconds(result) / rows,
        "peak GB": None if peak is None else peak / 1e9,
        "bytes per row": None if peak is None else (peak - result["before"]) / rows,
    }


def _stages(result: Result, what: str) -> Row:
    scale = 1e6 / result["rows"] if what == "processor" else 1e-9
    found = {name: stage[what] for name, stage in result["stages"].items()}
    shown = {name: None if value is None else scale * value for name, value in found.items()}
    return {"rows": result["rows"], **dict(sorted(shown.items(), key=_place))}


def _place(item: tuple[str, Any]) -> int:
    return WORK.index(item[0]) if item[0] in WORK else len(WORK)


def _seconds(result: Result) -> float:
    return float(sum(result["stages"][name]["processor"] for name in WORK))


def _peak(result: Result) -> int | None:
    peaks = [stage["peak"] for stage in result["stages"].values()]
    return None if None in peaks else max(peaks)


def _targets(results: list[Result] | None) -> dict[str, Target]:
    wanted = {"scale_peak_gb": MOST_GB, "scale_time_growth": MOST_GROWTH,
              "scale_memory_growth": MOST_GROWTH}  # fmt: skip
    if results is None:
        return {name: Target(None, most, False, SMOKE) for name, most in wanted.items()}
    peaks = [peak for peak in map(_peak, results) if peak is not None]
    told = len(peaks) == len(results)
    values: dict[str, tuple[float | None, str]] = {
        "scale_peak_gb": (
            peaks[-1] / 1e9 if told else None,
            "1,000,000 rows, 30 columns, 4 silos in one process, 20 rounds of 100,000 samples, "
            "statement and report included" if told else "the system tells no peak of memory",
        ),
        "scale_time_growth": (
            growth([result["rows"] for result in results], [_seconds(r) for r in results]),
            "processor seconds of a further row, 250,000 to 1,000,000 over 62,500 to 250,000",
        ),
        "scale_memory_growth": (
            growth([result["rows"] for result in results], peaks) if told else None,
            "the same of peak memory" if told else "the system tells no peak of memory",
        ),
    }  # fmt: skip
    return {
        name: Target(value, wanted[name], False, reason) for name, (value, reason) in values.items()
    }


def growth(rows: list[int], costs: list[float] | list[int]) -> float:
    """Return what a further row costs from the second to the third size over the first to second.

    1: linear; of n log n a little more, of n^2 the sum of the last two sizes over the first two.
    """
    first, second = ((costs[k + 1] - costs[k]) / (rows[k + 1] - rows[k]) for k in (0, 1))
    return second / first
