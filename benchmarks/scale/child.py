"""One run of a made-up federation in a process of its own: `python -m benchmarks.scale.child`.

Reads {"rows": n, "settings": {...}} from standard input, writes what every stage took to standard
output. The files are made before anything is counted.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.run.stopwatch import Part
from benchmarks.scale import made
from benchmarks.scale.meter import Meter, Stage, resident
from benchmarks.scale.stages import BASE, READ, REPORT, ROUNDS, STEPS, WRITE
from dpfedsyn import collaboration, config, report, train
from dpfedsyn import run as runner

PARTS = (
    Part(READ, runner, "read_records"),
    Part(BASE, train, "_own_base"),
    Part(STEPS, train, "_train_network"),
    Part(ROUNDS, collaboration, "sample"),
    Part(WRITE, collaboration, "decoded"),
    Part(REPORT, report, "write"),
)


def measure(rows: int, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make files and run them; return what each stage took, and what was resident before."""
    path, before = made.write(folder, rows, settings), resident()
    meter = Meter()
    with meter.measuring(PARTS):
        done = runner.run(config.load(str(path)), folder / "run")
        report.write(done.folder)
    meter.close()
    stages = {name: _plain(stage) for name, stage in meter.stages.items()}
    return {"rows": rows, "status": done.status, "before": before, "stages": stages}


def _plain(stage: Stage) -> dict[str, float | int | None]:
    return {"wall": stage.time.wall, "processor": stage.time.processor, "peak": stage.peak}


def main() -> None:
    """Answer one question."""
    question = json.load(sys.stdin)
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        found = measure(question["rows"], question["settings"], Path(folder))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
