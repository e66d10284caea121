"""Bases from the statistics of all silos: their limits, and what silos learn from one another."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpfedsyn import base, pooling
from dpfedsyn.base import AnalyticBase, Array, NoisyStatistics
from dpfedsyn.counts import label_counts
from dpfedsyn.effects import predicted_means
from dpfedsyn.moments import MomentQuery
from dpfedsyn.pooling import ORIGIN_SPREAD, pool, pooled_means, pooled_origin
from dpfedsyn.settings import BaseSettings

SEEDS = st.integers(0, 2**32 - 1)
SETTINGS = BaseSettings(clip_radius=20.0, mean_spread=0.6, shrinkage=1.0, floor=0.05)
FREE = np.full((3, 2), np.nan)
ONE = MomentQuery(3, 2, 20.0, 0.6)
TWO = MomentQuery(3, 2, 20.0, 0.6, 15.0)
LABELLED = replace(TWO, label_share=0.5)
BOTH = replace(ONE, label_share=0.5)
QUERIES = {
    "one query": ONE,
    "two queries": TWO,
    "of labels": LABELLED,
    "of labels in one": BOTH,
}
MEANS = np.array([[0.5, -0.3, 0.0], [-0.4, 0.2, 0.8]])
COVARIANCES = np.array(
    [
        [[0.5, 0.2, 0.0], [0.2, 0.4, -0.1], [0.0, -0.1, 0.3]],
        [[0.3, -0.1, 0.1], [-0.1, 0.6, 0.0], [0.1, 0.0, 0.4]],
    ]
)
SHARED = COVARIANCES[[0, 0]]

Silo = tuple[Array, NDArray[np.int64]]


def records(rows: int, seed: int, covariances: Array = SHARED, shift: float = 0.0) -> Silo:
    """Records of two Gaussians, their means moved by `shift`: x and labels."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.4).astype(np.int64)
    roots = np.linalg.cholesky(covariances)[labels]
    x = MEANS[labels] + shift + np.einsum("nij,nj->ni", roots, rng.standard_normal((rows, 3)))
    return x, labels


def released(
    silos: Sequence[Silo], query: MomentQuery, stds: Sequence[float], spectrum: Array | None = None
) -> list[NoisyStatistics]:
    """What the silos release, each with noise of its std on its sums (and a tenth on counts)."""
    rng = np.random.default_rng(8)

    def noisy(sums: Array, std: float) -> Array:
        return sums + std * rng.standard_normal(sums.shape)

    found = []
    for (_, labels), std in zip(silos, stds, strict=True):
        counts = noisy(label_counts(labels, 2), 0.1 * std)
        found.append(NoisyStatistics(counts, 0.1 * std, np.zeros(0), std))
    means: list[Array | None] = [None] * len(silos)
    if query.residual_radius:
        found = [
            replace(s, label_sums=noisy(query.label_sums(x, y), std), label_sums_std=std)
            for s, (x, y), std in zip(found, silos, stds, strict=True)
        ]
        means = list(pooled_means(found, query, FREE, SETTINGS, spectrum))
    return [
        replace(s, sums=noisy(query.sums(x, y, m), std))
        for s, (x, y), m, std in zip(found, silos, means, stds, strict=True)
    ]


def same(found: AnalyticBase, other: AnalyticBase) -> bool:
    """Whether two bases have one law."""
    return np.allclose(found.means, other.means, atol=1e-8) and np.allclose(
        found.covariance, other.covariance, atol=1e-8
    )


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_one_silo_without_noise_gets_what_its_records_are(query: MomentQuery) -> None:
    """100,000 records: means within .015, entries within .015.

    Five standard errors of the noisiest, false alarm 6e-7 for each; twice the covariance fails.
    """
    statistics = released([records(100_000, 1)], query, [0.0])
    (found,) = pool(statistics, query, FREE, SETTINGS)
    assert found.means == pytest.approx(MEANS, abs=0.015)
    assert found.covariance == pytest.approx(SHARED, abs=0.015)
    assert found.covariance != pytest.approx(1.1 * SHARED, abs=0.015)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_silos_of_the_same_records_get_one_base(query: MomentQuery) -> None:
    """Three times the same release: one law for all, and it is that of the records themselves."""
    silo = records(3000, 2)
    found = pool(released([silo] * 3, query, [0.0] * 3), query, FREE, SETTINGS)
    (alone,) = pool(released([silo], query, [0.0]), query, FREE, SETTINGS)
    for fitted in found:
        assert same(fitted, found[0])
        assert fitted.means == pytest.approx(alone.means, abs=0.01)
        assert fitted.covariance == pytest.approx(alone.covariance, abs=0.01)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
