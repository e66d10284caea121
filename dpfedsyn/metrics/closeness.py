"""Do synthetic rows lie closer to training records than to records that were held out?

Distance to the closest record (DCR) with a control of equal size: under no copying a synthetic row
is as likely to have its nearest neighbour in either, so the expected share is 0.5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from dpfedsyn.errors import DataError

NO_GUARANTEE = (
    "Distances and similarities are not privacy guarantees: they can look harmless while one "
    "person's record is exposed; only the stated epsilon and delta are a guarantee."
)

_RELABELLINGS = 999
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Closeness:
    """Distance to the closest record, training against control.

    Args:
        share: of synthetic rows whose closest record is a training record, in [0, 1]; ties count in
            equal parts. 0.5 is no sign of copying, 1 is copying.
        usual: the range that holds the share in 95 of 100 cases without copying.
        train_median, control_median: median distance to the closest record, encoded units.
        records: training records, and as many control records, that were compared.
        rows: synthetic rows.
        note: what the numbers do not say.
    """

    share: float
    usual: tuple[float, float]
    train_median: float
    control_median: float
    records: int
    rows: int
    note: str = NO_GUARANTEE


def closeness(
    synthetic: ArrayLike, train: ArrayLike, control: ArrayLike, *, seed: int
) -> Closeness:
    """Compare distances of synthetic rows to training and to held-out control records.

    The larger of the two sets is cut to a random subset of the smaller one's size. `usual` comes
    from exchanging the names "training" and "control" at random among all compared records, which
    changes nothing in law if the synthetic rows know neither.

    Args:
        synthetic: (n, d) encoded rows.
        train, control: (a, d) and (b, d) encoded records; control was never trained on.
        seed: of the random subset and of the exchanges.

    Raises:
        DataError: a set is empty, or shapes do not fit.
    """
    rows, inside, outside = (np.asarray(s, dtype=np.float64) for s in (synthetic, train, control))
    if any(
        s.ndim != 2 or not len(s) or s.shape[1] != rows.shape[-1] for s in (rows, inside, outside)
    ):
        raise DataError(
            f"synthetic {rows.shape}, training {inside.shape} and control {outside.shape} rows "
            "cannot be compared; give (rows, d) each, with the same d and at least one row"
        )
    random = np.random.default_rng(seed)
    size = min(len(inside), len(outside))
    inside = inside[random.permutation(len(inside))[:size]]
    outside = outside[random.permutation(len(outside))[:size]]
    weights, nearest = _nearest(rows, np.concatenate([inside, outside]))
    shares = [_exchanged(weights, random) for _ in range(_RELABELLINGS)]
    low, high = np.quantile(shares, [0.025, 0.975])
    return Closeness(
        share=float(weights[:size].sum()),
        usual=(float(low), float(high)),
        train_median=float(np.median(nearest[:, 0])),
        control_median=float(np.median(nearest[:, 1])),
        records=size,
        rows=len(rows),
    )


def _nearest(
    rows: NDArray[np.float64], pool: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of rows that each record of the pool is closest to, and both halves' least distances.

    Returns:
        ((records,) summing to 1, (rows, 2)).
    """
    half = len(pool) // 2
    weights, nearest = np.zeros(len(pool)), np.empty((len(rows), 2))
    step = max(1, _CELLS_AT_ONCE // len(pool))
    for start in range(0, len(rows), step):
        # cdist takes differences coordinate by coordinate: a copy has distance exactly 0.
        distances = cdist(rows[start : start + step], pool)
        least = distances.min(axis=1, keepdims=True)
        closest = distances == least
        weights += (closest / closest.sum(axis=1, keepdims=True)).sum(axis=0)
        nearest[start : start + step, 0] = distances[:, :half].min(axis=1)
        nearest[start : start + step, 1] = distances[:, half:].min(axis=1)
    return weights / len(rows), nearest


def _exchanged(weights: NDArray[np.float64], random: np.random.Generator) -> float:
    """The share after a random exchange of the names "training" and "control"."""
    return float(random.permutation(weights)[: len(weights) // 2].sum())
