"""After how many calls too little noise is caught."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from accountants import gaussian
from benchmarks.audit.tightness import DELTA, pair, shifted
from benchmarks.record import Table, Target
from dpfedsyn.audit import GDP, Verdict, audit

ALPHA, WANTED = 1e-6, 350.0
CLAIMS, SHARES = (1.0, 4.0, 8.0), (0.5, 0.71, 0.8)
HALF = (4.0, 0.5)  # claimed epsilon, share of the noise
MOST = 100_000
# What other tests need, from a calculation of another day: an exact binomial of accuracy without
# warm-up (power 0.95), and two Clopper-Pearson bounds at delta = 1e-5 (power about 0.5).
QUOTED: dict[tuple[float, float], tuple[float, float]] = {
    (1.0, 0.5): (3693, 1.1e5), (1.0, 0.71): (2.1e4, 2.7e6), (1.0, 0.8): (5.8e4, 1.3e7),
    (4.0, 0.5): (377, 8.4e4), (4.0, 0.71): (2003, 2.9e6), (4.0, 0.8): (5397, 1.8e7),
    (8.0, 0.5): (189, 8.6e5),
}  # fmt: skip


def calls_to_catch(epsilon: float, share: float, seed: int, most: int = MOST) -> float:
    """Calls after which a mechanism with `share` of the noise of its claim is caught, or inf."""
    mu = gaussian.mu(epsilon, DELTA)
    found = audit(shifted, pair(mu / share), claim=GDP(mu), alpha=ALPHA, max_calls=most, seed=seed)
    return float(found.calls) if found.verdict is Verdict.VIOLATION else float("inf")


def measure(
    of_half: int, of_others: int, say: Callable[[str], None]
) -> tuple[dict[str, Target], Table]:
    """Medians of as many audits of half the noise at epsilon 4, and of the others; 0: none."""
    rows: list[dict[str, Any]] = []
    targets = {}
    for epsilon in CLAIMS:
        for share in SHARES:
            count = of_half if (epsilon, share) == HALF else of_others
            if count == 0:
                continue
            say(f"noise x {share:g} at claimed epsilon {epsilon:g}")
            calls = [calls_to_catch(epsilon, share, seed) for seed in range(count)]
            binomial, pearson = QUOTED.get((epsilon, share), (None, None))
            rows.append({
                "claimed epsilon": epsilon, "noise x": share,
                "median": _finite(median(calls)),
                "95 %": _finite(float(np.quantile(calls, 0.95, method="higher"))),
                "audits": count,
                "exact accuracy, quoted": binomial, "two Clopper-Pearson, quoted": pearson,
            })  # fmt: skip
            if (epsilon, share) == HALF:
                middle, reason = (
                    _finite(median(calls)),
                    f"median of {count} audits, warm-up and all",
                )
                targets["calls_for_half_noise"] = Target(middle, WANTED, False, reason)
    return targets, rows


def _finite(calls: float) -> float | None:
    return calls if np.isfinite(calls) else None
