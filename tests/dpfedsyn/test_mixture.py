"""Mixtures per label: their denoiser and draws in closed form, and their fit to noisy cells."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import mixture
from dpfedsyn.base import AnalyticBase, Array
from dpfedsyn.clusters import Cells, Centres, ClusterQuery
from dpfedsyn.mixture import MixtureBase, clustered, first_centres, moved
from dpfedsyn.settings import BaseSettings

SEEDS = st.integers(0, 2**32 - 1)
CLASSES, DIMENSION, CELLS, AXES = 2, 3, 3, 2
SETTINGS = BaseSettings(shrinkage=0.5, label_prior=30.0, combine="sum", clusters=CELLS)


def positive(rng: np.random.Generator, *shape: int) -> Array:
    root = rng.uniform(-0.6, 0.6, (*shape, shape[-1]))
    found: Array = root @ np.swapaxes(root, -1, -2) + 0.05 * np.eye(shape[-1])
    return found


def whole(rng: np.random.Generator) -> AnalyticBase:
    values, vectors = np.linalg.eigh(positive(rng, CLASSES, DIMENSION))
    return AnalyticBase(rng.uniform(-1, 1, (CLASSES, DIMENSION)), values, vectors)


def base(rng: np.random.Generator) -> MixtureBase:
    weights = rng.dirichlet(np.ones(CELLS), CLASSES)
    centres = rng.uniform(-1.5, 1.5, (CLASSES, CELLS, AXES))
    return MixtureBase(whole(rng), weights, centres, positive(rng, CLASSES, CELLS, AXES))


def gaussians(fitted: MixtureBase, y: int) -> list[tuple[float, Array, Array]]:
    """The mixture written out in data space: (weight, mean, covariance) of each Gaussian."""
    vectors, values = fitted.whole.eigenvectors[y], fitted.whole.eigenvalues[y]
    found = []
    for weight, centre, own in zip(
        fitted.weights[y], fitted.centres[y], fitted.covariances[y], strict=True
    ):
        inner = np.diag(values)
        inner[-AXES:, -AXES:] = own
        mean = fitted.means[y] + vectors[:, -AXES:] @ centre
        found.append((float(weight), mean, vectors @ inner @ vectors.T))
    return found


@given(SEEDS, st.floats(0.02, 0.98))
def test_denoiser_is_the_mixtures_posterior_mean(seed: int, signal: float) -> None:
    """Against Gaussians written out in data space, weighted by their densities."""
    rng = np.random.default_rng(seed)
    fitted, labels = base(rng), np.array([0, 1, 1, 0])
    x = rng.standard_normal((4, DIMENSION))
    expected = []
    for row, y in zip(x, labels, strict=True):
        logs, guesses = [], []
        for weight, mean, own in gaussians(fitted, y):
            total = signal * own + (1.0 - signal) * np.eye(DIMENSION)
            rest = row - np.sqrt(signal) * mean
            solved = np.linalg.solve(total, rest)
            logs.append(np.log(weight) - 0.5 * (rest @ solved + np.linalg.slogdet(total)[1]))
            guesses.append(mean + np.sqrt(signal) * own @ solved)
        odds = np.exp(np.array(logs) - max(logs))
        expected.append(odds / odds.sum() @ np.stack(guesses))
    assert fitted.denoise(x, signal, labels) == pytest.approx(np.stack(expected), abs=1e-8)


@given(SEEDS)
def test_one_gaussian_at_the_mean_is_the_single_gaussian(seed: int) -> None:
    """With the label's own leading variances the mixture says what `AnalyticBase` says."""
    rng = np.random.default_rng(seed)
    single = whole(rng)
    own = np.stack([np.diag(values[-AXES:]) for values in single.eigenvalues])[:, None]
    one = MixtureBase(single, np.ones((CLASSES, 1)), np.zeros((CLASSES, 1, AXES)), own)
    x, labels = rng.standard_normal((5, DIMENSION)), rng.integers(0, CLASSES, 5)
    levels = rng.uniform(0.05, 0.95, (5, 1))
    expected = single.denoise(x, levels, labels)
    assert one.denoise(x, levels, labels) == pytest.approx(expected, abs=1e-10)


