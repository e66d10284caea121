"""Private mixtures per label: counts, sums and products of the cells about public centres.

The Gaussian base of a label is released first. In its leading directions the server places centres;
every record then adds itself to the cell of its nearest centre (private k-means as in Su et al.
2016, "Differentially private k-means clustering", and products beside its counts and sums).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn import svec
from dpfedsyn.clipping import clip_rows
from dpfedsyn.lattice import checked
from dpfedsyn.moments import NUMBERS_AT_ONCE
from dpfedsyn.units import Rows, Units, added, pieces, weighed

Array = NDArray[np.float64]
Points = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Centres:
    """Public places: K centres for each label, in k directions about the label's mean."""

    means: Array  # (classes, d)
    axes: Array  # (classes, d, k), orthonormal columns
    places: Array  # (classes, K, k)

    def project(self, x: Array, labels: NDArray[np.int64]) -> Array:
        """Return records (n, d) in their label's directions, (n, k)."""
        projected = np.empty((len(x), self.axes.shape[2]))
        for y in np.unique(labels):
            own = labels == y
            projected[own] = _products(x[own] - self.means[y], self.axes[y])
        return projected

    def nearest(self, projected: Array, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return each row's cell, (n,)."""
        cells = np.zeros(len(projected), dtype=np.int64)
        for y in np.unique(labels):
            own, places = labels == y, self.places[y]
            lengths = np.einsum("nk,nk->n", places, places)
            cells[own] = (lengths - 2.0 * _products(projected[own], places.T)).argmin(axis=1)
        return cells


def _products(rows: Array, matrix: Array) -> Array:
    """Return rows @ matrix (n, d) (d, k), each row's bits the same whoever is beside it.

    BLAS adds in an order that depends on the number of rows: a record on the border of two cells
    could be moved by another's leaving, which no sensitivity of 1 covers.
    """
    total = np.zeros((len(rows), matrix.shape[1]))
    for column, weights in zip(rows.T, matrix, strict=True):
        total += column[:, None] * weights
    return total


@dataclass(frozen=True, eq=False)
class Cells:
    """Noisy counts, sums and products of residuals about the centres, and their noise per label.

    The noise of a label's numbers is the same in all of its cells; a label's entries may add up
    several silos' answers.
    """

    counts: Array  # (classes, K)
    sums: Array  # (classes, K, k), of residuals
    products: Array | None  # (classes, K, k, k); None where none were asked for
    count_noise: Array  # (classes,) standard deviations
    sum_noise: Array  # (classes,), of one coordinate
    product_noise: Array  # (classes,), of one entry off the diagonal


@dataclass(frozen=True, eq=False)
class ClusterQuery:
    """Statistics of the cells about public centres, each record's vector of radius 1.

    With r the record's residual about its nearest centre, clipped to R, and e its cell,

        phi(x, y) = e (x) (a_1, a_2 r / R, a_3 svec(r r^T) / R^2),  a_1^2 + a_2^2 + a_3^2 = 1.
    """

    about: Centres
    radius: float  # R, public
    count_share: float  # a_1^2
    sum_share: float  # a_2^2; what is left is a_3^2, 0 for a round that only moves the centres

    @property
    def length(self) -> int:
        """Numbers in the summed vector."""
        classes, cells, _ = self.about.places.shape
        return int(classes * cells) * self._width

    def sensitivity(self, adjacency: Adjacency) -> float:
        """L2 sensitivity of the summed vector: its radius, twice that where one is replaced."""
        return 2.0 if adjacency is Adjacency.REPLACE else 1.0

    def points(
        self, x: Rows, labels: NDArray[np.int64], spacing: float, units: Units | None = None
    ) -> Points:
        """Return the summed vector on a lattice, in whole numbers of its spacing.

        Guarantee:
            One record adds, to one cell, a vector whose norm times the spacing is at most 1,
            whatever it holds: its residual is clipped to R first. A unit of several adds the mean
            of such vectors. Centres must be released or public.
        """
        classes, cells, _ = self.about.places.shape
        total = np.zeros((classes * cells, self._width), dtype=np.int64)
        size = max(1, NUMBERS_AT_ONCE // (2 * self._width))
        for piece in pieces(len(x), size, units):
            own = labels[piece]
            cell, vectors = self._vectors(x[piece].astype(np.float64), own)
            points, whose = checked(vectors, 1.0, spacing), units and units.part(piece)
            total += added(points, own * cells + cell, len(total), whose)
        return total.ravel()

    def sums(self, x: Rows, labels: NDArray[np.int64], units: Units | None = None) -> Array:
        """Return the summed vector without a lattice: what `points` times the spacing rounds."""
        classes, cells, _ = self.about.places.shape
        total = np.zeros((classes * cells, self._width))
        cell, vectors = self._vectors(x.astype(np.float64), labels)
        np.add.at(total, labels * cells + cell, weighed(vectors, units))
        return total.ravel()

    def unpack(self, sums: Array, std: float | Array) -> Cells:
        """Return the cells in data units.

        Args:
            sums: the summed vector. std: its noise; one number, or one for each label (classes,).
        """
        classes, cells, k = self.about.places.shape
        table = sums.reshape(classes, cells, self._width)
        noise = np.broadcast_to(np.asarray(std, dtype=np.float64), (classes,))
        counts, summed, rest = np.split(table, (1, 1 + k), axis=2)
        products, product_noise = None, np.zeros(classes)
        if self._third:
            products = svec.matrices(rest * self.radius**2 / self._third, k)
            product_noise = noise * self.radius**2 / (self._third * math.sqrt(2.0))
        return Cells(
            counts[..., 0] / self._first,
            summed * self.radius / self._second,
            products,
            noise / self._first,
            noise * self.radius / self._second,
            product_noise,
        )

    def _vectors(self, x: Array, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
        """Return each record's cell and vector of norm <= 1."""
        with np.errstate(over="ignore", invalid="ignore"):  # huge and non-finite records
            projected = self.about.project(np.asarray(x, dtype=np.float64), labels)
            cell = self.about.nearest(projected, labels)
            residual = projected - self.about.places[labels, cell]
        scaled = clip_rows(residual, self.radius) / self.radius
        blocks = [np.full((len(x), 1), self._first), self._second * scaled]
        if self._third:
            blocks.append(self._third * svec.of_products(scaled))
        return cell, np.concatenate(blocks, axis=1)

    @property
    def _first(self) -> float:
        return math.sqrt(self.count_share)

    @property
    def _second(self) -> float:
        return math.sqrt(self.sum_share)

    @property
    def _third(self) -> float:
        return math.sqrt(max(0.0, 1.0 - self.count_share - self.sum_share))

    @property
    def _width(self) -> int:
        """Numbers of one cell."""
        k = int(self.about.places.shape[2])
        return 1 + k + (svec.length(k) if self._third else 0)
