"""Membership inference: was a record used? Distances and densities of the synthetic rows tell.

closest record   the nearer the closest synthetic row, the more likely a record was used
density ratio    synthetic density over the density of reference records: nearness that the
                 population does not explain (DOMIAS: van Breugel, Qian & van der Schaar 2023,
                 "Membership Inference Attacks against Synthetic Data through Overfitting
                 Detection"; with densities by the nearest neighbour, since kernels as wide as a
                 few hundred records need do not see single copies)
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from dpfedsyn.attacks import intervals
from dpfedsyn.attacks.allowed import LargestSuccess
from dpfedsyn.attacks.target import Target

Array = NDArray[np.float64]

FALSE_POSITIVE_RATES = (0.1, 0.01, 0.001)
FALSE_ALARM = 1e-4  # of the remark that an attack finds more than the claim allows, per attack

_CELLS_AT_ONCE = 4_000_000
_COPY = 1e-9  # a distance in encoded units below which rows are copies


def closest_record(records: Array, synthetic: Array, reference: Array) -> Array:
    """Score (n,) of each record: minus the distance to its closest synthetic row.

    Args:
        records: (n, d).
        synthetic: (m, d).
        reference: not looked at.
    """
    step = max(1, _CELLS_AT_ONCE // len(synthetic))
    pieces = [records[start : start + step] for start in range(0, len(records), step)]
    return np.concatenate([-cdist(piece, synthetic).min(axis=1) for piece in pieces])


def density_ratio(records: Array, synthetic: Array, reference: Array) -> Array:
    """Score (n,) of each record: log distance to its closest reference record, less that to its
    closest synthetic row.

    Times d it is the log ratio of both nearest-neighbour density estimates, up to a constant.

    Args:
        records: (n, d).
        synthetic: (m, d).
        reference: (r, d), from the same population, not used.
    """
    near, expected = (
        -closest_record(records, others, reference) for others in (synthetic, reference)
    )
    return np.log(expected + _COPY) - np.log(near + _COPY)


ATTACKS = {"closest record": closest_record, "density ratio": density_ratio}


def membership(target: Target, claim: LargestSuccess, *, seed: int = 0) -> list[dict[str, Any]]:
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
    used: Array, control: Array, claim: LargestSuccess, rng: np.random.Generator
) -> dict[str, Any]:
    """What scores achieve, larger ones speaking for a used record.

    `above_claim` says that at some rate the share that was found lies above what the claim allows,
    with a false alarm of at most 1e-4 if records are independent.

    Args:
        used: scores (n,) of used and of held-out records.
        control: scores (n,) of used and of held-out records.
    """
    rates = [_rate(used, control, fpr, claim) for fpr in FALSE_POSITIVE_RATES]
    return {
        "auc": asdict(intervals.area(used, control)),
        "pairs": asdict(intervals.pairs(used, control, rng)),
        "rates": [rate for rate, _ in rates],
        "above_claim": any(above for _, above in rates),
    }


def _rate(
    used: Array, control: Array, fpr: float, claim: LargestSuccess
) -> tuple[dict[str, Any], bool]:
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
