"""Private histograms of a table's numbers, and samples brought to them: a copula's marginals.

Gaussian bases have Gaussian marginals. Real numbers are skewed, pile up at 0 and at round values.
Every number's histogram is released beside the moments; each synthetic column is then moved to it
by the monotone map of its ranks, which keeps the dependence between columns (a Gaussian copula
where the samples are Gaussian; Nelsen 2006, section 2.3). What samples have already and what is not
told from noise stays as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn.coordinates import Number
from dpfedsyn.lattice import checked
from dpfedsyn.units import Rows, Units, added

Array = NDArray[np.float64]
Points = NDArray[np.int64]

THRESHOLD = 3.0
"""Noise standard deviations that a wavelet coefficient must exceed, and loses."""


@dataclass(frozen=True, eq=False)
class MarginalQuery:
    """Histograms of all numbers of a table, as one vector.

    phi(x) has 1 / sqrt(m) in the cell of each of the m numbers that is not missing, else 0.
    """

    numbers: tuple[Number, ...]  # public

    @property
    def length(self) -> int:
        """Numbers in the vector."""
        return sum(len(number.values) for number in self.numbers)

    def sensitivity(self, adjacency: Adjacency) -> float:
        """L2 sensitivity of the summed vector: 1, or sqrt 2 where a record is replaced.

        Two records' vectors have norm at most 1 and no negative entry, so |u - v|^2 <= 2.
        """
        return math.sqrt(2.0) if adjacency is Adjacency.REPLACE else 1.0

    def points(self, x: Rows, spacing: float, units: Units | None = None) -> Points:
        """Return the sum of phi over records x (n, d) on the lattice, in its spacings.

        Guarantee:
            One record adds a vector whose norm, times the spacing, is at most 1, whatever it holds:
            one entry, the same for all records, in at most one cell of each number. A unit of
            several adds the mean of such vectors, which has no negative entry either.
        """
        (entries,) = checked(np.full((1, len(self.numbers)), 1.0 / self._root), 1.0, spacing)
        counted = [np.zeros(0, dtype=np.int64)]
        for number, entry in zip(self.numbers, entries, strict=True):
            rows = _measured(number, x)
            cells = _cells(number, x[rows, number.coordinate].astype(np.float64))
            ones, whose = np.full((len(rows), 1), entry), units and units.part(rows)
            counted.append(added(ones, cells, len(number.values), whose).ravel())
        return np.concatenate(counted)

    def histograms(self, sums: Array) -> list[Array]:
        """Return noisy numbers of records in every cell, number by number."""
        ends = np.cumsum([len(number.values) for number in self.numbers], dtype=np.int64)
        return [self._root * part for part in np.split(sums, ends)[:-1]]

    def noise(self, std: float) -> float:
        """Noise std of one cell's number of records, from the vector's noise std."""
        return self._root * std

    @property
    def _root(self) -> float:
        return math.sqrt(max(len(self.numbers), 1))


def corrected(x: Array, query: MarginalQuery, sums: Array, std: float) -> Array:
    """Return samples x (N, d) with every number's marginal moved to the released histogram.

    Guarantee:
        Post-processing: a function of samples, released sums and public settings.

    Args:
        sums: (length,) noisy sums of `points` in units of phi, of one silo or of all together.
        std: std of their noise.
    """
    moved = x.copy()
    for number, histogram in zip(query.numbers, query.histograms(sums), strict=True):
        rows = _measured(number, x)
        if len(rows):
            values = x[rows, number.coordinate]
            moved[rows, number.coordinate] = _moved(values, number, histogram, query.noise(std))
    return moved


def _measured(number: Number, x: Rows) -> NDArray[np.int64]:
    """Return the rows in which the number is not missing, and is a number at all."""
    known = np.isfinite(x[:, number.coordinate])
    if number.indicator is not None:
        known &= x[:, number.indicator] <= 0.0
    return np.flatnonzero(known)


def _cells(number: Number, values: Array) -> NDArray[np.int64]:
    """Return the cell of each value: that of the nearest of the number's own."""
    borders = 0.5 * (number.values[1:] + number.values[:-1])
    return np.searchsorted(borders, values).astype(np.int64)


def _moved(values: Array, number: Number, histogram: Array, noise: float) -> Array:
    """Move values (n,) to the histogram by their ranks; those that stay in their cell stay put."""
    before = _cells(number, values)
    shares = _shares(np.bincount(before, minlength=len(histogram)) / len(values), histogram, noise)
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = (np.arange(len(values)) + 0.5) / len(values)
    after = np.searchsorted(np.cumsum(shares)[:-1], ranks)
    return np.where(after == before, values, number.values[after])


def _shares(own: Array, histogram: Array, noise: float) -> Array:
    """Return the shares of the cells: the samples' own, and what rises out of the noise.

    The difference of histogram and samples is soft-thresholded in Haar's basis (Donoho and
    Johnstone 1994): a long skew and a single round value both are few coefficients.
    """
    # Under much noise the total may be anything; a sum over all cells is known no better than so.
    total = max(float(histogram.sum()), noise * math.sqrt(len(histogram)), 1.0)
    basis = _haar(len(histogram))
    coefficients = basis @ (histogram - own * total)
    kept = np.sign(coefficients) * np.maximum(np.abs(coefficients) - THRESHOLD * noise, 0.0)
    shares = np.maximum(own * total + basis.T @ kept, 0.0)
    return shares / shares.sum() if shares.any() else own


def _haar(cells: int) -> Array:
    """Return the orthonormal Haar basis of 2^k >= cells, cut to the cells: (2^k, cells)."""
    basis = np.ones((1, 1))
    while len(basis) < cells:
        means, differences = np.kron(basis, [1.0, 1.0]), np.kron(np.eye(len(basis)), [1.0, -1.0])
        basis = np.concatenate([means, differences]) / math.sqrt(2.0)
    return basis[:, :cells]
