"""The Fréchet distance between two sets of features, each taken as a Gaussian.

|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^{1/2}) (Dowson & Landau 1982; Heusel et al. 2017,
equation 6). It is only comparable between sets that were mapped by one and the same feature map;
with Inception features it is called FID, and ours are not.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpfedsyn.errors import DataError


def frechet(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Return the squared Fréchet distance of the sets' means and covariances, >= 0.

    Both covariances divide by rows - 1. Small sets are overrated: a covariance of n rows has rank
    n - 1, so two sets of one law are not at distance 0. Compare sets of equal size only.

    Args:
        real, synthetic: (n, f) and (m, f) features; n, m >= 2.

    Raises:
        DataError: shapes do not fit, fewer than two rows, or a value that is not finite.
    """
    ours, theirs = (np.asarray(s, dtype=np.float64) for s in (real, synthetic))
    if any(s.ndim != 2 or len(s) < 2 or s.shape[1] != ours.shape[-1] for s in (ours, theirs)):
        raise DataError(
            f"real {ours.shape} and synthetic {theirs.shape} rows have no Fréchet distance; give "
            "(rows, f) each, with the same f and at least two rows"
        )
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise DataError("features hold NaN or infinity, so there is no distance; mend them")
    gap = float(((ours.mean(axis=0) - theirs.mean(axis=0)) ** 2).sum())
    first, second = (np.atleast_2d(np.cov(s, rowvar=False)) for s in (ours, theirs))
    spread = float(np.trace(first) + np.trace(second)) - 2.0 * trace_of_root(first, second)
    return max(gap + spread, 0.0)


def trace_of_root(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return tr((S1 S2)^{1/2}) of two covariances (f, f).

    S1 S2 has the eigenvalues of the symmetric S1^{1/2} S2 S1^{1/2}, which are real and not
    negative; a general matrix root of S1 S2 is neither where covariances are singular.
    """
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    product = root @ second @ root
    # Rounding leaves the product a little asymmetric, and its zeros a little negative.
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    return float(np.sqrt(np.maximum(eigenvalues, 0.0)).sum())
