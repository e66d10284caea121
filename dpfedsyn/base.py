"""The analytic base of a silo's diffusion model: one Gaussian per label.

For a Gaussian the optimal denoiser is known, so a network only has to learn what it leaves. What
the base is fitted to is post-processed noisy counts and moments (`dpfedsyn.pooling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_VARIANCE = 1e-4


class Base(Protocol):
    """A silo's diffusion model before it has a network: known in closed form at every noise."""

    @property
    def means(self) -> Array:
        """Means of the labels, (classes, d)."""
        ...

    def denoise(self, x: Array, signal: Array | float, labels: NDArray[np.int64]) -> Array:
        """Return E[x_0 | x_t = x, y], shape (N, d), for abar_t = signal (scalar or (N, 1))."""
        ...

    def draw(self, labels: NDArray[np.int64], rng: np.random.Generator) -> Array:
        """Return samples (N, d) of the labels (N,)."""
        ...


@dataclass(frozen=True)
class AnalyticBase:
    """N(mean_y, covariance) per label y, and its exact denoiser at every noise level.

    The covariance is shared, or every label has its own: eigenvalues (classes, d).
    """

    means: Array  # (classes, d)
    eigenvalues: Array  # (d,) or (classes, d)
    eigenvectors: Array  # (d, d), columns, or (classes, d, d)

    @property
    def covariance(self) -> Array:
        """The covariance: shared (d, d), or per label (classes, d, d)."""
        scaled = self.eigenvectors * self.eigenvalues[..., None, :]
        covariance: Array = scaled @ np.swapaxes(self.eigenvectors, -1, -2)
        return covariance

    def denoise(self, x: Array, signal: Array | float, labels: NDArray[np.int64]) -> Array:
        """Return E[x_0 | x_t = x, y], shape (N, d), for abar_t = signal (scalar or (N, 1)).

        x_t | y is N(sqrt(a) m_y, a S + (1 - a) I), so E[x_0 | x] = m + sqrt(a) S (a S + (1 - a)
        I)^-1 (x - sqrt(a) m), computed in the eigenbasis of S.
        """
        if self.eigenvalues.ndim == 1:
            return self._denoise(x, signal, self.means[labels], self.eigenvalues, self.eigenvectors)
        denoised, levels = np.empty_like(x), np.broadcast_to(signal, (len(x), 1))
        for y in np.unique(labels):
            own = labels == y
            denoised[own] = self._denoise(
                x[own], levels[own], self.means[y], self.eigenvalues[y], self.eigenvectors[y]
            )
        return denoised

    def draw(self, labels: NDArray[np.int64], rng: np.random.Generator) -> Array:
        """Return samples (N, d) of the labels' Gaussians (N,)."""
        x = rng.standard_normal((len(labels), self.means.shape[1]))
        shared = self.eigenvalues.ndim == 1
        for y in np.unique(labels):
            own = labels == y
            values = self.eigenvalues if shared else self.eigenvalues[y]
            vectors = self.eigenvectors if shared else self.eigenvectors[y]
            x[own] = self.means[y] + (x[own] * np.sqrt(values)) @ vectors.T
        return x

    @staticmethod
    def _denoise(
        x: Array, signal: Array | float, means: Array, values: Array, vectors: Array
    ) -> Array:
        root = np.sqrt(signal)
        gain = root * values / (signal * values + 1.0 - signal)
        centred = (x - root * means) @ vectors
        denoised: Array = means + (gain * centred) @ vectors.T
        return denoised


@dataclass(frozen=True)
class NoisyStatistics:
    """What the mechanisms returned, with the noise that is in it (public).

    Noise is one number, or one for each label (classes,) where several silos' answers were added
    up, each label's over those that have it.

    Attributes:
        sums: the vector of `MomentQuery.sums`. label_sums: of the first of two queries, or None.
        products_std: noise of the labels' own parts of `sums`; None: as of all others.
        origin: (d,) what `label_sums` are about, or None.
    """

    counts: Array  # (classes,)
    counts_std: float | Array
    sums: Array
    sums_std: float
    label_sums: Array | None = None
    label_sums_std: float | Array = 0.0
    products_std: Array | None = None
    origin: Array | None = None

    def of_products(self, classes: int) -> Array:
        """Return the noise of each label's own part of `sums`, (classes,)."""
        if self.products_std is None:
            return np.full(classes, self.sums_std)
        return self.products_std
