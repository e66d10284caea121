"""How many of the corpus' real bugs some layer catches, finding nothing in their mended twins."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.record import Table, Target

WANTED = 44


def measure(*, smoke: bool, reason: str, say: Callable[[str], None]) -> tuple[Target, Table]:
    """Run every check of every row on the bug and on its mended twin."""
    if smoke:
        return Target(None, WANTED, at_least=True, reason=reason), []
    from tests.corpus.corpus import CAUGHT, MISSED

    rows = [_row(case, say) for case in sorted(CAUGHT + MISSED, key=lambda case: case.number)]
    missed = [f"{row['row']} ({row['remark'] or 'no check'})" for row in rows if not row["caught"]]
    why = f"of {len(rows)} rows; missed: {'; '.join(missed) or 'none'}"
    return Target(len(rows) - len(missed), WANTED, at_least=True, reason=why), rows


def _row(case: Any, say: Callable[[str], None]) -> dict[str, Any]:
    say(f"corpus {case.number}: {case.title}")
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the bugs warn, as they did
        tried = [*case.trials, *(passed.trial for passed in case.passed)]
        layers = [_caught(trial) for trial in tried]
    others = [str(trial.check.layer) for trial in tried if trial.check.layer not in layers]
    return {
        "row": case.number, "bug": case.title, "caught": any(layers), "layers": _names(layers),
        "tried, not caught": _names(others), "remark": case.missed,
        "s": time.perf_counter() - began,
    }  # fmt: skip


def _caught(trial: Any) -> str:
    """The layer, where its check finds the bug and nothing in the twin; else nothing."""
    found = trial.check.finding(trial.broken) is not None
    return str(trial.check.layer) if found and trial.check.finding(trial.fixed) is None else ""


def _names(layers: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(layer for layer in layers if layer))
