"""Membership inference: was a record used? Distances and densities of the synthetic rows tell.

closest record   the nearer the closest synthetic row, the more likely a record was used
density ratio    synthetic density over the density of reference records: nearness that the
                 population does not explain (DOMIAS: van Breugel, Qian & van der Schaar 2023,
                 "Membership Inference Attacks against Synthetic Data through Overfitting
                 Detection")
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from dpfedsyn.attacks import intervals
from dpfedsyn.attacks.allowed import Allowed
from dpfedsyn.attacks.target import Target

Array = NDArray[np.float64]

FALSE_POSITIVE_RATES = (0.1, 0.01, 0.001)
FALSE_ALARM = 1e-4  # of the remark that an attack finds more than the claim allows, per attack

_CELLS_AT_ONCE = 4_000_000


def closest_record(records: Array, synthetic: Array, reference: Array) -> Array:
    """Score (n,) of each record: minus the distance to its closest synthetic row.

    Args:
        records: (n, d). synthetic: (m, d). reference: not looked at.
    """
    return _rowwise(lambda some: -cdist(some, synthetic).min(axis=1), records, len(synthetic))


def density_ratio(records: Array, synthetic: Array, reference: Array) -> Array:
    """Score (n,) of each record: log density among synthetic rows less that among reference ones.

    Gaussian kernels of one width per set: Scott's rule on the set's mean variance.

    Args:
        records: (n, d). synthetic: (m, d). reference: (r, d), from the same population, not used.
    """
    return _log_density(records, synthetic) - _log_density(records, reference)


ATTACKS = {"closest record": closest_record, "density ratio": density_ratio}


def membership(target: Target, claim: Allowed, *, seed: int = 0) -> list[dict[str, Any]]:
    """Attack the synthetic rows of every pass; one entry per pass and attack, ready for JSON."""
    used, reference, control = (
        target.vectors(part) for part in (target.used, target.reference, target.control)
    )
    found = []
    for name, rows in target.synthetic.items():
        synthetic = target.vectors(rows)
        for title, attack in ATTACKS.items():
            inside, outside = (attack(part, synthetic, reference) for part in (used, control))
            rng = np.random.Generator(np.random.Philox(seed))
            told = success(inside, outside, claim, rng)
            found.append({"pass": name, "attack": title, **told})
    return found


def success(
    used: Array, control: Array, claim: Allowed, rng: np.random.Generator
) -> dict[str, Any]:
    """What scores achieve, larger ones speaking for a used record.

    `above_claim` says that at some rate the share that was found lies above what the claim allows,
    with a false alarm of at most 1e-4 if records are independent.

    Args:
        used, control: scores (n,) of used and of held-out records.
    """
    rates = [_rate(used, control, fpr, claim) for fpr in FALSE_POSITIVE_RATES]
    return {
        "auc": asdict(intervals.area(used, control)),
        "pairs": asdict(intervals.pairs(used, control, rng)),
        "rates": [rate for rate, _ in rates],
        "above_claim": any(above for _, above in rates),
    }


def _rate(used: Array, control: Array, fpr: float, claim: Allowed) -> tuple[dict[str, Any], bool]:
    """The share of used records found at a false-positive rate, and whether it is too large."""
    found = intervals.threshold(control, fpr)
    if found is None:
        return {"fpr": fpr, "needed": round(1.0 / fpr) - 1}, False
    rank, value = found
    hits = int(np.sum(used > value))
    told = {
        "fpr": fpr,
        "false_positives": asdict(intervals.false_positive_rate(rank, len(control))),
        "found": asdict(intervals.share(hits, len(used))),
    }
    # One end of each interval matters, so half of what the intervals leave out, twice.
    sure = 1.0 - FALSE_ALARM / len(FALSE_POSITIVE_RATES)
    least = intervals.share(hits, len(used), sure).low
    most = intervals.false_positive_rate(rank, len(control), sure).high
    return told, least > claim.true_positive_rate(most)


def _log_density(records: Array, kernels: Array) -> Array:
    """Log density (n,) of a Gaussian kernel estimate, up to a constant of the kernels."""
    count, dimension = kernels.shape
    spread = float(np.sqrt(kernels.var(axis=0).mean()))
    width = max(spread, 1e-6) * count ** (-1.0 / (dimension + 4))

    def log_density(some: Array) -> Array:
        exponents = -0.5 * (cdist(some, kernels) / width) ** 2
        return np.asarray(logsumexp(exponents, axis=1), dtype=np.float64)

    return _rowwise(log_density, records, count)


def _rowwise(score: Callable[[Array], Array], records: Array, others: int) -> Array:
    """Apply a score of rows in pieces whose distances to the others fit into memory."""
    step = max(1, _CELLS_AT_ONCE // others)
    pieces = [score(records[start : start + step]) for start in range(0, len(records), step)]
    return np.concatenate(pieces)
