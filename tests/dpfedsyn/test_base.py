"""The analytic base: its denoiser against brute force, and its fit to noisy statistics."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import base
from dpfedsyn.base import AnalyticBase, Array, NoisyStatistics
from dpfedsyn.moments import MomentQuery, label_counts
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


def statistics(
    x: Array, labels: np.ndarray, query: MomentQuery, std: float = 0.0
) -> NoisyStatistics:
    """What the mechanisms would return, exactly."""
    return NoisyStatistics(label_counts(labels, query.classes), 0.0, query.sums(x, labels), std)


def records(rows: int, seed: int = 1) -> tuple[Array, np.ndarray, Array, Array]:
    """Records of two Gaussians with one covariance: x, labels, true means and covariance."""
    rng = np.random.default_rng(seed)
    means = np.array([[0.5, -0.3, 0.0], [-0.4, 0.2, 0.8]])
    cov = np.array([[0.5, 0.2, 0.0], [0.2, 0.4, -0.1], [0.0, -0.1, 0.3]])
    labels = (rng.random(rows) < 0.3).astype(np.int64)
    x = means[labels] + rng.standard_normal((rows, 3)) @ np.linalg.cholesky(cov).T
    return x, labels, means, cov


def test_fit_without_noise_recovers_the_means_and_the_covariance_of_many_records() -> None:
    """200,000 records: means within .015, entries within .01, 5 standard errors of the noisiest.

    False alarm 6e-7 for each. The pooled instead of the within-label covariance is rejected.
    """
    x, labels, means, cov = records(200_000)
    query = MomentQuery(3, 2, 20.0, 0.3)
    fitted = base.fit(statistics(x, labels, query), query, np.full((3, 2), np.nan), SETTINGS)
    assert fitted.means == pytest.approx(means, abs=0.015)
    assert fitted.covariance == pytest.approx(cov, abs=0.01)
    assert np.cov(x.T) != pytest.approx(cov, abs=0.01)


def test_means_shrink_to_the_centre_as_far_as_their_noise_asks() -> None:
    """Weight s^2 / (s^2 + noise^2 + s^2 / n): exact, and nearly 0 where the noise drowns all."""
    x, labels, _, _ = records(500)
    query = MomentQuery(3, 2, 20.0, 0.3)
    sums, _ = query.unpack(query.sums(x, labels))
    counts = label_counts(labels, 2)
    for std in (0.0, 1.0, 1e4):
        noisy = statistics(x, labels, query, std)
        fitted = base.fit(noisy, query, np.full((3, 2), np.nan), SETTINGS)
        noise = std * 20.0 / np.sqrt(0.3) / counts
        s2 = SETTINGS.mean_spread**2
        weight = s2 / (s2 + noise**2 + s2 / counts)
        assert fitted.means == pytest.approx(sums / counts[:, None] * weight[:, None])
    assert np.abs(fitted.means).max() < 1e-3


def test_label_without_records_keeps_the_public_centre() -> None:
    """Its noisy count lies at the noise; its mean is shrunk to 0 by at least half."""
    x, _, _, _ = records(300)
    labels = np.zeros(300, dtype=np.int64)
    query = MomentQuery(3, 2, 20.0, 0.3)
    fitted = base.fit(statistics(x, labels, query), query, np.full((3, 2), np.nan), SETTINGS)
    assert fitted.means[1] == pytest.approx(np.zeros(3))


def test_correlations_shrink_to_zero_as_their_noise_grows() -> None:
    """Positive-part James-Stein: full at zero noise, exactly none under much."""
    x, labels, _, _ = records(2000)
    query, free = MomentQuery(3, 2, 20.0, 0.3), np.full((3, 2), np.nan)
    sizes = []
    for std in (0.0, 0.3, 100.0):
        fitted = base.fit(statistics(x, labels, query, std), query, free, SETTINGS)
        off = fitted.covariance - np.diag(np.diag(fitted.covariance))
        sizes.append(np.abs(off).sum())
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] == pytest.approx(0.0, abs=1e-9)


@given(st.floats(0.05, 0.95), SEEDS)
def test_variance_of_a_two_valued_coordinate_follows_from_its_mean(rate: float, seed: int) -> None:
    """(high - m)(m - low), averaged over the labels, whatever the second moments say."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((4000, 2)) < rate, 1.0, -1.0)
    labels = rng.integers(0, 2, 4000)
    query = MomentQuery(2, 2, 20.0, 0.3)
    noisy = statistics(x, labels, query)
    broken = NoisyStatistics(noisy.counts, 0.0, noisy.sums.copy(), 0.0)
    broken.sums[4:] += rng.normal(0.0, 3.0, 3)  # the second moments alone
    two_valued = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    shares = noisy.counts / noisy.counts.sum()
    for given_statistics in (noisy, broken):
        fitted = base.fit(given_statistics, query, two_valued, SETTINGS)
        implied = ((1.0 - fitted.means) * (fitted.means + 1.0) * shares[:, None]).sum(axis=0)
        expected = np.clip(implied, 0.02 * 4.0, 1.0)
        assert np.diag(fitted.covariance) == pytest.approx(expected)


