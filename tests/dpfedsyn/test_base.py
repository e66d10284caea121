"""The analytic base: its denoiser against brute force, and its fit to noisy statistics."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.base import AnalyticBase, Array
from dpfedsyn.settings import BaseSettings

SEEDS = st.integers(0, 2**32 - 1)
SETTINGS = BaseSettings(clip_radius=20.0, mean_spread=0.6, shrinkage=1.0, floor=0.05)


def gaussian_base(means: Array, covariance: Array) -> AnalyticBase:
    values, vectors = np.linalg.eigh(covariance)
    return AnalyticBase(means, values, vectors)


def covariance(rng: np.random.Generator, d: int) -> Array:
    root = rng.uniform(-0.5, 0.5, (d, d))
    return root @ root.T + 0.1 * np.eye(d)


def posterior_mean(mean: Array, cov: Array, x: Array, signal: float) -> Array:
    """E[x_0 | x_t = x] as a sum over a grid of x_0, nothing assumed beyond the two densities."""
    axis = np.linspace(-7.0, 7.0, 281)
    grid = np.stack(np.meshgrid(*[axis] * len(mean), indexing="ij"), axis=-1).reshape(-1, len(mean))
    centred = grid - mean
    log_prior = -0.5 * np.einsum("ni,ij,nj->n", centred, np.linalg.inv(cov), centred)
    log_noise = -0.5 * ((x - np.sqrt(signal) * grid) ** 2).sum(axis=1) / (1.0 - signal)
    logs = log_prior + log_noise
    w = np.exp(logs - logs.max())
    found: Array = w @ grid / w.sum()
    return found


@given(SEEDS, st.floats(0.02, 0.97), st.sampled_from([1, 2]))
def test_denoiser_is_the_posterior_mean_by_brute_force(seed: int, signal: float, d: int) -> None:
    """Sums over a grid in one and two dimensions, for two labels."""
    rng = np.random.default_rng(seed)
    means, cov = rng.uniform(-1.0, 1.0, (2, d)), covariance(rng, d)
    x, labels = rng.standard_normal((2, d)), np.array([0, 1])
    found = gaussian_base(means, cov).denoise(x, signal, labels)
    expected = [posterior_mean(means[y], cov, x[y], signal) for y in labels]
    assert found == pytest.approx(np.array(expected), abs=1e-4)


@given(SEEDS)
def test_denoiser_takes_one_level_or_one_per_row(seed: int) -> None:
    """abar as a scalar or (N, 1); at abar = 1 it returns x, as abar goes to 0 the label's mean."""
    rng = np.random.default_rng(seed)
    fitted = gaussian_base(rng.standard_normal((2, 3)), covariance(rng, 3))
    x, labels = rng.standard_normal((4, 3)), np.array([0, 1, 1, 0])
    levels = rng.uniform(0.01, 0.99, (4, 1))
    together = fitted.denoise(x, levels, labels)
    for row in range(4):
        one = slice(row, row + 1)
        alone = fitted.denoise(x[one], float(levels[row, 0]), labels[one])
        assert together[one] == pytest.approx(alone)
    assert fitted.denoise(x, 1.0, labels) == pytest.approx(x)
    assert fitted.denoise(x, 1e-14, labels) == pytest.approx(fitted.means[labels], abs=1e-5)


@given(SEEDS, st.floats(0.02, 0.97))
def test_a_covariance_per_label_denoises_each_label_by_its_own(seed: int, signal: float) -> None:
    """Rows of a label get what a base of that label's covariance alone gives them."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((2, 3))
    covariances = np.stack([covariance(rng, 3), covariance(rng, 3)])
    fitted = AnalyticBase(means, *np.linalg.eigh(covariances))
    assert fitted.covariance == pytest.approx(covariances)
    x, labels = rng.standard_normal((6, 3)), np.array([0, 1, 1, 0, 1, 0])
    found = fitted.denoise(x, signal, labels)
    for y in (0, 1):
        alone = gaussian_base(means, covariances[y]).denoise(x, signal, labels)
        assert found[labels == y] == pytest.approx(alone[labels == y])


@pytest.mark.parametrize("shared", [True, False])
def test_draws_have_the_labels_means_and_covariances(shared: bool) -> None:
    """40,000 draws per label, entries within 0.06: over six standard errors (below 1e-8)."""
    rng = np.random.default_rng(3)
    means, covariances = rng.uniform(-1, 1, (2, 3)), np.stack([covariance(rng, 3) for _ in "ab"])
    own = covariances[0] if shared else covariances
    fitted = AnalyticBase(means, *np.linalg.eigh(own))
    for y in range(2):
        draws = fitted.draw(np.full(40_000, y), rng)
        assert draws.mean(axis=0) == pytest.approx(means[y], abs=0.06)
        assert np.cov(draws.T) == pytest.approx(covariances[0 if shared else y], abs=0.06)
        assert draws.mean(axis=0) != pytest.approx(means[1 - y], abs=0.06)
