"""How close `dpfedsyn.audit.one_run` comes to the true epsilon: one run, as many canaries as calls.

The run is the ideal one that bounds of this kind are made for: each canary's score is a Gaussian of
its own, shifted by mu where it joined. Canaries of a training share its noise and show less.
"""

from __future__ import annotations

import time

import numpy as np

from accountants import gaussian
from dpfedsyn.audit import GDP
from dpfedsyn.audit.one_run import CanaryScores, flip, one_run

# Bounds for a run of any kind, and for one whose trade-off function is a Gaussian's.
ANY, GAUSSIAN = "dpfedsyn one run", "dpfedsyn f-DP one run"

Ratios = tuple[tuple[float, ...], tuple[float, ...]]  # bounds over epsilon, processor seconds


def measure(
    epsilon: float, canaries: int, repetitions: int, delta: float, confidence: float
) -> dict[str, Ratios]:
    """Return both bounds over the true epsilon and their processor seconds, by method.

    Coins are fair ones, where peers get as many scores with the record as without it.
    """
    mu, claim = gaussian.mu(epsilon, delta), GDP(gaussian.mu(epsilon, delta))
    ratios: dict[str, list[float]] = {ANY: [], GAUSSIAN: []}
    seconds: dict[str, list[float]] = {ANY: [], GAUSSIAN: []}
    for seed in range(repetitions):
        rng = np.random.default_rng((seed, canaries))
        flips = flip(map(str, range(canaries)), rng)
        joined = np.fromiter(flips.included.values(), dtype=np.float64)
        scores = CanaryScores.of(flips.ids, mu * joined + rng.standard_normal(canaries))
        began = time.process_time()
        found = one_run(flips, scores, claim=claim, confidence=confidence)
        guessed = time.process_time() - began
        bounds = {ANY: found.epsilon_lower, GAUSSIAN: found.gaussian_epsilon_lower}
        for method, bound in bounds.items():
            began = time.process_time()
            ratios[method].append(bound(delta) / epsilon)
            seconds[method].append(guessed + time.process_time() - began)
    return {method: (tuple(ratios[method]), tuple(seconds[method])) for method in ratios}