@given(st.permutations(range(4)))
def test_silos_have_no_order(query: MomentQuery, order: list[int]) -> None:
    """Permuted statistics have permuted bases."""
    silos = [records(60 + 200 * k, k, shift=0.3 * k) for k in range(4)]
    statistics = released(silos, query, [0.2, 0.3, 0.4, 0.1])
    found = pool(statistics, query, FREE, SETTINGS)
    permuted = pool([statistics[k] for k in order], query, FREE, SETTINGS)
    for place, k in enumerate(order):
        assert same(permuted[place], found[k])


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_drowned_statistics_give_the_public_prior(query: MomentQuery) -> None:
    """Noise of 1e6: means 0, independent coordinates, variances of the prior or of a fair coin.

    The settings' shrinkage is raised so that no eigenvalue of a label's own rises out of the noise.
    """
    two_valued = np.array([[np.nan, np.nan], [-1.0, 1.0], [-1.0, 1.0]])
    statistics = released([records(300, k) for k in range(2)], query, [1e6] * 2)
    strict = replace(SETTINGS, shrinkage=10.0)
    for found in pool(statistics, query, two_valued, strict):
        assert found.means == pytest.approx(np.zeros((2, 3)), abs=0.05)
        expected = np.diag([pooling.VARIANCE[0], 1.0, 1.0])
        for covariance in found.covariance:
            assert covariance == pytest.approx(expected, abs=1e-2)


@given(
    SEEDS,
    st.sampled_from(sorted(QUERIES)),
    st.floats(0.0, 50.0),
    st.sampled_from([0.5, 20.0, 500.0]),
    st.booleans(),
)
def test_pooled_covariances_are_positive_definite_whatever_the_noise(
    seed: int, name: str, std: float, scale: float, image: bool
) -> None:
    """Guarantee of dpfedsyn.pooling.pool: A function of the released statistics and public settings
    alone. Any statistics, however impossible: finite, symmetric, two values' means within them, the
    same twice."""
    rng, query = np.random.default_rng(seed), QUERIES[name]
    statistics = [
        NoisyStatistics(
            rng.normal(0.0, scale, 2),
            5.0 * rng.random(),
            rng.normal(0.0, scale, query.length),
            std,
            rng.normal(0.0, scale, query.label_length) if query.residual_radius else None,
            std,
        )
        for _ in range(3)
    ]
    two_valued = np.where(rng.random((3, 1)) < 0.5, np.array([[-1.0, 1.0]]), np.nan)
    spectrum = np.array([1.0, 0.5, 0.25]) if image else None
    bases = pool(statistics, query, two_valued, BaseSettings(), spectrum)
    known = ~np.isnan(two_valued[:, 0])
    for found, again in zip(
        bases, pool(statistics, query, two_valued, BaseSettings(), spectrum), strict=True
    ):
        assert np.isfinite(found.means).all()
        assert found.covariance == pytest.approx(np.swapaxes(found.covariance, 1, 2))
        assert (found.eigenvalues >= base.LEAST_VARIANCE).all()
        assert (np.abs(found.means[:, known]) <= 1.0).all()
        assert np.array_equal(found.means, again.means)
        assert np.array_equal(found.eigenvalues, again.eigenvalues)


def test_variances_of_two_valued_coordinates_follow_from_each_label_s_mean() -> None:
    """(high - m)(m - low) per silo and label, whatever the second moments say."""
    rng = np.random.default_rng(3)
    query, two_valued = MomentQuery(2, 2, 20.0, 0.6), np.array([[-1.0, 1.0], [-1.0, 1.0]])
    labels = rng.integers(0, 2, 4000)
    rates = np.array([[0.2, 0.5], [0.7, 0.9]])[labels]
    x = np.where(rng.random((4000, 2)) < rates, 1.0, -1.0)
    sums = query.sums(x, labels)
    sums[4:] += rng.normal(0.0, 3.0, 3)  # the second moments alone
    (found,) = pool(
        [NoisyStatistics(label_counts(labels, 2), 0.0, sums, 0.0)], query, two_valued, SETTINGS
    )
    for mean, covariance in zip(found.means, found.covariance, strict=True):
        assert np.diag(covariance) == pytest.approx((1.0 - mean) * (mean + 1.0))


