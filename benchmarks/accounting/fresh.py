"""Ask an accountant in processes of their own, one thread each, and take the median."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.accounting.answers import Accountant
from benchmarks.accounting.questions import Question

ROOT = Path(__file__).parents[2]
LIMIT = 120.0  # seconds of waiting for one answer
QUICK = 2.0  # processor seconds; an answer that takes longer is asked for once
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Found = dict[str, Any]


def installed(accountant: Accountant) -> bool:
    """Whether its package is there; ours always is."""
    try:
        return accountant.package is None or bool(version(accountant.package))
    except PackageNotFoundError:
        return False


def asked(
    accountant: Accountant, question: Question, repetitions: int, limit: float = LIMIT
) -> Found:
    """The answer, with the median of processor seconds; `failed` says why there is none."""
    if not installed(accountant):
        return {"failed": "not installed"}
    found = _once(accountant, question, limit)
    if "failed" in found or found["seconds"] > QUICK:
        return found
    more = [_once(accountant, question, limit) for _ in range(repetitions - 1)]
    seconds = [one["seconds"] for one in (found, *more) if "failed" not in one]
    return {**found, "seconds": statistics.median(seconds), "repetitions": len(seconds)}


def environment() -> dict[str, str]:
    """One thread, and this tree's packages before installed ones."""
    return {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": str(ROOT)}


def _once(accountant: Accountant, question: Question, limit: float) -> Found:
    command = [sys.executable, "-m", "benchmarks.accounting.child", accountant.name]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), input=question.to_json(), timeout=limit,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer in {limit:g} s"}
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["killed"])[-1]
        return {"failed": f"exit {done.returncode}: {last}"[:120]}
    found: Found = json.loads(done.stdout)
    return found
