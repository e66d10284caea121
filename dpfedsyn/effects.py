"""Means of several silos and labels, each shrunk to what all of them say: random effects.

In every coordinate, in units of its public spread,

    mean_iy = centre + silo_i + label_y + own_iy,

four independent Gaussians about 0 (a mixed model with two crossed factors; Searle, Casella and
McCulloch 1992). The best predictor of one mean then takes something from every noisy estimate, and
from the others the more, the noisier its own is. How large the effects are is read from the
estimates: the predictors of a public grid of standard deviations are averaged by their marginal
likelihoods, coordinate by coordinate.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CENTRE = 1.0  # standard deviations, in spreads
SILO = (0.05, 0.3, 1.0)
LABEL = (0.25, 0.7, 2.0)
OWN = (0.05, 0.25)


def predicted_means(
    estimates: Array, noise_variance: Array, sampling_variance: Array, spread: Array
) -> Array:
    """Return the posterior means of mean_iy, shape (K, classes, d).

    Args:
        estimates: (K, classes, d) noisy means. noise_variance: (K, classes) of their noise.
        sampling_variance: (K, classes) of what else is uncertain in them, in units of `spread`.
        spread: (d,) public variances.
    """
    silos, classes, dimension = estimates.shape
    flat = (estimates / np.sqrt(spread)).reshape(-1, dimension)
    noise = noise_variance.ravel()
    logs, predictions = [], []
    for silo, label, own in product(SILO, LABEL, OWN):
        prior = _prior(silos, classes, silo, label, own)
        log, predicted = _predicted(flat, noise, prior, sampling_variance.ravel(), spread)
        logs.append(log)
        predictions.append(predicted)
    likelihoods = np.exp(np.stack(logs) - np.max(logs, axis=0))
    shares = likelihoods / likelihoods.sum(axis=0)
    averaged = np.einsum("hd,hnd->nd", shares, np.stack(predictions)) * np.sqrt(spread)
    means: Array = averaged.reshape(silos, classes, dimension)
    return means


def _prior(silos: int, classes: int, silo: float, label: float, own: float) -> Array:
    """Covariance of all means, (K classes, K classes), silo by silo."""
    centre = np.full((silos * classes, silos * classes), CENTRE**2)
    of_silo = np.kron(np.eye(silos), np.ones((classes, classes)))
    of_label = np.kron(np.ones((silos, silos)), np.eye(classes))
    prior: Array = (
        centre + silo**2 * of_silo + label**2 * of_label + own**2 * np.eye(silos * classes)
    )
    return prior


def _predicted(
    flat: Array, noise: Array, prior: Array, sampling: Array, spread: Array
) -> tuple[Array, Array]:
    """Return log marginal likelihoods (d,) up to a constant, and posterior means.

    An estimate's covariance is A + diag(noise) / spread, A = prior + diag(sampling) = L L^T. One
    eigenvalue problem of L^-1 diag(noise) L^-T serves every coordinate, whatever its spread.
    """
    root = np.linalg.cholesky(prior + np.diag(sampling))
    inverse = np.linalg.inv(root)
    values, vectors = np.linalg.eigh((inverse * noise) @ inverse.T)
    rotation = vectors.T @ inverse
    variances = 1.0 + np.maximum(values, 0.0)[:, None] / spread
    rotated = rotation @ flat
    log = -0.5 * (rotated**2 / variances + np.log(variances)).sum(axis=0)
    return log - np.log(np.diag(root)).sum(), prior @ rotation.T @ (rotated / variances)
