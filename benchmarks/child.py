"""Programs on the interpreter that has the peers: a question on standard input, JSON back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.accounting.fresh import ROOT, environment

INTERPRETER = "BENCHMARK_PEERS"


def interpreter() -> str:
    """The Python that has the peers."""
    return os.environ.get(INTERPRETER) or sys.executable


def answer(module: str, question: str, limit: float) -> dict[str, Any]:
    """Return what a module says to a question, or {"failed": why it says nothing}.

    Args:
        limit: seconds of waiting.
    """
    try:
        done = subprocess.run(
            [interpreter(), "-m", module], cwd=ROOT, env=environment(), input=question,
            timeout=limit, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer in {limit:g} s"}
    except OSError as error:
        return {"failed": f"{interpreter()}: {error.strerror}"}
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:120]}
    said: dict[str, Any] = json.loads(done.stdout)
    return said
