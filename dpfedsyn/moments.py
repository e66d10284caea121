"""Private moments of one silo's records: Gaussian mechanisms over clipped sums.

They become the analytic base of a diffusion model, the silo's own or one of all silos. What is
noised is a sum of integers: every record's own vector is brought onto a lattice first;
`dpfedsyn.sums` adds the noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn import svec
from dpfedsyn.clipping import clip_rows
from dpfedsyn.lattice import checked
from dpfedsyn.moment_layout import MomentLayout
from dpfedsyn.settings import BaseSettings
from dpfedsyn.units import Rows, Units, added, pieces, weighed

Array = NDArray[np.float64]
Points = NDArray[np.int64]

NUMBERS_AT_ONCE = 2**22  # of records' vectors: a few dozen megabytes


class MomentQuery(MomentLayout):
    """Sums over one silo's records of the vectors that the layout describes, each of radius 1."""

    def sensitivity(self, adjacency: Adjacency) -> float:
        """L2 sensitivity of a summed vector: its radius, twice that when a record is replaced."""
        return 2.0 if adjacency is Adjacency.REPLACE else 1.0

    def origin_sums(self, x: Rows, units: Units | None = None) -> Array:
        """Return sum x / R over all records, shape (d,).

        Guarantee:
            One record adds a vector of norm at most 1, whatever it holds: it is clipped to R first.
        """
        total: Array = weighed(self._scaled(x), units).sum(axis=0)
        return total

    def label_sums(
        self,
        x: Rows,
        labels: NDArray[np.int64],
        origin: Array | None = None,
        units: Units | None = None,
    ) -> Array:
        """Return sum x / R per label, shape (classes * d,): the first of two queries.

        Args:
            origin: (d,) released; where there is one, the sum of x - origin over its own radius.

        Guarantee:
            One record adds a vector of norm at most 1, whatever it holds: it is clipped to R (and
            its distance from the origin to `origin_radius`) first. The origin must be released or
            public.
        """
        return _by_label(weighed(self._scaled(x, origin), units), labels, self.classes).ravel()

    def sums(
        self,
        x: Rows,
        labels: NDArray[np.int64],
        means: Array | None = None,
        units: Units | None = None,
    ) -> Array:
        """Return the summed vector: of one query, or with `means` (classes, d) of the second.

        Guarantee:
            One record adds a vector of norm at most 1, whatever it holds: it is clipped to R (and
            its residual to `residual_radius`) first. Means must be released or public.
        """
        scaled = clip_rows(np.asarray(x, dtype=np.float64), self.radius)
        if means is None:
            scaled = scaled / self.radius
            own = _by_label(weighed(scaled, units), labels, self.classes)
            first = [self.first * own.ravel()]
        else:
            scaled = clip_rows(scaled - means[labels], self.residual_radius) / self.residual_radius
            first = []
        blocks, counted = [*first], weighed(scaled, units)
        if self.shared:
            blocks.append(self.second * svec.of_matrix(counted.T @ scaled))
        if self.label_share > 0.0:
            masks = (labels == y for y in range(self.classes))
            each = [svec.of_matrix(counted[own].T @ scaled[own]) for own in masks]
            blocks.append(self.third * np.concatenate(each))
        return np.concatenate(blocks)

    def origin_points(self, x: Rows, spacing: float, units: Units | None = None) -> Points:
        """Return `origin_sums` on the lattice: whole numbers of its spacing.

        Guarantee:
            One record adds a vector whose norm, times the spacing, is at most 1, and so does a unit
            of several; the sum over units is one of integers, hence exact.
        """
        together = np.zeros(len(x), dtype=np.int64)
        return self._first_points(x, together, 1, spacing, None, units)

    def label_points(
        self,
        x: Rows,
        labels: NDArray[np.int64],
        spacing: float,
        origin: Array | None = None,
        units: Units | None = None,
    ) -> Points:
        """Return `label_sums` on the lattice: whole numbers of its spacing.

        Guarantee:
            One record adds a vector whose norm, times the spacing, is at most 1, and so does a unit
            of several; the sum over units is one of integers, hence exact.
        """
        return self._first_points(x, labels, self.classes, spacing, origin, units)

    def _first_points(
        self,
        x: Rows,
        places: NDArray[np.int64],
        length: int,
        spacing: float,
        origin: Array | None,
        units: Units | None,
    ) -> Points:
        """Sum scaled records on the lattice at their places (n,), a piece of them at a time."""
        total = np.zeros((length, self.dimension), dtype=np.int64)
        for piece in pieces(len(x), max(1, NUMBERS_AT_ONCE // self.dimension), units):
            points = checked(self._scaled(x[piece], origin), 1.0, spacing)
            total += added(points, places[piece], length, units and units.part(piece))
        return total.ravel()

    def points(
        self,
        x: Rows,
        labels: NDArray[np.int64],
        spacing: float,
        means: Array | None = None,
        units: Units | None = None,
    ) -> Points:
        """Return `sums` on the lattice: whole numbers of its spacing.

        Guarantee:
            One record adds a vector whose norm, times the spacing, is at most 1, its own part of
            every block together, and so does a unit of several; the sum over units is one of
            integers, hence exact.
        """
        total = np.zeros(self.length, dtype=np.int64)
        size = max(1, NUMBERS_AT_ONCE // (self.dimension + 2 * svec.length(self.dimension)))
        for piece in pieces(len(x), size, units):
            own = units and units.part(piece)
            total += self._piece(x[piece], labels[piece], spacing, means, own)
        return total

    def _piece(
        self,
        x: Rows,
        labels: NDArray[np.int64],
        spacing: float,
        means: Array | None,
        units: Units | None,
    ) -> Points:
        """Sum some records' vectors, each (first moments, second moments, again of its label)."""
        scaled = clip_rows(np.asarray(x, dtype=np.float64), self.radius)
        if means is None:
            scaled = scaled / self.radius
            blocks = [self.first * scaled]
        else:
            scaled = clip_rows(scaled - means[labels], self.residual_radius) / self.residual_radius
            blocks = []
        first, products = sum(block.shape[1] for block in blocks), svec.of_products(scaled)
        if self.shared:
            blocks.append(self.second * products)
        if self.label_share > 0.0:
            blocks.append(self.third * products)
        points = checked(np.concatenate(blocks, axis=1), 1.0, spacing)
        cuts = (first, first + self.shared * products.shape[1])
        own, shared, labelled = np.split(points, cuts, axis=1)
        together = np.zeros_like(labels)
        parts = [
            added(own, labels, self.classes, units),
            added(shared, together, 1, units),
            added(labelled, labels, self.classes, units),
        ]
        return np.concatenate([part.ravel() for part in parts])

    def _scaled(self, x: Rows, origin: Array | None = None) -> Array:
        """Return records of norm at most 1: x / R, or x - origin over its own radius."""
        clipped = clip_rows(np.asarray(x, dtype=np.float64), self.radius)
        if origin is None:
            return clipped / self.radius
        return clip_rows(clipped - origin, self.origin_radius) / self.origin_radius


def query_of(dimension: int, classes: int, base: BaseSettings) -> MomentQuery:
    """Return the moment mechanism that the settings ask for."""
    return MomentQuery(
        dimension,
        classes,
        base.clip_radius,
        base.means_share,
        base.residual_radius,
        base.label_share,
        base.origin_radius if base.origin_share else 0.0,
    )


def _by_label(rows: Array, labels: NDArray[np.int64], classes: int) -> Array:
    """Sum rows (n, d) per label: (classes, d)."""
    sums = np.zeros((classes, rows.shape[1]))
    np.add.at(sums, labels, rows)
    return sums
