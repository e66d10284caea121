"""Whether auditors are right about correct mechanisms: no false alarms, bounds below the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import binom

from accountants import gaussian
from benchmarks.audit import peers
from benchmarks.audit.seeded import CORRECT, Seeded
from benchmarks.audit.tightness import CONFIDENCE, DELTA, SIGNIFICANCE, drawn, pair, shifted
from benchmarks.record import Table, Target
from dpfedsyn.audit import GDP, Verdict, audit

ALPHA, ALARM_CALLS, MOST_ALARMS = 1e-4, 1_000, 5
MUS, CALLS = (0.0, 0.5, 1.0, 2.0), 1_000
SURE = 1e-6  # a method is called invalid where chance explains its errors less often than this


def false_alarms(
    each: int, say: Callable[[str], None], correct: Sequence[Seeded] = CORRECT
) -> tuple[Target, Table]:
    """Audit each correct mechanism `each` times; every verdict of a violation is false."""
    rows: list[dict[str, Any]] = []
    for k, one in enumerate(correct):
        say(f"{each} audits of what is correct: {one.name}")
        alarms = sum(_alarmed(one, seed) for seed in range(k * each, (k + 1) * each))
        rows.append({"correct mechanism": one.name, "audits": each, "false alarms": alarms})
    alarms, audits = sum(row["false alarms"] for row in rows), each * len(correct)
    reason = f"of {audits} audits at alpha {ALPHA:g}, {ALARM_CALLS} calls each"
    return Target(float(alarms), MOST_ALARMS, at_least=False, reason=reason), rows


def _alarmed(one: Seeded, seed: int) -> bool:
    found = audit(
        one.mechanism, one.neighbours, claim=one.claim, alpha=ALPHA, max_calls=ALARM_CALLS,
        seed=seed, adjacency=one.adjacency,
    )  # fmt: skip
    return found.verdict is Verdict.VIOLATION


def bounds_above(mu: float, seeds: Sequence[int]) -> int:
    """How many audits of a mechanism that is exactly mu-GDP have a bound above mu.

    Perfect privacy (mu = 0) cannot be claimed and is audited under a claim of 1/2-GDP.
    """
    claim = GDP(mu or 0.5)
    found = (
        audit(
            shifted,
            pair(mu),
            claim=claim,
            max_calls=CALLS,
            seed=seed,
            confidence=CONFIDENCE,
            early=False,
        )
        for seed in seeds
    )
    return sum(one.mu_lower > mu for one in found)


def remark(above: int, runs: int, nominal: float = SIGNIFICANCE) -> str:
    """INVALID where a method that is wrong in `nominal` of its runs is that wrong almost never."""
    chance = max(float(binom.sf(above - 1, runs, nominal)), 1e-99)
    return f"INVALID: chance of it {chance:.1g}" if chance < SURE else ""


def measure(runs: int, of_slow: int, say: Callable[[str], None]) -> tuple[Target, Table]:
    """Share of bounds above the truth; a peer that is slow is asked `of_slow` times."""
    rows: list[dict[str, Any]] = []
    for k, mu in enumerate(MUS):
        say(f"bounds of what is exactly {mu:g}-GDP")
        above = bounds_above(mu, range(k * runs, (k + 1) * runs))
        rows.append(_row("dpfedsyn", mu, above, runs))
    invalid = [f"mu = {row['mu']:g}" for row in rows if row["remark"]]
    reason = f"{runs} runs each, nominal {SIGNIFICANCE:g}; {', '.join(invalid) or 'none'}"
    return Target(len(invalid), 0, at_least=False, reason=reason), [*rows, *_peers(runs, of_slow)]


def _row(method: str, mu: float, above: int, runs: int) -> dict[str, Any]:
    return {
        "method": method, "mu": mu, "bounds above the truth": above / runs, "runs": runs,
        "remark": remark(above, runs),
    }  # fmt: skip


def _peers(runs: int, of_slow: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    scores = {f"{mu:g}": drawn(mu, CALLS, runs, rng) for mu in MUS}
    few = {f"{mu:g}, few": (a[:of_slow], b[:of_slow])
           for mu, (a, b) in zip(MUS, scores.values(), strict=True)}  # fmt: skip
    keys = {method: ", few" if "f-DP" in method else "" for method in peers.METHODS}
    jobs = [(method, f"{mu:g}{few_}") for method, few_ in keys.items() for mu in MUS]
    asked = peers.ask(scores | few, jobs, delta=DELTA, significance=SIGNIFICANCE)
    rows = []
    for (method, key), said in asked.answers.items():
        mu = float(key.partition(",")[0])
        if said.failed:
            rows.append({"method": method, "mu": mu, "remark": said.failed})
            continue
        truth = gaussian.epsilon(mu, DELTA) if mu else 0.0
        above = sum(bound > truth + 1e-6 for bound in said.bounds)
        rows.append(_row(method, mu, above, len(said.bounds)))
    return rows
