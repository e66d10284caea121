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

LEAST_VARIANCE = 1e-4


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

    Attributes:
        sums: the vector of `MomentQuery.sums`. label_sums: of the first of two queries, or None.
    """

    counts: Array  # (classes,)
    counts_std: float
    sums: Array
    sums_std: float
    label_sums: Array | None = None
    label_sums_std: float = 0.0


def fit(
    statistics: NoisyStatistics,
    query: MomentQuery,
    two_valued: Array,
    settings: BaseSettings,
    spectrum: Array | None = None,
) -> AnalyticBase:
    """Fit the base to noisy statistics; every estimate shrinks as far as its own noise asks.

    Args:
        two_valued: (d, 2) the two values that a coordinate can take (public schema), NaN where it
            takes more; such a coordinate's variance follows from its mean.
        spectrum: (d,) public relative variances of an image's coordinates; None for tables.

    Means shrink to 0, the public centre, by a Gaussian prior of public width; a label without
    records keeps the centre. Those of images shrink to the mean of all labels. For tables,
    correlations shrink by 1 - shrinkage * noise variance / estimate^2 (positive-part James-Stein).
    For images, the covariance's difference from the public spectrum loses in every eigenvalue what
    noise alone would reach there (soft threshold).
    """
    if query.residual_radius and statistics.label_sums is not None:
        means = label_means(statistics, query, two_valued, settings, spectrum)
        sums, products = means * _counts(statistics)[:, None], query.unpack(statistics.sums)[1]
        centred = True
    else:
        sums, products = query.unpack(statistics.sums)
        noise = query.mean_noise(statistics.sums_std)
        means = _means(sums, noise, _counts(statistics), two_valued, settings, spectrum)
        centred = False
    counts = _counts(statistics)
    total = counts.sum()
    within = products / total
    if not centred:
        within = within - (means.T * (counts / total)) @ means
    noise = query.product_noise(statistics.sums_std) / total
    if spectrum is None:
        variances = _variances(within, means, counts / total, two_valued, settings)
        scale = np.sqrt(variances)
        shared = _correlation(within, variances, noise, settings) * np.outer(scale, scale)
    else:
        shared = spectral(within, noise, spectrum, settings)
    own = query.unpack_labels(statistics.sums)
    if own is None:
        values, vectors = np.linalg.eigh(shared)
        return AnalyticBase(means, np.maximum(values, LEAST_VARIANCE), vectors)
    if not centred:
        own = own - counts[:, None, None] * means[:, :, None] * means[:, None, :]
    noise = query.label_product_noise(statistics.sums_std)
    covariances = np.stack(
        [of_label(s, n, noise, shared, settings) for s, n in zip(own, counts, strict=True)]
    )
    values, vectors = np.linalg.eigh(covariances)
    return AnalyticBase(means, np.maximum(values, LEAST_VARIANCE), vectors)


def label_means(
    statistics: NoisyStatistics,
    query: MomentQuery,
    two_valued: Array,
    settings: BaseSettings,
    spectrum: Array | None,
) -> Array:
    """Return the means (classes, d) of the first of two queries: post-processing of its noise."""
    assert statistics.label_sums is not None
    sums = statistics.label_sums.reshape(query.classes, query.dimension) * query.radius
    noise = query.mean_noise(statistics.label_sums_std)
    return _means(sums, noise, _counts(statistics), two_valued, settings, spectrum)


def _counts(statistics: NoisyStatistics) -> Array:
    """Noisy counts, none of them below their own noise or one record."""
    counts: Array = np.maximum(statistics.counts, max(statistics.counts_std, 1.0))
    return counts


def _means(
    sums: Array,
    noise: float,
    counts: Array,
    two_valued: Array,
    settings: BaseSettings,
    spectrum: Array | None,
) -> Array:
    """Means per label: of a table shrunk to 0, of images to the mean picture of all labels.

    That mean has far less noise than a label's own. Mean pictures are smoother than pictures: their
    public spread falls as the square of the spectrum, its mean square over all coordinates as set.
    """
    raw, noises = sums / counts[:, None], (noise / counts)[:, None]
    if spectrum is None:
        spread = np.full(sums.shape[1], settings.mean_spread**2)
        return inside(_shrunk(raw, noises, counts[:, None], spread), two_valued)
    spread = settings.mean_spread**2 * spectrum**2 / np.mean(spectrum**2)
    total = counts.sum()
    all_noise = noise * len(counts) ** 0.5 / total
    centre = _shrunk(sums.sum(axis=0) / total, all_noise, total, spread)
    return centre + _shrunk(raw - centre, noises, counts[:, None], spread)


def _shrunk(estimate: Array, noise: Array | float, count: Array | float, spread: Array) -> Array:
    """Shrink a mean of `count` records to 0 under a prior of variance `spread`."""
    # What is not noise is sampling error: a mean over few records is as uncertain as over noise.
    shrunk: Array = estimate * spread / (spread + noise**2 + spread / count)
    return shrunk


def spectral(within: Array, noise: float, spectrum: Array, settings: BaseSettings) -> Array:
    """Covariance of an image's coordinates: the public spectrum, and what rises out of the noise.

    The largest eigenvalue of a symmetric matrix of noise with off-diagonal std s is 2 s sqrt(d)
    (Wigner); eigenvalues of the difference lose `shrinkage` times that. The spectrum is scaled to
    the noisy trace, whose own noise is far smaller than the trace.
    """
    dimension = len(spectrum)
    prior = np.diag(spectrum * max(float(np.trace(within)), LEAST_VARIANCE * dimension))
    prior /= spectrum.sum()
    return prior + _threshold(within - prior, settings.shrinkage * 2.0 * noise * dimension**0.5)


def of_label(
    products: Array, count: float, noise: float, shared: Array, settings: BaseSettings
) -> Array:
    """Covariance of one label: the shared one counts for `label_prior` records of it."""
    weight = count / (count + settings.label_prior)
    difference = weight * (products / count - shared)
    excess = settings.shrinkage * 2.0 * weight * noise / count * len(shared) ** 0.5
    return shared + _threshold(difference, excess)


def _threshold(matrix: Array, excess: float) -> Array:
    """Bring every eigenvalue of a symmetric matrix nearer to 0 by `excess`, not beyond."""
    values, vectors = np.linalg.eigh(matrix)
    kept = np.sign(values) * np.maximum(np.abs(values) - excess, 0.0)
    thresholded: Array = (vectors * kept) @ vectors.T
    return thresholded


def inside(means: Array, two_valued: Array) -> Array:
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
