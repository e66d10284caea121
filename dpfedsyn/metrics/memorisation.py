"""Do synthetic rows repeat single training records?

A row counts as memorised where its nearest training record is closer than a third of the distance
to the second nearest (Yoon et al. 2023, "Diffusion Probabilistic Models Generalize when They Fail
to Memorize"; Gu et al. 2023, "On Memorization in Diffusion Models"). Rows that were held
out show how often the data do that by themselves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from dpfedsyn.errors import DataError
from dpfedsyn.metrics.closeness import NO_GUARANTEE

THRESHOLD = 1.0 / 3.0

_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Memorisation:
    """Ratios d1 / d2 of the distances to the nearest and the second nearest training record.

    Args:
        share: of synthetic rows with a ratio below a third. reference: of held-out real rows. A
            share well above its reference is a sign of copying.
        median_ratio, reference_median_ratio: medians of the ratio, in [0, 1].
        rows, reference_rows: synthetic and held-out rows that were compared.
        records: training records, each distinct one counted once.
        note: what the numbers do not say.
    """

    share: float
    reference: float
    median_ratio: float
    reference_median_ratio: float
    rows: int
    reference_rows: int
    records: int
    note: str = NO_GUARANTEE


def memorisation(synthetic: ArrayLike, train: ArrayLike, held_out: ArrayLike) -> Memorisation:
    """Compare synthetic and held-out rows with the training records.

    Exact duplicates among the training records count once: otherwise a copy of a repeated record
    would have d1 = d2 = 0 and no ratio, and would not be seen. So a row that equals a training
    record always counts as memorised, whether another record is the same or not, and in a table of
    codes that happens to held-out rows as well. Copies of records that are nearly, not exactly,
    repeated are not seen.

    Args:
        synthetic: (n, d) encoded rows.
        train, held_out: (a, d) and (b, d) encoded records; held_out was never trained on.

    Raises:
        DataError: a set is empty, shapes do not fit, or training has fewer than two distinct
            records.
    """
    rows, inside, outside = (np.asarray(s, dtype=np.float64) for s in (synthetic, train, held_out))
    if any(
        s.ndim != 2 or not len(s) or s.shape[1] != rows.shape[-1] for s in (rows, inside, outside)
    ):
        raise DataError(
            f"synthetic {rows.shape}, training {inside.shape} and held-out {outside.shape} rows "
            "cannot be compared; give (rows, d) each, with the same d and at least one row"
        )
    distinct = np.unique(inside, axis=0)
    if len(distinct) < 2:
        raise DataError(
            f"{len(inside)} training records are one distinct record, so no row has a second "
            "nearest; give at least two that differ"
        )
    ratios, reference = _ratios(rows, distinct), _ratios(outside, distinct)
    return Memorisation(
        share=float(np.mean(ratios < THRESHOLD)),
        reference=float(np.mean(reference < THRESHOLD)),
        median_ratio=float(np.median(ratios)),
        reference_median_ratio=float(np.median(reference)),
        rows=len(rows),
        reference_rows=len(outside),
        records=len(distinct),
    )


def _ratios(rows: NDArray[np.float64], records: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance to the nearest record over that to the second nearest, (rows,) in [0, 1]."""
    ratios = np.empty(len(rows))
    step = max(1, _CELLS_AT_ONCE // len(records))
    for start in range(0, len(rows), step):
        # cdist takes differences coordinate by coordinate: a copy has distance exactly 0.
        distances = cdist(rows[start : start + step], records)
        two = np.partition(distances, 1, axis=1)[:, :2]
        # Distinct records may still be too near each other for a square to be above 0: a copy.
        found = np.divide(two[:, 0], two[:, 1], out=np.zeros(len(two)), where=two[:, 1] > 0.0)
        ratios[start : start + step] = found
    return ratios
