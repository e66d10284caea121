"""One analytic base per silo from the released statistics of all of them: partial pooling.

Where silos release their noisy sums, the server may look at all of them together; this is
post-processing and costs nothing. A silo's means are shrunk to what the others say, as far as the
silos differ (`dpfedsyn.effects`). Covariances within labels are pooled: noise moves them further
than silos differ in them. Where sums stay inside, a silo is pooled with itself alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.base import LEAST_VARIANCE, AnalyticBase, NoisyStatistics
from dpfedsyn.effects import predicted_means
from dpfedsyn.moments import MomentQuery
from dpfedsyn.settings import BaseSettings
from dpfedsyn.shrinkage import LEAST_OF_SPECTRUM, floored, of_cell, scaled, spectral

Array = NDArray[np.float64]

VARIANCE = (0.35, 0.1)
"""Public prior of a table's variance within labels, mean and standard deviation: a number spreads
over about a seventh of its public range, which the encoder maps to [-2, 2]."""

CORRELATION = 0.1
"""Public prior standard deviation of a table's correlations within labels.

Both were chosen on development splits of the embedded hospitals, which are public; on another table
(breast cancer, 16 numbers, four silos) they serve as well.
"""

ORIGIN_SPREAD = 4.0
"""Public prior standard deviation of the mean of all records, in `base.mean_spread`."""

FEWEST = 1e-3  # records of a label, where the counts have no noise


def pooled_origin(
    sums: Array, totals: Array, noise: Array, settings: BaseSettings, spectrum: Array | None
) -> Array:
    """Return the mean of all silos' records, shape (d,): about it vectors are shorter.

    Args:
        sums: (K, d) noisy sums of x. totals: (K,) noisy numbers of records. noise: (K,) std of one
            coordinate of `sums`. spectrum: public, as for `pool`.
    """
    total = max(float(totals.sum()), 1.0)
    spread = ORIGIN_SPREAD**2 * _spread(sums.shape[1], settings, spectrum)
    variance = float((noise**2).sum()) / total**2
    origin: Array = sums.sum(axis=0) / total * spread / (spread + variance)
    return origin


def pooled_means(
    statistics: Sequence[NoisyStatistics],
    query: MomentQuery,
    two_valued: Array,
    settings: BaseSettings,
    spectrum: Array | None,
) -> Array:
    """Return the means (K, classes, d) of all silos, after one query or the first of two.

    Args:
        two_valued, spectrum: public, as for `pool`.
    """
    counts = _counts(statistics)
    if query.residual_radius:
        flat = [s.label_sums for s in statistics if s.label_sums is not None]
        sums = np.stack(flat).reshape(*counts.shape, query.dimension) * query.first_radius
        stds = [s.label_sums_std for s in statistics]
    else:
        sums = np.stack([query.unpack(s.sums)[0] for s in statistics])
        stds = [s.of_products(query.classes) for s in statistics]
    noise = np.stack(
        [np.broadcast_to(query.mean_noise(np.asarray(std)), counts.shape[1:]) for std in stds]
    )
    errors = np.stack([np.broadcast_to(s.counts_std, counts.shape[1:]) for s in statistics])
    # A count that is wrong by its noise moves the mean by as large a share of the mean itself.
    means = predicted_means(
        sums / counts[..., None],
        (noise / counts) ** 2,
        1.0 / counts + (errors / counts) ** 2,
        _spread(query.dimension, settings, spectrum),
    )
    origin = statistics[0].origin
    return _inside(means if origin is None else origin + means, two_valued)


def pool(
    statistics: Sequence[NoisyStatistics],
    query: MomentQuery,
    two_valued: Array,
    settings: BaseSettings,
    spectrum: Array | None = None,
) -> tuple[AnalyticBase, ...]:
    """Return each silo's base, fitted to the statistics of all silos.

    Guarantee:
        A function of the released statistics and public settings alone: it costs nothing beside
        them, and reads no record.

    Args:
        statistics: of every silo, each with the noise that is in it; of one alone, its own fit.
            Where there are two queries, second moments must be about `pooled_means`.
        two_valued: (d, 2) the two values that a coordinate can take (public schema), NaN where it
            takes more; such a coordinate's variance follows from its mean.
        spectrum: (d,) public relative variances of an image's coordinates; None for tables.
    """
    means = pooled_means(statistics, query, two_valued, settings, spectrum)
    counts = _counts(statistics)
    totals = counts.sum(axis=1)
    taken = np.zeros((*counts.shape, query.dimension, query.dimension))
    if not query.residual_radius:
        taken = counts[..., None, None] * means[..., :, None] * means[..., None, :]
    products = np.stack([query.unpack(s.sums)[1] for s in statistics]) - taken.sum(axis=1)
    noise = np.array([query.product_noise(_shared_noise(s, query)) for s in statistics])
    within, error = _average(products, totals, noise)
    least = LEAST_VARIANCE
    if spectrum is None:
        covariances = _of_table(within, error, means, counts, two_valued, settings)
    else:
        prior = scaled(spectrum, within)
        least = max(least, LEAST_OF_SPECTRUM * float(prior.min()))
        covariances = np.broadcast_to(spectral(within, error, prior, settings), taken.shape)
    of_labels = [query.unpack_labels(s.sums) for s in statistics]
    own = np.stack([labelled for labelled in of_labels if labelled is not None] or [taken])
    if query.label_share > 0.0:
        stds = [s.of_products(query.classes) for s in statistics]
        noise = np.stack([query.label_product_noise(std) for std in stds])
        covariances = _labelled(own - taken, counts, noise, covariances, settings)
    values, vectors = np.linalg.eigh(covariances)
    values = np.maximum(values, least)
    return tuple(AnalyticBase(*silo) for silo in zip(means, values, vectors, strict=True))


def _counts(statistics: Sequence[NoisyStatistics]) -> Array:
    """Noisy counts (K, classes), none of them below its own noise."""
    return np.stack([np.maximum(s.counts, np.maximum(s.counts_std, FEWEST)) for s in statistics])


def _shared_noise(statistics: NoisyStatistics, query: MomentQuery) -> float:
    """Noise of all labels' second moments together: of their own block, or of the labels' sum."""
    if query.label_share < 1.0:
        return statistics.sums_std
    return float(np.linalg.norm(statistics.of_products(query.classes)))


def _inside(means: Array, two_valued: Array) -> Array:
    """Clip the means of two-valued coordinates to the range of their values."""
    low = np.where(np.isnan(two_valued[:, 0]), -np.inf, two_valued.min(axis=1))
    high = np.where(np.isnan(two_valued[:, 0]), np.inf, two_valued.max(axis=1))
    return np.clip(means, low, high)


def _spread(dimension: int, settings: BaseSettings, spectrum: Array | None) -> Array:
    """Public variances (d,) of a label's mean: of pictures they fall as the spectrum's square."""
    if spectrum is None:
        return np.full(dimension, settings.mean_spread**2)
    spread: Array = settings.mean_spread**2 * spectrum**2 / np.mean(spectrum**2)
    return spread


def _average(products: Array, counts: Array, noise: Array) -> tuple[Array, float]:
    """Return the mean of sums (K, d, d) over records, weighted by precision, and its noise std.

    Without noise all records count alike; under much, a silo counts by its number squared.
    """
    weights = 1.0 / ((noise / counts) ** 2 + VARIANCE[0] ** 2 / counts)
    weights /= weights.sum()
    average = np.einsum("k,kde->de", weights / counts, products)
    return average, float(np.sqrt(((weights * noise / counts) ** 2).sum()))


def _of_table(
    within: Array,
    noise: float,
    means: Array,
    counts: Array,
    two_valued: Array,
    settings: BaseSettings,
) -> Array:
    """Covariances (K, classes, d, d): one correlation matrix, variances that fit the means.

    Variances of numbers and all correlations are shrunk to their public priors.
    """
    low, high = two_valued[:, 0], two_valued[:, 1]
    prior, deviation = VARIANCE
    kept = deviation**2 / (deviation**2 + 2.0 * noise**2)
    estimated = np.clip(prior + (np.diag(within) - prior) * kept, 0.02, 2.0)
    floor, implied = 0.02 * (high - low) ** 2, (high - means) * (means - low)
    variances = np.where(np.isnan(low), estimated, np.maximum(implied, floor))
    common = np.einsum("kc,kcd->d", counts / counts.sum(), variances)
    scale = np.sqrt(np.outer(common, common))
    correlation = _correlation(within / scale, noise / scale, settings.floor)
    deviations = np.sqrt(variances)
    covariances: Array = correlation * deviations[..., :, None] * deviations[..., None, :]
    return covariances


def _correlation(raw: Array, noise: Array, floor: float) -> Array:
    """Correlations shrunk to 0 by their own noise, positive definite with unit diagonal."""
    shrunk = np.clip(raw * CORRELATION**2 / (CORRELATION**2 + noise**2), -0.95, 0.95)
    np.fill_diagonal(shrunk, 1.0)
    positive = floored(shrunk, floor)
    norm = np.sqrt(np.diag(positive))
    correlation: Array = positive / np.outer(norm, norm)
    return correlation


def _labelled(
    products: Array, counts: Array, noise: Array, covariances: Array, settings: BaseSettings
) -> Array:
    """Covariances (K, classes, d, d) that labels' own sums, pooled over the silos, draw away."""
    found = np.empty_like(covariances)
    for y, total in enumerate(counts.sum(axis=0)):
        average, error = _average(products[:, y], counts[:, y], noise[:, y])
        for i, shared in enumerate(covariances[:, y]):
            found[i, y] = of_cell(average * total, total, error * total, shared, settings)
    return found