def test_correlations_are_those_within_labels_of_all_records() -> None:
    """Nine records in ten have one label, and two values vary with it: numpy's, within .01.

    With labels alike, whatever their number, the variances would not fit: .03 off.
    """
    rng = np.random.default_rng(4)
    labels = (np.arange(20_000) % 10 == 0).astype(np.int64)
    numbers = 0.6 * rng.standard_normal(20_000)
    limits = np.array([0.0, 1.2])[labels]
    x = np.column_stack([numbers, np.where(numbers + rng.normal(0, 0.4, 20_000) > limits, 1, -1)])
    query, two_valued = MomentQuery(2, 2, 20.0, 0.6), np.array([[np.nan] * 2, [-1.0, 1.0]])
    statistics = NoisyStatistics(label_counts(labels, 2), 0.0, query.sums(x, labels), 0.0)
    (found,) = pool([statistics], query, two_valued, SETTINGS)
    centred = x - np.stack([x[labels == y].mean(axis=0) for y in (0, 1)])[labels]
    expected = np.corrcoef(centred.T)[0, 1]
    for covariance in found.covariance:
        deviations = np.sqrt(np.diag(covariance))
        correlation = covariance[0, 1] / deviations.prod()
        assert correlation == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_means_are_told_how_uncertain_noise_counts_and_few_records_make_them(
    query: MomentQuery,
) -> None:
    """The predictor's own arguments, written out; counts are no smaller than their noise."""
    silos = [records(40 * (k + 1), k) for k in range(3)]
    statistics = released(silos, query, [2.0, 3.0, 30.0])
    counts = np.stack([np.maximum(s.counts, s.counts_std) for s in statistics])
    errors = np.array([[0.2], [0.3], [3.0]])
    noise = query.mean_noise(1.0) * np.array([[2.0], [3.0], [30.0]])
    sums = [
        query.unpack(s.sums)[0]
        if s.label_sums is None
        else s.label_sums.reshape(2, 3) * query.radius
        for s in statistics
    ]
    expected = predicted_means(
        np.stack(sums) / counts[..., None],
        noise**2 / counts**2,
        1.0 / counts + errors**2 / counts**2,
        np.full(3, SETTINGS.mean_spread**2),
    )
    assert pooled_means(statistics, query, FREE, SETTINGS, None) == pytest.approx(expected)


@pytest.mark.parametrize("query", [LABELLED, BOTH], ids=["two queries", "one query"])
@pytest.mark.parametrize("spectrum", [None, np.ones(3)], ids=["table", "image"])
def test_each_label_s_covariance_is_pooled_from_all_silos(
    spectrum: Array | None, query: MomentQuery
) -> None:
    """Two silos of 60,000: entries within .03 of each label's; the other label's are rejected."""
    silos = [records(60_000, k, COVARIANCES) for k in range(2)]
    settings = replace(SETTINGS, label_prior=1.0)
    statistics = released(silos, query, [0.0, 0.0], spectrum)
    for found in pool(statistics, query, FREE, settings, spectrum):
        assert found.covariance == pytest.approx(COVARIANCES, abs=0.03)
        assert found.covariance != pytest.approx(COVARIANCES[::-1], abs=0.03)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_drowned_silo_takes_the_others_and_leaves_them_theirs(query: MomentQuery) -> None:
    """Two clear silos of 20,000 and one whose noise is a million times theirs.

    It gets their law within .05; theirs is what they get without it, within .01. Sums added up over
    the three are worthless.
    """
    silos, stds = [records(20_000, k) for k in range(3)], [0.01, 0.01, 1e4]
    statistics = released(silos, query, stds)
    found = pool(statistics, query, FREE, SETTINGS)
    apart = pool(released(silos[:2], query, stds[:2]), query, FREE, SETTINGS)
    for clear, alone in zip(found, apart, strict=False):
        assert clear.means == pytest.approx(alone.means, abs=0.01)
        assert clear.covariance == pytest.approx(alone.covariance, abs=0.01)
    assert found[2].means == pytest.approx(MEANS, abs=0.05)
    assert found[2].covariance == pytest.approx(SHARED, abs=0.05)
    products = sum(query.unpack(s.sums)[1] for s in statistics) / 60_000
    assert np.abs(products).max() > 1.0


