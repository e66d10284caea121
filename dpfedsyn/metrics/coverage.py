"""Precision, recall, density and coverage of synthetic rows in a feature space.

A row's ball reaches to its k-th nearest neighbour in its own set. Precision and recall ask whether
a row lies in any ball of the other set (Kynkäänniemi et al. 2019, equations 1 and 2); density
counts in how many balls, and coverage asks which real balls are not empty (Naeem et al. 2020).
Precision and density fall with unlike rows, recall and coverage with missing ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from dpfedsyn.errors import DataError

NEIGHBOURS = 5

_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Coverage:
    """Shares in [0, 1], but density, which is 1 on average for two sets of one law.

    Args:
        precision: of synthetic rows in some real ball. recall: of real rows in some synthetic ball.
        density: mean number of real balls that hold a synthetic row, divided by k.
        coverage: of real balls that hold a synthetic row.
        real_rows, synthetic_rows: that were compared; all four depend on these numbers.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    real_rows: int
    synthetic_rows: int


def coverage(real: ArrayLike, synthetic: ArrayLike, k: int = NEIGHBOURS) -> Coverage:
    """Compare two sets by the balls around their rows.

    Distances are exact and Euclidean. A row on the edge of a ball is in it, as Kynkäänniemi et al.
    define it: repeated rows of a table of codes have balls of radius 0, and would otherwise cover
    not even themselves. (The package `prdc` leaves the edge out; without ties that is the same,
    except for sets that share rows.)

    Args:
        real, synthetic: (n, f) and (m, f) features.
        k: neighbours that a ball reaches to, the row itself not counted.

    Raises:
        DataError: shapes do not fit, k is below 1, or a set has no more than k rows.
    """
    ours, theirs = (np.asarray(s, dtype=np.float64) for s in (real, synthetic))
    if any(s.ndim != 2 or s.shape[1] != ours.shape[-1] for s in (ours, theirs)):
        raise DataError(
            f"real {ours.shape} and synthetic {theirs.shape} rows cannot be compared; give "
            "(rows, f) each, with the same f"
        )
    if not 1 <= k < min(len(ours), len(theirs)):
        raise DataError(
            f"{len(ours)} real and {len(theirs)} synthetic rows have no {k}-th neighbour each, so "
            f"there are no balls; give at least 1 neighbour and {k + 1} rows"
        )
    real_radius, synthetic_radius = _radius(ours, k), _radius(theirs, k)
    balls = np.zeros(len(theirs), dtype=np.int64)
    recalled = covered = 0
    for start, stop in _pieces(len(ours), len(theirs)):
        distances = cdist(ours[start:stop], theirs)
        inside = distances <= real_radius[start:stop, None]
        balls += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((distances <= synthetic_radius).any(axis=1).sum())
    return Coverage(
        precision=float(np.mean(balls > 0)),
        recall=recalled / len(ours),
        density=float(np.mean(balls)) / k,
        coverage=covered / len(ours),
        real_rows=len(ours),
        synthetic_rows=len(theirs),
    )


def _radius(rows: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Distance of each row to its k-th nearest neighbour in the same set, (rows,)."""
    radius = np.empty(len(rows))
    for start, stop in _pieces(len(rows), len(rows)):
        # Position 0 is the row itself, or a copy of it: both at distance 0.
        radius[start:stop] = np.partition(cdist(rows[start:stop], rows), k, axis=1)[:, k]
    return radius


def _pieces(rows: int, others: int) -> list[tuple[int, int]]:
    """Ranges of rows whose distances to all others fit into the memory allowed for them."""
    step = max(1, _CELLS_AT_ONCE // others)
    return [(start, min(start + step, rows)) for start in range(0, rows, step)]
