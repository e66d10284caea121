"""Corners where accountants go wrong: exact answers where known, sanity everywhere.

`python -m benchmarks.accounting.extremes` sweeps the corners in a process of its own and prints
what it found as JSON.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from itertools import product
from typing import Any

from benchmarks.accounting.fresh import ROOT, environment

RATES = (1e-6, 1e-3, 0.1, 0.9, 1.0)
SIGMAS = (0.3, 1.0, 20.0)
STEPS = (1, 100, 10_000, 10_000_000)
DELTAS = (1e-5, 1e-10, 1e-15)
SECONDS = 2.0
LIMIT = 3000.0


def sweep() -> dict[str, Any]:
    """Run the sweep in a fresh process; {"asked", "wrong": [...], "slowest": seconds, "where"}."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.accounting.extremes"], cwd=ROOT, env=environment(),
        capture_output=True, text=True, check=True, timeout=LIMIT,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def fault(lower: float, upper: float) -> str | None:
    """What is wrong with a bracket, whatever the truth is."""
    if math.isnan(lower) or math.isnan(upper):
        return "NaN"
    if math.isinf(upper):
        return "infinite"
    if lower < 0 or upper < 0:
        return "negative"
    return "upside down" if lower > upper else None


def corners() -> dict[str, Any]:
    """Ask every corner once."""
    from accountants import Gaussian, PoissonSampled, Repeated, epsilon

    wrong: list[str] = []
    slowest, where, asked = 0.0, "", 0
    for rate, sigma, steps, delta in product(RATES, SIGMAS, STEPS, DELTAS):
        name = f"rate {rate:g}, sigma {sigma:g}, steps {steps}, delta {delta:g}"
        event = Repeated(PoissonSampled(Gaussian(sigma), rate), steps)
        began = time.process_time()
        try:
            found = epsilon(event, delta=delta, adjacency="add-or-remove")
            problem = fault(found.lower, found.upper)
        except Exception as error:  # an answer that is refused is a fault here
            problem = type(error).__name__
        took, asked = time.process_time() - began, asked + 1
        if took > slowest:
            slowest, where = took, name
        if problem is not None:
            wrong.append(f"{name}: {problem}")
    return {"asked": asked, "wrong": wrong, "slowest": slowest, "where": where}


if __name__ == "__main__":
    print(json.dumps(corners()))
