"""The analytic base of a silo's diffusion model: one Gaussian per label, fitted to noisy sums.

Everything here is post-processing of noisy counts and noisy moments. For a Gaussian the optimal
denoiser is known, so a network only has to learn what the Gaussian leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.moments import MomentQuery
from dpfedsyn.settings import BaseSettings

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AnalyticBase:
    """N(mean_y, covariance) per label y, and its exact denoiser at every noise level."""

    means: Array  # (classes, d)
    eigenvalues: Array  # (d,)
    eigenvectors: Array  # (d, d), columns

    @property
    def covariance(self) -> Array:
        """The shared covariance, shape (d, d)."""
        return (self.eigenvectors * self.eigenvalues) @ self.eigenvectors.T

    def denoise(self, x: Array, signal: Array | float, labels: NDArray[np.int64]) -> Array:
        """Return E[x_0 | x_t = x, y], shape (N, d), for abar_t = signal (scalar or (N, 1)).

        x_t | y is N(sqrt(a) m_y, a S + (1 - a) I), so E[x_0 | x] = m + sqrt(a) S (a S + (1 - a)
        I)^-1 (x - sqrt(a) m), computed in the eigenbasis of S.
        """
        root = np.sqrt(signal)
        means = self.means[labels]
        gain = root * self.eigenvalues / (signal * self.eigenvalues + 1.0 - signal)
        centred = (x - root * means) @ self.eigenvectors
        denoised: Array = means + (gain * centred) @ self.eigenvectors.T
        return denoised


@dataclass(frozen=True)
class NoisyStatistics:
    """What the mechanisms returned, with the noise that is in it (public)."""

    counts: Array  # (classes,)
    counts_std: float
    sums: Array  # the joint moment vector
    sums_std: float


def fit(
    statistics: NoisyStatistics, query: MomentQuery, two_valued: Array, settings: BaseSettings
) -> AnalyticBase:
    """Fit the base to noisy statistics; every estimate shrinks as far as its own noise asks.

    Args:
        two_valued: (d, 2) the two values that a coordinate can take (public schema), NaN where it
            takes more; such a coordinate's variance follows from its mean.

    Means shrink to 0, the public centre, by a Gaussian prior of public width; correlations by
    1 - shrinkage * noise variance / estimate^2 (positive-part James-Stein); a label without
    records keeps the centre.
    """
    sums, products = query.unpack(statistics.sums)
    counts = np.maximum(statistics.counts, max(statistics.counts_std, 1.0))
    total = counts.sum()
    noise = query.mean_noise(statistics.sums_std) / counts
    # What is not noise is sampling error: a mean over few records is as uncertain as over noise.
    spread = settings.mean_spread**2
    weight = spread / (spread + noise**2 + spread / counts)
    means = (sums / counts[:, None]) * weight[:, None]
    means = _inside(means, two_valued)
    within = products / total - (means.T * (counts / total)) @ means
    variances = _variances(within, means, counts / total, two_valued, settings)
    product_noise = query.product_noise(statistics.sums_std) / total
    correlation = _correlation(within, variances, product_noise, settings)
    scale = np.sqrt(variances)
    covariance = correlation * np.outer(scale, scale)
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    return AnalyticBase(means, np.maximum(eigenvalues, 1e-4), eigenvectors)


def _inside(means: Array, two_valued: Array) -> Array:
    """Clip the means of two-valued coordinates to the range of their values."""
    low = np.where(np.isnan(two_valued[:, 0]), -np.inf, two_valued.min(axis=1))
    high = np.where(np.isnan(two_valued[:, 0]), np.inf, two_valued.max(axis=1))
    return np.clip(means, low, high)


def _variances(
    within: Array, means: Array, shares: Array, two_valued: Array, settings: BaseSettings
) -> Array:
    """Variance within labels: estimated, or implied by the mean of a two-valued coordinate."""
    low, high = two_valued[:, 0], two_valued[:, 1]
    implied = ((high - means) * (means - low) * shares[:, None]).sum(axis=0)
    known = ~np.isnan(low)
    range_floor = np.where(known, 0.02 * (high - low) ** 2, 0.02)
    estimated = np.where(known, implied, np.diag(within))
    return np.clip(estimated, range_floor, np.where(known, 0.25 * (high - low) ** 2, 2.0))


def _correlation(within: Array, variances: Array, noise: float, settings: BaseSettings) -> Array:
    """Correlations shrunk by their own noise, made positive definite with unit diagonal."""
    scale = np.sqrt(np.outer(variances, variances))
    raw = within / scale
    ratio = (noise / scale) ** 2 / np.maximum(raw**2, 1e-12)
    shrunk = np.clip(raw * np.maximum(0.0, 1.0 - settings.shrinkage * ratio), -0.95, 0.95)
    np.fill_diagonal(shrunk, 1.0)
    values, vectors = np.linalg.eigh(shrunk)
    positive = (vectors * np.maximum(values, settings.floor)) @ vectors.T
    norm = np.sqrt(np.diag(positive))
    correlation: Array = positive / np.outer(norm, norm)
    return correlation
