"""The analytic base with several Gaussians per label in its leading directions.

Post-processing of released statistics, like `dpfedsyn.base`; the exact denoiser of a mixture is
the Gaussians' own, weighted by what each makes of the noisy sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from dpfedsyn.base import AnalyticBase
from dpfedsyn.clusters import Cells, Centres
from dpfedsyn.settings import BaseSettings
from dpfedsyn.shrinkage import floored, of_cell, thresholded

Array = NDArray[np.float64]

DRAWS = 400  # of the Gaussian for each of its centres, where these are first placed
PLACED = 20  # steps of k-means on those draws
SEEN = 3.0  # noise standard deviations that the count of a cell must reach
LEAST = 0.1  # of the least leading eigenvalue: no cell is thinner
ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class MixtureBase:
    """Per label y: z = U_y^T (x - m_y); its last k coordinates are a mixture of K Gaussians.

    The others are N(0, eigenvalues), independent of them. U_y and the eigenvalues are those of
    `whole`, the label's single Gaussian.
    """

    whole: AnalyticBase  # with eigenvectors for every label
    weights: Array  # (classes, K), rows sum to 1
    centres: Array  # (classes, K, k)
    covariances: Array  # (classes, K, k, k)

    @property
    def means(self) -> Array:
        """Means of the labels, about which the centres lie: (classes, d)."""
        return self.whole.means

    def denoise(self, x: Array, signal: Array | float, labels: NDArray[np.int64]) -> Array:
        """Return E[x_0 | x_t = x, y], shape (N, d), for abar_t = signal (scalar or (N, 1)).

        Given its Gaussian, a sample is denoised as in `AnalyticBase.denoise`; the Gaussians count
        by their posterior probabilities given x_t.
        """
        denoised, levels = np.empty_like(x), np.broadcast_to(signal, (len(x), 1))
        for y in np.unique(labels):
            for rows in _pieces(np.flatnonzero(labels == y)):
                denoised[rows] = self._of_label(int(y), x[rows], levels[rows])
        return denoised

    def draw(self, labels: NDArray[np.int64], rng: np.random.Generator) -> Array:
        """Return samples (N, d) of the labels (N,)."""
        x, top = np.empty((len(labels), self.means.shape[1])), self.centres.shape[2]
        for y in np.unique(labels):
            own = np.flatnonzero(labels == y)
            z = rng.standard_normal((len(own), x.shape[1]))
            z[:, :-top] *= np.sqrt(self.whole.eigenvalues[y, :-top])
            cells = rng.choice(len(self.weights[y]), len(own), p=self.weights[y])
            values, vectors = self._spectra
            leading = z[:, -top:] * np.sqrt(values[y, cells])
            turned = np.einsum("nij,nj->ni", vectors[y, cells], leading)
            z[:, -top:] = self.centres[y, cells] + turned
            x[own] = self.means[y] + z @ self.whole.eigenvectors[y].T
        return x

    def _of_label(self, y: int, x: Array, signal: Array) -> Array:
        top, root = self.centres.shape[2], np.sqrt(signal)
        z = (x - root * self.means[y]) @ self.whole.eigenvectors[y]
        values = self.whole.eigenvalues[y, :-top]
        z[:, :-top] *= root * values / (signal * values + 1.0 - signal)
        leading, likelihoods, guesses = z[:, -top:], [], []
        for k in np.flatnonzero(self.weights[y] > 0.0):
            own, vectors = self._spectra[0][y, k], self._spectra[1][y, k]
            spread = signal * own + 1.0 - signal
            turned = (leading - root * self.centres[y, k]) @ vectors
            likelihoods.append(
                np.log(self.weights[y, k]) - 0.5 * (turned**2 / spread + np.log(spread)).sum(axis=1)
            )
            guesses.append(self.centres[y, k] + (root * own / spread * turned) @ vectors.T)
        odds = np.stack(likelihoods)
        shares = np.exp(odds - odds.max(axis=0))
        z[:, -top:] = np.einsum("kn,knd->nd", shares / shares.sum(axis=0), np.stack(guesses))
        denoised: Array = self.means[y] + z @ self.whole.eigenvectors[y].T
        return denoised

    @cached_property
    def _spectra(self) -> tuple[Array, Array]:
        """Eigenvalues (classes, K, k) and eigenvectors (classes, K, k, k) of the Gaussians."""
        values, vectors = np.linalg.eigh(self.covariances)
        return np.maximum(values, 0.0), vectors


def first_centres(whole: AnalyticBase, clusters: int, axes: int, seed: int) -> Centres:
    """Place centres by k-means on draws of each label's Gaussian; no record is looked at."""
    rng = np.random.default_rng(seed)
    places = np.empty((len(whole.means), clusters, axes))
    for y, values in enumerate(whole.eigenvalues):
        draws = rng.standard_normal((DRAWS * clusters, axes)) * np.sqrt(values[-axes:])
        places[y], _ = kmeans2(draws, draws[:clusters], iter=PLACED, minit="matrix")
    return Centres(whole.means, whole.eigenvectors[:, :, -axes:], places)


