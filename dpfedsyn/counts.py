"""Private counts of one silo's labels: a Gaussian mechanism over a histogram.

They are released to the server, and make the mixing weights. What is noised is a sum of integers;
`dpfedsyn.sums` adds the noise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn.lattice import checked
from dpfedsyn.units import Units, added

Array = NDArray[np.float64]
Points = NDArray[np.int64]


def label_counts(labels: NDArray[np.int64], classes: int, units: Units | None = None) -> Array:
    """Return how many units carry each label, shape (classes,); a share of one with several."""
    weights = None if units is None else units.weights
    return np.bincount(labels, weights, minlength=classes).astype(np.float64)


def count_points(
    labels: NDArray[np.int64], classes: int, spacing: float, units: Units | None = None
) -> Points:
    """Return `label_counts` on the lattice, in whole numbers of its spacing.

    Guarantee:
        One record adds floor(1 / spacing) to one count: times the spacing, 1 at most. One unit of
        several adds the mean of such vectors: none of its entries is negative, its norm is 1 at
        most.
    """
    (one,) = checked(np.ones((1, 1)), 1.0, spacing).ravel()
    ones = np.full((len(labels), 1), one)
    return added(ones, labels, classes, units).ravel()


def counts_sensitivity(adjacency: Adjacency) -> float:
    """L2 sensitivity of the histogram: 1, or sqrt 2 where a record may change its label."""
    return math.sqrt(2.0) if adjacency is Adjacency.REPLACE else 1.0
