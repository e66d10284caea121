"""Private moments of one silo's records: Gaussian mechanisms over clipped sums.

They become the analytic base of a diffusion model, the silo's own or one of all silos. What is
noised is a sum of integers: every record's own vector is brought onto a lattice first;
`dpfedsyn.sums` adds the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn import svec
from dpfedsyn.clipping import clip_rows
from dpfedsyn.lattice import checked
from dpfedsyn.settings import BaseSettings
from dpfedsyn.units import Rows, Units, added, pieces, weighed

Array = NDArray[np.float64]
Points = NDArray[np.int64]
Noise = TypeVar("Noise", float, Array)  # of one number, or of each label's (classes,)

NUMBERS_AT_ONCE = 2**22  # of records' vectors: a few dozen megabytes


@dataclass(frozen=True)
class MomentQuery:
    """Clipped first and second moments of one silo's records, each vector of radius 1.

    In one query (`residual_radius` 0), phi(x, y) = (a_1 1_y (x) x / R, a_2 svec(x x^T) / R^2,
    a_3 1_y (x) svec(x x^T) / R^2) with a_1^2 + a_2^2 + a_3^2 = 1, svec the upper triangle and
    off-diagonals times sqrt 2, so that |svec(x x^T)| = |x|^2. In two, 1_y (x) x / R comes first,
    and the second moments are those of r = clip(x) - mean_y about the released noisy means, which
    are much shorter: r is clipped to a radius of its own. Before these two, a third one may find
    the mean of all records, the origin: then labels' sums are of clip(x) - origin, which are
    shorter than x, and clipped to a radius of their own too.
    """

    dimension: int
    classes: int
    radius: float  # R, public: records are clipped to it
    means_share: float  # a_1^2 (of mu^2 where there are two queries)
    residual_radius: float = 0.0  # public; 0: one query
    label_share: float = 0.0  # a_3^2 / (a_2^2 + a_3^2): second moments of single labels; 1: alone
    origin_radius: float = 0.0  # public; 0: labels' sums are about 0

    @property
    def label_length(self) -> int:
        """Numbers in `label_sums`."""
        return self.classes * self.dimension

    @property
    def length(self) -> int:
        """Numbers in `sums`."""
        labelled = self.classes if self.label_share > 0.0 else 0
        return self.cuts[1] + labelled * svec.length(self.dimension)

    @property
    def cuts(self) -> tuple[int, int]:
        """Where first moments end in `sums`, and products of all labels together."""
        first = 0 if self.residual_radius else self.label_length
        return first, first + self._shared * svec.length(self.dimension)

    def sensitivity(self, adjacency: Adjacency) -> float:
        """L2 sensitivity of a summed vector: its radius, twice that when a record is replaced."""
        return 2.0 if adjacency is Adjacency.REPLACE else 1.0

    @property
    def first_radius(self) -> float:
        """The radius of a record in `label_sums`."""
        return self.origin_radius or self.radius

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
            first = [self._first * own.ravel()]
        else:
            scaled = clip_rows(scaled - means[labels], self.residual_radius) / self.residual_radius
            first = []
        blocks, counted = [*first], weighed(scaled, units)
        if self._shared:
            blocks.append(self._second * svec.of_matrix(counted.T @ scaled))
        if self.label_share > 0.0:
            masks = (labels == y for y in range(self.classes))
            each = [svec.of_matrix(counted[own].T @ scaled[own]) for own in masks]
            blocks.append(self._third * np.concatenate(each))
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
            blocks = [self._first * scaled]
        else:
            scaled = clip_rows(scaled - means[labels], self.residual_radius) / self.residual_radius
            blocks = []
        first, products = sum(block.shape[1] for block in blocks), svec.of_products(scaled)
        if self._shared:
            blocks.append(self._second * products)
        if self.label_share > 0.0:
            blocks.append(self._third * products)
        points = checked(np.concatenate(blocks, axis=1), 1.0, spacing)
        cuts = (first, first + self._shared * products.shape[1])
        own, shared, labelled = np.split(points, cuts, axis=1)
        together = np.zeros_like(labels)
        parts = [
            added(own, labels, self.classes, units),
            added(shared, together, 1, units),
            added(labelled, labels, self.classes, units),
        ]
        return np.concatenate([part.ravel() for part in parts])

    def unpack(self, sums: Array) -> tuple[Array, Array]:
        """Return (sum of x per label (classes, d), sum of x x^T (d, d)), data units.

        Without a block of their own, the shared products are the labels' together.
        """
        first, shared = self.cuts
        means = sums[:first].reshape(-1, self.dimension) * self.radius / (self._first or 1.0)
        if not self._shared:
            own = self.unpack_labels(sums)
            assert own is not None
            return means, own.sum(axis=0)
        return means, self._matrices(sums[first:shared]) / self._second

    def unpack_labels(self, sums: Array) -> Array | None:
        """Return the sums of x x^T of every label (classes, d, d), data units; None without."""
        if self.label_share == 0.0:
            return None
        own = sums[self.cuts[1] :].reshape(self.classes, -1)
        return self._matrices(own) / self._third

    def mean_noise(self, std: Noise) -> Noise:
        """Noise std of one coordinate of a label's sum, data units, from the vector's noise std."""
        return std * (self.radius / self._first if self._first else self.first_radius)

    def product_noise(self, std: Noise) -> Noise:
        """Noise std of one off-diagonal entry of the sum of x x^T, data units.

        Without a block of its own: of one label's sum.
        """
        return std * self._square / (math.sqrt(2.0) * (self._second or self._third))

    def label_product_noise(self, std: Noise) -> Noise:
        """The same for the sum of one label's records."""
        return std * self._square / (math.sqrt(2.0) * self._third)

    def _scaled(self, x: Rows, origin: Array | None = None) -> Array:
        """Return records of norm at most 1: x / R, or x - origin over its own radius."""
        clipped = clip_rows(np.asarray(x, dtype=np.float64), self.radius)
        if origin is None:
            return clipped / self.radius
        return clip_rows(clipped - origin, self.origin_radius) / self.origin_radius

    @property
    def _shared(self) -> bool:
        """Whether second moments of all labels together are asked for beside single labels'."""
        return self.label_share < 1.0

    @property
    def _first(self) -> float:
        return 0.0 if self.residual_radius else math.sqrt(self.means_share)

    @property
    def _second(self) -> float:
        return math.sqrt((1.0 - self._first**2) * (1.0 - self.label_share))

    @property
    def _third(self) -> float:
        return math.sqrt((1.0 - self._first**2) * self.label_share)

    @property
    def _square(self) -> float:
        """The squared radius of the vectors whose products are summed."""
        return (self.residual_radius or self.radius) ** 2

    def _matrices(self, vectors: Array) -> Array:
        """Return the matrices (..., d, d) of svecs, in data units."""
        return svec.matrices(vectors, self.dimension) * self._square


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
