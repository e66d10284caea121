"""Covariances from noisy sums of products: shrunk as far as their own noise asks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.base import LEAST_VARIANCE
from dpfedsyn.settings import BaseSettings

Array = NDArray[np.float64]

LEAST_OF_SPECTRUM = 0.2  # of an image's least public variance: no direction has less


def scaled(spectrum: Array, within: Array) -> Array:
    """Return the public spectrum at the noisy trace, whose own noise is far smaller than it."""
    trace = max(float(np.trace(within)), LEAST_VARIANCE * len(spectrum))
    found: Array = spectrum * (trace / spectrum.sum())
    return found


def spectral(within: Array, noise: float, prior: Array, settings: BaseSettings) -> Array:
    """Covariance of an image's coordinates: the public spectrum, and what rises out of the noise.

    The largest eigenvalue of a symmetric matrix of noise with off-diagonal std s is 2 s sqrt(d)
    (Wigner); eigenvalues of the difference lose `shrinkage` times that.
    """
    edge = 2.0 * noise * len(prior) ** 0.5
    return np.diag(prior) + thresholded(within - np.diag(prior), settings.shrinkage * edge)


def of_cell(
    products: Array, count: float, noise: float, shared: Array, settings: BaseSettings
) -> Array:
    """Covariance of one label (or cell): the shared one counts for `label_prior` records of it."""
    weight = count / (count + settings.label_prior)
    difference = weight * (products / count - shared)
    excess = settings.shrinkage * 2.0 * weight * noise / count * len(shared) ** 0.5
    return shared + thresholded(difference, excess)


def floored(matrix: Array, floor: float) -> Array:
    """Raise every eigenvalue of a symmetric matrix to `floor` at least."""
    values, vectors = np.linalg.eigh(matrix)
    raised: Array = (vectors * np.maximum(values, floor)) @ vectors.T
    return raised


def thresholded(matrix: Array, excess: float) -> Array:
    """Bring every eigenvalue of a symmetric matrix nearer to 0 by `excess`, not beyond."""
    values, vectors = np.linalg.eigh(matrix)
    kept = np.sign(values) * np.maximum(np.abs(values) - excess, 0.0)
    thresholded: Array = (vectors * kept) @ vectors.T
    return thresholded
