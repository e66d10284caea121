"""A smoothed bootstrap: new rows near rows that are there, each label spread as it was.

x* = m + (x_i - m + h e) / sqrt(1 + h^2) with e ~ N(0, S), where m and S are mean and covariance of
the label of row i: means and covariances of labels stay as they are (Silverman 1986, section 6.4.1;
bandwidth h of section 4.3.2, which is best for Gaussian rows).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import RunError

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

    def places(self, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return which row each of `rows` new ones is drawn near: each as often, but for one."""
        whole, rest = divmod(rows, len(self.y))
        rounds = [rng.permutation(len(self.y)) for _ in range(whole + (rest > 0))]
        return np.concatenate(rounds)[:rows].astype(np.int64)

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

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the sampler as named arrays."""
        return {"x": self.x, "y": self.y}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]], dimension: int) -> SmoothedRows:
        """Return the sampler of named arrays.

        Raises:
            RunError: they are none, or of rows with another number of coordinates.
        """
        x, y = arrays.get("x", np.zeros(0)), arrays.get("y", np.zeros(0))
        if x.ndim != 2 or x.shape[1] != dimension or y.shape != x.shape[:1] or not len(y):
            raise RunError(
                f"the kept sampler has x of shape {x.shape} and y of shape {y.shape}, where "
                f"(n, {dimension}) and (n,) are wanted; nothing was drawn. Remove its files: it is "
                "made again from the run's rows."
            )
        return SmoothedRows(x.astype(np.float32), y.astype(np.int64))


def bandwidth(rows: int, dimension: int) -> float:
    """Return h = (4 / (n (d + 2)))^(1 / (d + 4)), in standard deviations of a label's rows."""
    return float((4.0 / (rows * (dimension + 2.0))) ** (1.0 / (dimension + 4.0)))