def test_rows_are_denoised_alike_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory bounds change no result, and levels go with their rows."""
    rng = np.random.default_rng(2)
    fitted, labels = base(rng), rng.integers(0, CLASSES, 11)
    x, levels = rng.standard_normal((11, DIMENSION)), rng.uniform(0.1, 0.9, (11, 1))
    together = fitted.denoise(x, levels, labels)
    monkeypatch.setattr(mixture, "ROWS_AT_ONCE", 2)
    assert fitted.denoise(x, levels, labels) == pytest.approx(together, abs=1e-12)


def test_draws_have_the_mixtures_moments() -> None:
    """Mean and covariance of 40,000 draws per label; 0.06 is over six standard errors of each
    entry (variances below 2: a false alarm in 1e8), and the other label's are refused."""
    rng = np.random.default_rng(7)
    fitted = base(rng)
    for y in range(CLASSES):
        draws = fitted.draw(np.full(40_000, y), rng)
        parts = gaussians(fitted, y)
        mean = sum(weight * m for weight, m, _ in parts)
        second = sum(weight * (own + np.outer(m, m)) for weight, m, own in parts)
        assert draws.mean(axis=0) == pytest.approx(mean, abs=0.06)
        expected = second - np.outer(mean, mean)
        assert np.cov(draws.T) == pytest.approx(expected, abs=0.06)
        assert draws.mean(axis=0) != pytest.approx(fitted.means[1 - y], abs=0.06)


def records(rng: np.random.Generator, fitted: MixtureBase, n: int) -> tuple[Array, np.ndarray]:
    labels = rng.integers(0, CLASSES, n)
    return fitted.draw(labels, rng), labels


def cells_of(x: Array, labels: np.ndarray, centres: Centres, std: float = 0.0) -> Cells:
    query = ClusterQuery(centres, 50.0, 0.05, 0.15)
    noise = std * np.random.default_rng(1).standard_normal(query.length)
    return query.unpack(query.sums(x, labels) + noise, std)


def test_without_noise_the_fit_comes_near_the_truth() -> None:
    """Weights, centres and covariances of three Gaussians apart, from 20,000 records about centres
    that are off by 0.3; a tenth is over five standard errors of all (below 1e-6)."""
    rng = np.random.default_rng(11)
    true = base(rng)
    single = whole(rng)
    apart = replace(
        true,
        whole=AnalyticBase(true.means, single.eigenvalues, single.eigenvectors),
        centres=np.array([[[-3.0, 0.0], [3.0, 0.0], [0.0, 3.0]]] * CLASSES),
        covariances=np.broadcast_to(0.1 * np.eye(2), (CLASSES, CELLS, 2, 2)).copy(),
    )
    x, labels = records(rng, apart, 20_000)
    centres = Centres(apart.means, apart.whole.eigenvectors[:, :, -AXES:], apart.centres + 0.3)
    fitted = clustered(apart.whole, centres, cells_of(x, labels, centres), SETTINGS)
    assert fitted.weights == pytest.approx(apart.weights, abs=0.02)
    assert fitted.centres == pytest.approx(apart.centres, abs=0.1)
    assert fitted.covariances == pytest.approx(apart.covariances, abs=0.1)
    assert fitted.centres != pytest.approx(apart.centres + 0.3, abs=0.1)


def test_all_noise_leaves_centres_where_they_were() -> None:
    """Cells whose counts drown are not moved, and the label keeps its own Gaussian."""
    rng = np.random.default_rng(12)
    single = whole(rng)
    centres = first_centres(single, CELLS, AXES, 1)
    nothing = cells_of(np.zeros((0, DIMENSION)), np.zeros(0, np.int64), centres, std=50.0)
    still = replace(nothing, counts=np.zeros_like(nothing.counts))
    assert (moved(centres, still).places == centres.places).all()
    fitted = clustered(single, centres, still, SETTINGS)
    for y in range(CLASSES):
        assert fitted.covariances[y, 0] == pytest.approx(np.diag(single.eigenvalues[y, -AXES:]))
    assert not fitted.centres.any()


@given(SEEDS, st.floats(0.0, 30.0))
def test_every_fit_is_a_mixture_of_positive_gaussians(seed: int, std: float) -> None:
    """Weights sum to 1, covariances have positive eigenvalues, whatever the noise."""
    rng = np.random.default_rng(seed)
    single = whole(rng)
    centres = first_centres(single, CELLS, AXES, 1)
    x, labels = single.draw(rng.integers(0, CLASSES, 60), rng), rng.integers(0, CLASSES, 60)
    fitted = clustered(single, centres, cells_of(x, labels, centres, std), SETTINGS)
    assert fitted.weights.sum(axis=1) == pytest.approx(np.ones(CLASSES))
    assert (fitted.weights >= 0.0).all()
    assert (np.linalg.eigvalsh(fitted.covariances) > 0.0).all()


def test_first_centres_follow_the_gaussian_alone() -> None:
    """Equal for equal Gaussians and seeds, wider for wider ones: no record takes part."""
    rng = np.random.default_rng(13)
    single = whole(rng)
    one, again = (first_centres(single, CELLS, AXES, 5) for _ in range(2))
    assert (one.places == again.places).all()
    wider = first_centres(replace(single, eigenvalues=4.0 * single.eigenvalues), CELLS, AXES, 5)
    assert wider.places == pytest.approx(2.0 * one.places)
    assert (first_centres(single, CELLS, AXES, 6).places != one.places).any()
