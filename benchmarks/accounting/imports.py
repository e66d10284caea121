"""What `import accountants` costs beside the packages that it stands on."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.accounting.fresh import ROOT, environment

PACKAGE = "accountants"
BESIDE = "numpy, scipy.special, sqlite3"
REPETITIONS = 21


def measure(repetitions: int = REPETITIONS) -> dict[str, float]:
    """Median processor seconds of either import, fresh processes by turns."""
    seconds: dict[str, list[float]] = {PACKAGE: [], BESIDE: []}
    for turn in range(repetitions + 1):
        for what, found in seconds.items():
            took = _once(what)
            if turn > 0:  # the first turn fills the disk's cache
                found.append(took)
    return {what: statistics.median(found) for what, found in seconds.items()}


def _once(what: str) -> float:
    code = f"import time; t = time.process_time(); import {what}; print(time.process_time() - t)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)
