"""Our own private paths under audit: nothing found as they are, and every planted mistake."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.audit import own_paths
from benchmarks.audit.own_answers import audit_release, audit_silo, opposite
from benchmarks.record import Table, Target
from dpfedsyn.audit import Audit, Verdict
from dpfedsyn.audit.canaries import audit_training

ANSWERS, SILO = 100_000, 2_000  # calls
WANTED_SECONDS, WANTED_RATIO = 5.0, 0.9
NOISE = 1.0  # multiplier that the DP-SGD under audit claims

Measured = tuple[dict[str, Target], dict[str, Table]]


def measure(*, smoke: bool, reason: str, say: Callable[[str], None]) -> Measured:
    """Return the figures; `smoke` audits the release alone, with few calls, and plants nothing."""
    say("own paths as they are")
    audits: dict[str, Callable[[], Audit]] = {
        "AnswerMechanism.release, mu = 1": lambda: audit_release(
            opposite(4), calls=2_000 if smoke else ANSWERS
        )
    }
    if not smoke:
        audits["Silo.answer over its ledger, mu = 1"] = lambda: audit_silo(opposite(1), calls=SILO)
        audits["DP-SGD, noise multiplier 1"] = lambda: audit_training(
            own_paths.train_settings(), noise_multiplier=NOISE
        )
        audits["Opacus's optimizer, noise multiplier 1"] = own_paths.audit_opacus
    rows = [_row(name, made) for name, made in audits.items()]
    unsure = [str(row["path"]) for row in rows if row["verdict"] != Verdict.CONSISTENT]
    why = f"{len(rows)} paths; {', '.join(unsure) or 'each is consistent'}"
    consistent = Target(len(unsure), 0, at_least=False, reason=why)
    tables: dict[str, Table] = {"own paths as they are": rows}
    if smoke:
        targets = {
            "answers_ratio": Target(None, WANTED_RATIO, at_least=True, reason=reason),
            "opacus_seconds": Target(None, WANTED_SECONDS, at_least=False, reason=reason),
            "own_mistakes_missed": Target(None, 0, at_least=False, reason=reason),
        }
        return {"own_paths_not_consistent": consistent, **targets}, tables
    say("Opacus with half of its noise")
    found, seconds = own_paths.seconds_for_half_noise()
    caught = found.verdict is Verdict.VIOLATION
    ratio = own_paths.ratio_of_answers(ANSWERS)
    missed, tables["own paths with mistakes"] = _mistakes(say)
    return {
        "own_paths_not_consistent": consistent,
        "answers_ratio": Target(
            ratio, WANTED_RATIO, at_least=True, reason=f"{ANSWERS} answers, mu = 1"
        ),
        "opacus_seconds": Target(
            seconds if caught else None, WANTED_SECONDS, at_least=False,
            reason=f"half noise {'caught' if caught else 'NOT CAUGHT'} in {found.calls} real steps",
        ),
        "own_mistakes_missed": missed,
    }, tables  # fmt: skip


def _row(name: str, made: Callable[[], Audit]) -> dict[str, Any]:
    began = time.perf_counter()
    found = made()
    return {
        "path": name, "verdict": str(found.verdict), "calls": found.calls,
        "mu, lower bound": found.mu_lower, "s": time.perf_counter() - began,
    }  # fmt: skip


def _mistakes(say: Callable[[str], None]) -> tuple[Target, Table]:
    rows = []
    for path in own_paths.PATHS:
        say(path.mutation.name)
        mistaken, correct = path.verdict(mistaken=True), path.verdict(mistaken=False)
        rows.append({
            "mistake": path.mutation.name, "with it": str(mistaken), "without": str(correct),
            "flagged": mistaken is Verdict.VIOLATION and correct is not Verdict.VIOLATION,
        })  # fmt: skip
    missed = [str(row["mistake"]) for row in rows if not row["flagged"]]
    reason = f"of {len(rows)} mistakes; missed: {', '.join(missed) or 'none'}"
    return Target(len(missed), 0, at_least=False, reason=reason), rows
