"""Other projects' auditors, asked in a process of their own.

They run in this interpreter, or in the one that `BENCHMARK_PEERS` names: what they need must not
decide what this project is installed with. Absent ones are "not installed", never a failure.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.audit.child import JAX, MICROSOFT
from benchmarks.child import answer

Array = NDArray[np.float64]
Scores = tuple[Array, Array]  # of calls without and with the record, (repetitions, n / 2) each

LIMIT = 900.0  # seconds of waiting for one peer
GDP = f"{JAX} GDP"
METHODS = {
    GDP: (JAX, "GDP"),
    f"{JAX} Clopper-Pearson": (JAX, "Clopper-Pearson"),
    f"{JAX} one run": (JAX, "one run"),
    f"{JAX} f-DP one run": (JAX, "f-DP one run"),
    f"{MICROSOFT} beta": (MICROSOFT, "beta"),
}


@dataclass(frozen=True)
class Answers:
    """One method's bounds on epsilon and its processor seconds, one of each a repetition.

    Attributes:
        failed: why there are none.
    """

    bounds: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    failed: str | None = None


@dataclass
class Asked:
    """What peers said, and the versions that said it."""

    answers: dict[tuple[str, str], Answers] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def ask(
    scores: Mapping[str, Scores],
    jobs: Sequence[tuple[str, str]],
    *,
    delta: float,
    significance: float,
    limit: float = LIMIT,
) -> Asked:
    """Ask for each job's bounds, peer by peer.

    Args:
        scores: by key. jobs: (name of `METHODS`, key) each.
    """
    found = Asked()
    with tempfile.TemporaryDirectory(prefix="scores-") as folder:
        file = Path(folder) / "scores.npz"
        parts = {f"{k}/{w}": s for k, pair in scores.items()
                 for w, s in zip(("without", "with"), pair, strict=True)}  # fmt: skip
        np.savez(file, **parts)  # type: ignore[arg-type]
        for peer in (JAX, MICROSOFT):
            own = [job for job in jobs if METHODS[job[0]][0] == peer]
            if own:
                question = {
                    "peer": peer, "file": str(file), "delta": delta, "significance": significance,
                    "jobs": [(METHODS[method][1], key) for method, key in own],
                }  # fmt: skip
                _ask_one(peer, json.dumps(question), own, limit, found)
    return found


def _ask_one(
    peer: str, question: str, jobs: Sequence[tuple[str, str]], limit: float, found: Asked
) -> None:
    said = answer("benchmarks.audit.child", question, limit)
    found.versions[peer] = str(said.get("version") or said["failed"])
    for job, one in zip(jobs, said.get("jobs") or [said] * len(jobs), strict=True):
        if "failed" in one:
            found.answers[job] = Answers(failed=one["failed"])
        else:
            bounds = tuple(float("nan") if b is None else b for b in one["bounds"])
            found.answers[job] = Answers(bounds, tuple(one["seconds"]))
