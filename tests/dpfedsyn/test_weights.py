"""Mixing weights per label from noisy counts, and systematic draws from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import weights
from dpfedsyn.errors import FederationError
from dpfedsyn.weights import TargetMixture

SEEDS = st.integers(0, 2**32 - 1)


def noisy(seed: int) -> tuple[weights.Array, weights.Array]:
    """Counts (4, 3) around their own noise, some negative; never all below it."""
    rng = np.random.default_rng(seed)
    std = rng.uniform(0.0, 10.0, 4)
    counts = rng.normal(15.0, 20.0, (4, 3))
    counts[0, 0] = 25.0
    return counts, std


def mixed(seed: int) -> TargetMixture:
    return weights.from_counts(*noisy(seed))


@given(SEEDS)
def test_weights_of_every_label_that_is_drawn_sum_to_one(seed: int) -> None:
    """So do the label shares; a label that no silo has gets share 0 and weights 0."""
    mixture = mixed(seed)
    alive = mixture.labels > 0.0
    assert mixture.weights.sum(axis=0) == pytest.approx(alive.astype(float))
    assert mixture.labels.sum() == pytest.approx(1.0)
    assert (mixture.weights >= 0.0).all()


@given(SEEDS)
def test_weights_follow_the_counts_that_stand_out_of_their_noise(seed: int) -> None:
    """Guarantee of dpfedsyn.weights.from_counts: Weights and abstention are functions of the noisy
    counts and their noise: proportional from 2 standard deviations on, exactly 0 below."""
    counts, std = noisy(seed)
    mixture = weights.from_counts(counts, std)
    kept = counts >= 2.0 * std[:, None]
    expected = np.where(kept, counts, 0.0)
    assert (mixture.weights[~kept] == 0.0).all()
    assert mixture.weights * expected.sum(axis=0) == pytest.approx(expected)
    assert mixture.labels == pytest.approx(expected.sum(axis=0) / expected.sum())


def test_weights_are_per_label() -> None:
    """Two labels, three silos; the third never saw label 1 and its noise does not say otherwise."""
    counts = np.array([[60.0, 40.0], [30.0, 60.0], [10.0, 9.0]])
    mixture = weights.from_counts(counts, np.full(3, 4.9))
    assert mixture.weights == pytest.approx(np.array([[0.6, 0.4], [0.3, 0.6], [0.1, 0.0]]))
    assert mixture.labels == pytest.approx([0.5, 0.5])


def test_no_count_above_its_noise_is_an_error_with_the_mend() -> None:
    """Nothing is left to mix: the message says how large the noise is and what to raise."""
    with pytest.raises(FederationError, match=r"7 records.*privacy\.epsilon.*'public'"):
        weights.from_counts(np.array([[13.0, -5.0], [2.0, 1.0]]), np.array([7.0, 7.0]))
    mixture = weights.from_counts(np.array([[15.0, -5.0], [2.0, 1.0]]), np.array([7.0, 7.0]))
    assert mixture.weights.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_public_weights_are_the_configured_ones_for_every_label() -> None:
    """Normalised, no silo abstains, no count is looked at."""
    mixture = weights.public(np.array([3.0, 1.0]), np.array([1.0, 1.0, 2.0]))
    assert mixture.weights.tolist() == [[0.75] * 3, [0.25] * 3]
    assert mixture.labels.tolist() == [0.25, 0.25, 0.5]


@given(SEEDS)
def test_uniform_prior_is_one_over_k_and_the_other_is_the_mixture(seed: int) -> None:
    """`uniform` is the paper's w_i = 1/K."""
    mixture = mixed(seed)
    assert weights.prior(mixture, "uniform").tolist() == [[0.25] * 3] * 4
    assert np.array_equal(weights.prior(mixture, "labels"), mixture.weights)


@given(SEEDS, st.integers(1, 500))
def test_label_counts_are_within_one_of_their_expectation(seed: int, rows: int) -> None:
    """Systematic sampling; a label of share 0 is never drawn."""
    mixture = mixed(seed)
    labels = weights.draw_labels(mixture, rows, np.random.default_rng(seed))
    counts = np.bincount(labels, minlength=3)
    assert (labels.dtype, labels.shape) == (np.int64, (rows,))
    assert (np.abs(counts - rows * mixture.labels) < 1.0 + 1e-9).all()
    assert (counts[mixture.labels == 0.0] == 0).all()


@given(SEEDS, st.integers(1, 500))
def test_anchored_silos_are_stratified_within_each_label(seed: int, rows: int) -> None:
    """Every silo gets within one of rows * w_i(y) of each label, an abstaining silo none."""
    mixture = mixed(seed)
    labels = weights.draw_labels(mixture, rows, np.random.default_rng(seed))
    silos = weights.draw_silos(mixture.weights, labels, np.random.default_rng(seed + 1))
    for label in np.unique(labels):
        chosen = np.bincount(silos[labels == label], minlength=4)
        shares = mixture.weights[:, label]
        assert (np.abs(chosen - (labels == label).sum() * shares) < 1.0 + 1e-9).all()
        assert (chosen[shares == 0.0] == 0).all()


def pair_rate(rows: int = 4, draws: int = 4000) -> tuple[float, float]:
    """How often a row is given silo 0 of two, per position: the least and the greatest."""
    rng = np.random.default_rng(1)
    labels = np.zeros(rows, dtype=np.int64)
    shares = np.array([[0.3], [0.7]])
    hits = np.stack([weights.draw_silos(shares, labels, rng) == 0 for _ in range(draws)])
    return float(hits.mean(axis=0).min()), float(hits.mean(axis=0).max())


def test_every_row_is_given_a_silo_at_its_weight_wherever_it_stands() -> None:
    """4,000 draws of 4 rows: within 5 standard errors of .3 (false alarm 3e-6 in all); not .35.

    Without the permutation the first row would always be given the first silo.
    """
    low, high = pair_rate()
    error = np.sqrt(0.3 * 0.7 / 4000)
    assert 0.3 - 5.0 * error < low <= high < 0.3 + 5.0 * error
    assert high < 0.35 - error


class Corner:
    """A generator whose uniform lies as near to 1 as a float can; permutations keep the order."""

    def random(self) -> float:
        return 1.0 - 2.0**-53

    def permutation(self, array: np.ndarray) -> np.ndarray:
        return array


@given(SEEDS, st.integers(1, 400))
def test_last_point_never_falls_beyond_the_last_share(seed: int, rows: int) -> None:
    """Shares whose rounded sum is below 1 leave no gap at the top, whoever abstains there."""
    rng = np.random.default_rng(seed)
    shares = np.append(rng.dirichlet(np.ones(7)), 0.0)[:, None] * (1.0 - 1e-9)
    labels = np.zeros(rows, dtype=np.int64)
    silos = weights.draw_silos(shares, labels, Corner())  # type: ignore[arg-type]
    assert silos.max() <= 6