def moved(centres: Centres, cells: Cells) -> Centres:
    """Move every centre to its cell's noisy mean, as far as that rises out of its noise.

    Positive-part James-Stein towards where the centre was; cells that may be empty stay.
    """
    return Centres(centres.means, centres.axes, centres.places + _steps(cells))


def clustered(
    whole: AnalyticBase, centres: Centres, cells: Cells, settings: BaseSettings
) -> MixtureBase:
    """Return the mixture of a last round, whose cells have products.

    A label's covariance within cells is estimated from all of its cells, and each cell's own
    shrinks to it as labels' covariances shrink to the shared one.
    """
    assert cells.products is not None
    steps, top = _steps(cells), centres.places.shape[2]
    counts = np.where(_seen(cells), cells.counts, 0.0)
    products = cells.products - counts[..., None, None] * steps[..., :, None] * steps[..., None, :]
    places, weights = centres.places + steps, np.empty_like(counts)
    covariances = np.empty_like(products)
    for y, own in enumerate(counts):
        leading = whole.eigenvalues[y, -top:]
        if not own.any():
            weights[y], covariances[y], places[y] = 1.0 / len(own), np.diag(leading), 0.0
            continue
        weights[y] = own / own.sum()
        noise, floor = cells.product_noise[y], LEAST * leading.min()
        within = _within(leading, places[y], weights[y], floor)
        seen = own > 0.0
        mean = products[y, seen].sum(axis=0) / own.sum()
        edge = 2.0 * noise * (seen.sum() * top) ** 0.5 / own.sum()
        within = floored(within + thresholded(mean - within, settings.shrinkage * edge), floor)
        for k, count in enumerate(own):
            shared = count == 0.0
            covariances[y, k] = (
                within
                if shared
                else floored(of_cell(products[y, k], count, noise, within, settings), floor)
            )
    return MixtureBase(whole, weights, places, covariances)


def _within(leading: Array, places: Array, weights: Array, floor: float) -> Array:
    """What the label's own variances leave within cells, once the centres' spread is taken off."""
    spread = places - weights @ places
    return floored(np.diag(leading) - (weights[:, None] * spread).T @ spread, floor)


def _seen(cells: Cells) -> NDArray[np.bool_]:
    """Which cells hold more records than noise explains: (classes, K)."""
    return cells.counts > np.maximum(SEEN * cells.count_noise, 1.0)[:, None]


def _steps(cells: Cells) -> Array:
    """How far each centre moves, (classes, K, k)."""
    counts = np.maximum(cells.counts, 1.0)[..., None]
    raw = cells.sums / counts
    length = np.einsum("ykd,ykd->yk", raw, raw)
    noise = (cells.sum_noise[:, None] / counts[..., 0]) ** 2 * cells.sums.shape[2]
    kept = np.maximum(0.0, 1.0 - noise / np.maximum(length, 1e-12))
    return raw * np.where(_seen(cells), kept, 0.0)[..., None]


def _pieces(rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))
