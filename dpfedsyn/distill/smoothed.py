"""A smoothed bootstrap: new rows near rows that are there, each label spread as it was.

x* = m + (x_i - m + h e) / sqrt(1 + h^2) with e ~ N(0, S), where m and S are mean and covariance of
the label of row i: means and covariances of labels stay as they are (Silverman 1986, section 6.4.1;
bandwidth h of section 4.3.2, which is best for Gaussian rows).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SmoothedRows:
    """A sampler that holds rows.

    Args:
        x: (n, d) encoded rows. y: (n,) their labels, from 0.
    """

    x: NDArray[np.float32]
    y: Labels

    def places(
        self, rows: int, rng: np.random.Generator, at_once: int
    ) -> Iterator[NDArray[np.int64]]:
        """Yield which row each of `rows` new ones is drawn near: each as often, but for one.

        Args:
            at_once: in one piece, at most.
        """
        left = np.zeros(0, dtype=np.int64)
        while rows > 0:
            wanted = min(rows, at_once)
            parts, there = [left], len(left)
            while there < wanted:
                parts.append(rng.permutation(len(self.y)))
                there += len(self.y)
            joined = np.concatenate(parts)
            yield joined[:wanted]
            left, rows = joined[wanted:], rows - wanted

    def draw(
        self, places: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], Labels]:
        """Return new rows near those at these places: x (N, d) and y (N,).

        Guarantee:
            A function of the rows that the sampler holds and of fresh draws: it reads nothing else.
        """
        labels = self.y[places]
        drawn = self.x[places].astype(np.float64)
        noise = rng.standard_normal(drawn.shape)
        for label, (mean, factor, width) in self._spread.items():
            own = labels == label
            moved = drawn[own] - mean + width * (noise[own] @ factor.T)
            drawn[own] = mean + moved / np.sqrt(1.0 + width**2)
        return drawn.astype(np.float32), labels

    @cached_property
    def _spread(self) -> dict[int, tuple[Array, Array, float]]:
        """Mean, a factor of the covariance, and bandwidth of each label that there is."""
        found = {}
        for label in np.unique(self.y).tolist():
            own = self.x[self.y == label].astype(np.float64)
            centred = own - own.mean(axis=0)
            values, vectors = np.linalg.eigh(centred.T @ centred / len(own))
            factor = vectors * np.sqrt(np.maximum(values, 0.0))
            found[label] = (own.mean(axis=0), factor, bandwidth(*own.shape))
        return found


def bandwidth(rows: int, dimension: int) -> float:
    """Return h = (4 / (n (d + 2)))^(1 / (d + 4)), in standard deviations of a label's rows."""
    return float((4.0 / (rows * (dimension + 2.0))) ** (1.0 / (dimension + 4.0)))