@given(
    SEEDS,
    st.floats(0.0, 50.0),
    st.integers(1, 6),
    st.floats(0.0, 1.0),
    st.sampled_from([0.5, 20.0, 500.0]),
)
def test_covariance_is_positive_definite_whatever_the_noise(
    seed: int, std: float, d: int, binary: float, scale: float
) -> None:
    """Any statistics, however impossible: finite, symmetric, means of two values within them."""
    rng = np.random.default_rng(seed)
    query = MomentQuery(d, 3, 3.8, 0.3)
    size = 3 * d + d * (d + 1) // 2
    noisy = NoisyStatistics(
        rng.normal(0.0, scale, 3), 5.0 * rng.random(), rng.normal(0.0, scale, size), std
    )
    two = np.where(rng.random((d, 1)) < binary, np.array([[-1.0, 1.0]]), np.nan)
    fitted = base.fit(noisy, query, two, BaseSettings())
    assert np.isfinite(fitted.means).all()
    assert fitted.covariance == pytest.approx(fitted.covariance.T)
    assert np.linalg.eigvalsh(fitted.covariance).min() > 5e-5
    assert (fitted.eigenvalues >= 1e-4).all()
    known = ~np.isnan(two[:, 0])
    assert (np.abs(fitted.means[:, known]) <= 1.0).all()
    assert np.isfinite(fitted.denoise(rng.standard_normal((3, d)), 0.5, np.arange(3))).all()


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


def two_labels(count: int) -> tuple[Array, Array, Array]:
    """Records of two labels with means and covariances of their own."""
    rng = np.random.default_rng(5)
    covs = np.stack([np.diag([1.0, 0.2, 0.5]), np.diag([0.2, 0.8, 0.3])])
    means = np.array([[1.0, 0.0, -1.0], [-0.5, 0.5, 0.0]])
    labels = np.arange(count) % 2
    noise = rng.standard_normal((count, 3))
    return means[labels] + noise * np.sqrt(np.einsum("nii->ni", covs[labels])), labels, covs


def centred(
    x: Array,
    labels: Array,
    query: MomentQuery,
    std: float = 0.0,
    spectrum: Array | None = None,
) -> NoisyStatistics:
    """Statistics of two queries, second moments about the first one's means."""
    rng = np.random.default_rng(9)
    first = query.label_sums(x, labels)
    noisy = NoisyStatistics(
        label_counts(labels, 2), 0.0, np.zeros(0), std, first + std * rng.standard_normal(6), std
    )
    means = base.label_means(noisy, query, np.full((3, 2), np.nan), SETTINGS, spectrum)
    sums = query.sums(x, labels, means)
    return replace(noisy, sums=sums + std * rng.standard_normal(len(sums)))


def test_means_of_images_shrink_to_the_mean_of_all_labels_smooth_coordinates_least() -> None:
    """Closed form with a flat spectrum; with a falling one high frequencies keep less.

    Under much noise nothing of a label's own is left, and of the common mean as much as its smaller
    noise allows; the centre 0, which tables shrink to, is rejected.
    """
    x, labels, _ = two_labels(400)
    query, free = MomentQuery(3, 2, 20.0, 0.3, 15.0, 0.5), np.full((3, 2), np.nan)
    exact = centred(x, labels, query)
    assert exact.label_sums is not None
    raw = exact.label_sums.reshape(2, 3) * 20.0 / 200.0
    s2, common = SETTINGS.mean_spread**2, raw.mean(axis=0)
    for std in (0.0, 3.0):
        noisy = replace(exact, label_sums_std=std)
        noise = std * 20.0 / 200.0
        centre = common * s2 / (s2 + noise**2 / 2.0 + s2 / 400.0)
        expected = centre + (raw - centre) * s2 / (s2 + noise**2 + s2 / 200.0)
        found = base.label_means(noisy, query, free, SETTINGS, np.ones(3))
        assert found == pytest.approx(expected)
        tables = base.label_means(noisy, query, free, SETTINGS, None)
        assert tables == pytest.approx(raw * s2 / (s2 + noise**2 + s2 / 200.0))
        assert found != pytest.approx(tables)
    steep = base.label_means(noisy, query, free, SETTINGS, np.array([1.0, 0.5, 0.25]))
    kept = np.abs(steep[0] - steep[1]) / np.abs(raw[0] - raw[1])
    spread = s2 * np.array([1.0, 0.25, 0.0625]) / np.mean([1.0, 0.25, 0.0625])
    assert kept == pytest.approx(spread / (spread + noise**2 + spread / 200.0))


def test_each_label_s_covariance_is_recovered_from_exact_sums() -> None:
    """100,000 records: entries within .03; the shared covariance is rejected."""
    x, labels, covs = two_labels(100_000)
    query = MomentQuery(3, 2, 20.0, 0.3, 15.0, 0.5)
    settings = replace(SETTINGS, label_prior=1.0)
    for spectrum in (None, np.ones(3)):
        fitted = base.fit(
            centred(x, labels, query, 0.0, spectrum),
            query,
            np.full((3, 2), np.nan),
            settings,
            spectrum,
        )
        assert fitted.covariance == pytest.approx(covs, abs=0.03)
        assert covs.mean(axis=0) != pytest.approx(covs[0], abs=0.03)


def test_under_much_noise_an_image_s_covariance_is_the_public_spectrum() -> None:
    """No eigenvalue rises out of the noise: what is left is in proportion to the spectrum."""
    x, labels, _ = two_labels(400)
    query, spectrum = MomentQuery(3, 2, 20.0, 0.3, 15.0, 0.5), np.array([1.0, 0.5, 0.25])
    noisy = centred(x, labels, query, 0.3, spectrum)
    strict = replace(SETTINGS, shrinkage=10.0)
    fitted = base.fit(noisy, query, np.full((3, 2), np.nan), strict, spectrum)
    for found in fitted.covariance:
        assert found / found[0, 0] == pytest.approx(np.diag(spectrum), abs=1e-9)
