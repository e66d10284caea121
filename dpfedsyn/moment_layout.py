"""Where clipped first and second moments stand in one vector of sums, and what they mean.

A record's part of the vector has radius 1, so that one Gaussian mechanism covers all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import svec

Array = NDArray[np.float64]
Noise = TypeVar("Noise", float, Array)  # of one number, or of each label's (classes,)


@dataclass(frozen=True)
class MomentLayout:
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
        return first, first + self.shared * svec.length(self.dimension)

    @property
    def first_radius(self) -> float:
        """The radius of a record in `label_sums`."""
        return self.origin_radius or self.radius

    def unpack(self, sums: Array) -> tuple[Array, Array]:
        """Return (sum of x per label (classes, d), sum of x x^T (d, d)), data units.

        Without a block of their own, the shared products are the labels' together.
        """
        first, shared = self.cuts
        means = sums[:first].reshape(-1, self.dimension) * self.radius / (self.first or 1.0)
        if not self.shared:
            own = self.unpack_labels(sums)
            assert own is not None
            return means, own.sum(axis=0)
        return means, self._matrices(sums[first:shared]) / self.second

    def unpack_labels(self, sums: Array) -> Array | None:
        """Return the sums of x x^T of every label (classes, d, d), data units; None without."""
        if self.label_share == 0.0:
            return None
        own = sums[self.cuts[1] :].reshape(self.classes, -1)
        return self._matrices(own) / self.third

    def mean_noise(self, std: Noise) -> Noise:
        """Noise std of one coordinate of a label's sum, data units, from the vector's noise std."""
        return std * (self.radius / self.first if self.first else self.first_radius)

    def product_noise(self, std: Noise) -> Noise:
        """Noise std of one off-diagonal entry of the sum of x x^T, data units.

        Without a block of its own: of one label's sum.
        """
        return std * self._square / (math.sqrt(2.0) * (self.second or self.third))

    def label_product_noise(self, std: Noise) -> Noise:
        """The same for the sum of one label's records."""
        return std * self._square / (math.sqrt(2.0) * self.third)

    @property
    def shared(self) -> bool:
        """Whether second moments of all labels together are asked for beside single labels'."""
        return self.label_share < 1.0

    @property
    def first(self) -> float:
        """a_1, of first moments; 0 where they have a query of their own."""
        return 0.0 if self.residual_radius else math.sqrt(self.means_share)

    @property
    def second(self) -> float:
        """a_2, of products of all labels together."""
        return math.sqrt((1.0 - self.first**2) * (1.0 - self.label_share))

    @property
    def third(self) -> float:
        """a_3, of products label by label."""
        return math.sqrt((1.0 - self.first**2) * self.label_share)

    @property
    def _square(self) -> float:
        """The squared radius of the vectors whose products are summed."""
        return (self.residual_radius or self.radius) ** 2

    def _matrices(self, vectors: Array) -> Array:
        """Return the matrices (..., d, d) of svecs, in data units."""
        return svec.matrices(vectors, self.dimension) * self._square