def test_a_silo_of_its_own_kind_keeps_its_means() -> None:
    """Three silos at the common means, one moved by 1, all as noisy: it is told from the others.

    Noise of .1 per mean; within .3 each (four standard errors); the mean over silos is rejected.
    """
    silos = [records(2000, k, shift=float(k == 3)) for k in range(4)]
    found = pool(released(silos, ONE, [5.0] * 4), ONE, FREE, SETTINGS)
    assert found[3].means == pytest.approx(MEANS + 1.0, abs=0.3)
    for fitted in found[:3]:
        assert fitted.means == pytest.approx(MEANS, abs=0.3)
    assert found[3].means != pytest.approx(MEANS + 0.25, abs=0.3)


def test_a_label_that_no_silo_has_is_predicted_from_the_others() -> None:
    """Without noise and without records of label 1 there is nothing that is not finite."""
    x, _ = records(500, 5)
    silo = (x, np.zeros(500, dtype=np.int64))
    for query in QUERIES.values():
        (found,) = pool(released([silo], query, [0.0]), query, FREE, SETTINGS)
        assert np.isfinite(found.means).all()
        assert np.isfinite(found.covariance).all()
        assert np.abs(found.means[1]).max() <= np.abs(found.means[0]).max() + 1e-9


def test_under_much_noise_an_image_s_covariance_is_the_public_spectrum() -> None:
    """No eigenvalue rises out of the noise: what is left is in proportion to the spectrum."""
    query, spectrum = MomentQuery(3, 2, 20.0, 0.3, 15.0, 0.5), np.array([1.0, 0.5, 0.25])
    rng = np.random.default_rng(5)
    y = np.arange(400) % 2
    x = rng.standard_normal((400, 3))
    means = np.zeros((2, 3))
    sums = query.sums(x, y, means)
    noisy = NoisyStatistics(
        label_counts(y, 2), 0.0, sums + 0.3 * rng.standard_normal(len(sums)), 0.3,
        query.label_sums(x, y), 0.3,
    )  # fmt: skip
    free = np.full((3, 2), np.nan)
    strict = replace(SETTINGS, shrinkage=10.0)
    (fitted,) = pool([noisy], query, free, strict, spectrum)
    for found in fitted.covariance:
        assert found / found[0, 0] == pytest.approx(np.diag(spectrum), abs=1e-9)


def test_noise_of_each_label_is_told_apart() -> None:
    """Where labels' sums have noise of their own, the loud label's mean and covariance shrink and
    the quiet one's do not."""
    query, spectrum = MomentQuery(3, 2, 20.0, 0.3, 15.0, 1.0), np.ones(3)
    rng = np.random.default_rng(6)
    y = np.arange(4000) % 2
    x = rng.standard_normal((4000, 3)) * np.array([2.0, 1.0, 0.5]) + np.array([[2.0], [-2.0]])[y]
    counts, first = label_counts(y, 2), query.label_sums(x, y)
    means = np.stack([x[y == k].mean(axis=0) for k in range(2)])
    free, exact = np.full((3, 2), np.nan), np.zeros(2)
    quiet = NoisyStatistics(counts, exact, query.sums(x, y, means), 0.0, first, exact, exact)
    loud = replace(quiet, label_sums_std=np.array([0.0, 1e4]), products_std=np.array([0.0, 1e4]))
    (one,), (other,) = (pool([s], query, free, SETTINGS, spectrum) for s in (quiet, loud))
    assert other.means[0] == pytest.approx(one.means[0], abs=1e-3)
    assert np.abs(other.means[1] - one.means[1]).min() > 0.5
    (variance, *_), *_ = np.cov(x[y == 1].T)
    assert one.covariance[1, 0, 0] == pytest.approx(variance, abs=0.1)
    assert other.covariance[1, 0, 0] != pytest.approx(variance, abs=0.5)


@given(st.floats(0.0, 1e3))
def test_an_origin_shrinks_as_its_noise_asks(std: float) -> None:
    """The posterior mean under its public prior; much noise leaves next to nothing of it."""
    sums, totals = np.array([[40.0, -20.0, 0.0], [60.0, 0.0, 10.0]]), np.array([40.0, 60.0])
    found = pooled_origin(sums, totals, np.full(2, std), SETTINGS, None)
    prior, noise = (ORIGIN_SPREAD * SETTINGS.mean_spread) ** 2, 2.0 * std**2 / 100.0**2
    assert found == pytest.approx(np.array([1.0, -0.2, 0.1]) * prior / (prior + noise))
