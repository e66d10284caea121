"""Our own private paths under audit: nothing found as they are, and every planted mistake."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from accountants import Adjacency
from accountants import epsilon as certified_epsilon
from benchmarks.audit import own_paths
from benchmarks.audit.own_answers import audit_release, audit_silo, opposite, ratio
from benchmarks.record import Table, Target
from dpfedsyn.audit import Audit, Verdict
from dpfedsyn.audit.canaries import audit_training

ANSWERS = 100_000  # calls
WANTED_SECONDS, WANTED_RATIO = 5.0, 0.9
DELTA, ALPHA = 1e-5, 1e-6
# Sampling rate, noise multiplier and calls of the DP-SGD under audit.
STEPS = ((1.0, 1.0, 2_000), (0.5, 0.5, 6_000), (0.2, 1.0, 8_000))
AS_THEY_ARE = "own paths as they are"
NOT_CONTRADICTED = "not contradicted"  # a verdict: one run says no more
_SOUND = (str(Verdict.CONSISTENT), NOT_CONTRADICTED)

Measured = tuple[dict[str, Target], dict[str, Table]]


def measure(*, smoke: bool, reason: str, say: Callable[[str], None]) -> Measured:
    """Return the figures; `smoke` audits the release alone, with few calls, and plants nothing."""
    say("own paths as they are")
    calls = 2_000 if smoke else ANSWERS
    rows = [_row("AnswerMechanism.release, mu = 1", audit_release, opposite(4), calls=calls)[1]]
    if smoke:
        targets = {
            "answers_ratio": Target(None, WANTED_RATIO, at_least=True, reason=reason),
            "opacus_seconds": Target(None, WANTED_SECONDS, at_least=False, reason=reason),
            "own_mistakes_missed": Target(None, 0, at_least=False, reason=reason),
        }
        return {"own_paths_not_consistent": _consistent(rows), **targets}, {AS_THEY_ARE: rows}
    one = opposite(1)
    answered, row = _row("Silo.answer over its ledger, mu = 1", audit_silo, one, calls=ANSWERS)
    _, opacus = _row("Opacus's optimizer, noise multiplier 1", own_paths.audit_opacus)
    rows += [row, *_steps(), opacus]
    say("one training from its last weights")
    whole = _whole()
    say("Opacus with half of its noise")
    found, seconds = own_paths.seconds_for_half_noise()
    caught = found.verdict is Verdict.VIOLATION
    missed, mistakes = _mistakes(say)
    return {
        "own_paths_not_consistent": _consistent([*rows, *whole]),
        "answers_ratio": Target(
            ratio(answered, one, DELTA), WANTED_RATIO, at_least=True,
            reason=f"{answered.calls} calls of Silo.answer, each a new round of its ledger, mu = 1",
        ),
        "opacus_seconds": Target(
            seconds if caught else None, WANTED_SECONDS, at_least=False,
            reason=f"half noise {'caught' if caught else 'NOT CAUGHT'} in {found.calls} real steps",
        ),
        "own_mistakes_missed": missed,
    }, {
        AS_THEY_ARE: rows,
        "own DP-SGD, one run from its last weights": whole,
        "own paths with mistakes": mistakes,
    }  # fmt: skip


def _consistent(rows: Table) -> Target:
    """How many paths are not found to keep their claim; of a whole training: contradict it."""
    unsure = [str(row["path"]) for row in rows if row["verdict"] not in _SOUND]
    why = f"{len(rows)} paths; {', '.join(unsure) or 'each is consistent'}"
    return Target(len(unsure), 0, at_least=False, reason=why)


def _row(
    name: str, audited: Callable[..., Audit], *arguments: Any, **options: Any
) -> tuple[Audit, dict[str, Any]]:
    began = time.perf_counter()
    found = audited(*arguments, **options)
    return found, {
        "path": name, "verdict": str(found.verdict), "calls": found.calls,
        "mu, lower bound": found.mu_lower, "s": time.perf_counter() - began,
    }  # fmt: skip


def _steps() -> list[dict[str, Any]]:
    rows = []
    for rate, noise, calls in STEPS:
        name = f"DP-SGD, sampling rate {rate:g}, noise multiplier {noise:g}"
        settings = own_paths.train_settings(sampling_rate=rate)
        rows.append(
            _row(name, audit_training, settings, noise_multiplier=noise, max_calls=calls)[1]
        )
    return rows


def _whole() -> list[dict[str, Any]]:
    began = time.perf_counter()
    run = own_paths.audit_last_weights()
    claimed = certified_epsilon(run.claim, delta=DELTA, adjacency=Adjacency.ADD_OR_REMOVE).upper
    contradicted = run.found.p_value(run.claim) <= ALPHA
    return [{
        "path": "DP-SGD, 100 steps at sampling rate 0.2, noise multiplier 0.7",
        "verdict": str(Verdict.VIOLATION) if contradicted else NOT_CONTRADICTED,
        "canaries": run.found.guesses.canaries, "guesses": run.found.guesses.made,
        "right": run.found.guesses.correct, "epsilon, claimed": claimed,
        "epsilon, lower bound": run.found.epsilon_lower(DELTA),
        "if Gaussian": run.found.gaussian_epsilon_lower(DELTA),
        "s": time.perf_counter() - began,
    }]  # fmt: skip


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
