"""Private counts and moments of one silo's records: two Gaussian mechanisms over clipped sums.

The counts are released to the server (they make the mixing weights); the moments stay in the silo
and become the analytic base of its diffusion model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn.noise import Keystream

Array = NDArray[np.float64]


def label_counts(labels: NDArray[np.int64], classes: int) -> Array:
    """Return how many records carry each label, shape (classes,)."""
    return np.bincount(labels, minlength=classes).astype(np.float64)


def counts_sensitivity(adjacency: Adjacency) -> float:
    """L2 sensitivity of the histogram: 1, or sqrt 2 where a record may change its label."""
    return math.sqrt(2.0) if adjacency is Adjacency.REPLACE else 1.0


def clip_rows(rows: Array, radius: float) -> Array:
    """Scale each row down to L2 norm <= radius; non-finite rows become zeros.

    Guarantee:
        The norm of every returned row is at most `radius` in exact arithmetic on the returned
        floats: the scale is shortened by 1e-12, far more than float64 rounding can add back.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("nd,nd->n", rows, rows)
        norms = np.sqrt(squares)
    if not np.isfinite(squares).all():
        rows, norms = _tamed(rows)
    scale = (radius / np.maximum(norms, radius)) * (1.0 - 1e-12)
    clipped: Array = rows * scale[:, None]
    return clipped


def _tamed(rows: Array) -> tuple[Array, Array]:
    """Return rows without non-finite ones, scaled down where squares overflow, and their norms."""
    rows = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0.0)
    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    rows = np.where(largest > 1e100, rows / np.where(largest > 0.0, largest, 1.0) * 1e100, rows)
    return rows, np.sqrt(np.einsum("nd,nd->n", rows, rows))


@dataclass(frozen=True)
class MomentQuery:
    """The joint vector of one record: its label's mean block and its outer product, radius 1.

    phi(x, y) = (a_1 1_y (x) x / R,  a_2 svec(x x^T) / R^2),  a_1^2 + a_2^2 = 1, with svec the upper
    triangle and off-diagonals times sqrt 2, so that |svec(x x^T)| = |x|^2.
    """

    dimension: int
    classes: int
    radius: float  # R, public: records are clipped to it
    means_share: float  # a_1^2

    def sensitivity(self, adjacency: Adjacency) -> float:
        """L2 sensitivity of the summed vector: its radius, twice that when a record is replaced."""
        return 2.0 if adjacency is Adjacency.REPLACE else 1.0

    def sums(self, x: Array, labels: NDArray[np.int64]) -> Array:
        """Return the summed vector, shape (classes * d + d (d + 1) / 2,).

        Guarantee:
            One record adds a vector of norm at most 1, whatever it holds: it is clipped to R first.
        """
        scaled = clip_rows(np.asarray(x, dtype=np.float64), self.radius) / self.radius
        means = np.zeros((self.classes, self.dimension))
        np.add.at(means, labels, scaled)
        rows, columns = np.triu_indices(self.dimension)
        weight = np.where(rows == columns, 1.0, math.sqrt(2.0))
        second = (scaled.T @ scaled)[rows, columns] * weight
        a_1, a_2 = math.sqrt(self.means_share), math.sqrt(1.0 - self.means_share)
        return np.concatenate([a_1 * means.ravel(), a_2 * second])

    def unpack(self, sums: Array) -> tuple[Array, Array]:
        """Return (sum of x per label (classes, d), sum of x x^T (d, d)) in data units."""
        cut = self.classes * self.dimension
        means = sums[:cut].reshape(self.classes, self.dimension)
        rows, columns = np.triu_indices(self.dimension)
        weight = np.where(rows == columns, 1.0, math.sqrt(2.0))
        second = np.zeros((self.dimension, self.dimension))
        second[rows, columns] = sums[cut:] / weight
        second = second + np.triu(second, 1).T
        a_1, a_2 = math.sqrt(self.means_share), math.sqrt(1.0 - self.means_share)
        return means * self.radius / a_1, second * self.radius**2 / a_2

    def mean_noise(self, std: float) -> float:
        """Noise std of one coordinate of a label's sum, data units, from the vector's noise std."""
        return std * self.radius / math.sqrt(self.means_share)

    def product_noise(self, std: float) -> float:
        """Noise std of one off-diagonal entry of the sum of x x^T, data units."""
        return std * self.radius**2 / math.sqrt(2.0 * (1.0 - self.means_share))


def privatise(sums: Array, std: float, key: bytes) -> Array:
    """Return sums + N(0, std^2 I), the noise drawn from the key's own stream.

    Guarantee:
        With std = noise_multiplier * sensitivity this is one Gaussian mechanism; `std` is never 0
        on a private path because a budget always buys a finite noise multiplier.
    """
    return sums + std * Keystream(key).normal(sums.shape)
