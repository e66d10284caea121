"""Random effects of silos and labels: the predictor against brute force, and its limits."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from dpfedsyn import effects
from dpfedsyn.effects import Array, predicted_means

SEEDS = st.integers(0, 2**32 - 1)
SPREAD = np.array([0.16, 0.4])


def estimates(seed: int, silos: int = 3, classes: int = 2) -> tuple[Array, Array, Array]:
    """Random noisy means (K, classes, 2), variances of their noise, and sampling variances."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal((silos, classes, 2))
    return found, rng.uniform(0.01, 1.0, found.shape[:2]), rng.uniform(0.005, 0.5, found.shape[:2])


def by_brute_force(found: Array, noise: Array, sampling: Array) -> Array:
    """Condition the joint Gaussian of means and estimates, coordinate by coordinate."""
    silos, classes, dimension = found.shape
    places = list(product(range(silos), range(classes)))
    predicted = np.empty_like(found)
    for j in range(dimension):
        shares, means = [], []
        for silo, label, own in product(effects.SILO, effects.LABEL, effects.OWN):
            prior = SPREAD[j] * np.array(
                [
                    [
                        effects.CENTRE**2
                        + silo**2 * (a == b)
                        + label**2 * (y == z)
                        + own**2 * ((a, y) == (b, z))
                        for b, z in places
                    ]
                    for a, y in places
                ]
            )
            of_estimates = prior + np.diag(noise.ravel() + SPREAD[j] * sampling.ravel())
            values = found[..., j].ravel()
            shares.append(multivariate_normal.pdf(values, cov=of_estimates))
            means.append(prior @ np.linalg.solve(of_estimates, values))
        predicted[..., j] = np.average(means, axis=0, weights=shares).reshape(silos, classes)
    return predicted


@given(SEEDS, st.integers(1, 3), st.integers(1, 3))
def test_predictions_are_the_posterior_means_by_brute_force(
    seed: int, silos: int, classes: int
) -> None:
    """Two coordinates of different spread; prior and likelihood written out entry by entry."""
    found, noise, sampling = estimates(seed, silos, classes)
    expected = by_brute_force(found, noise, sampling)
    assert predicted_means(found, noise, sampling, SPREAD) == pytest.approx(expected, abs=1e-9)


@given(SEEDS, st.integers(1, 4), st.integers(1, 3))
def test_exact_means_stay_and_drowned_ones_are_the_public_centre(
    seed: int, silos: int, classes: int
) -> None:
    """The two limits: nothing uncertain, and noise that nothing rises out of."""
    found, noise, _ = estimates(seed, silos, classes)
    none = np.zeros_like(noise)
    assert predicted_means(found, none, none, SPREAD) == pytest.approx(found, abs=1e-8)
    drowned = predicted_means(found, noise + 1e9, none, SPREAD)
    assert np.abs(drowned).max() < 1e-6


@given(SEEDS, st.permutations(range(3)), st.permutations(range(2)))
def test_silos_and_labels_have_no_order(seed: int, silos: list[int], labels: list[int]) -> None:
    """Permuted estimates have permuted predictions."""
    given_ones = estimates(seed)
    at = np.ix_(silos, labels)
    permuted = predicted_means(*(part[at] for part in given_ones), SPREAD)
    assert permuted == pytest.approx(predicted_means(*given_ones, SPREAD)[at], abs=1e-9)


@given(SEEDS, st.integers(2, 6))
def test_silos_that_say_the_same_are_predicted_the_same_and_believed_more(
    seed: int, silos: int
) -> None:
    """K equal estimates: equal predictions, in all nearer to the estimates than one silo's."""
    found, noise, sampling = estimates(seed, silos=1)
    repeated = [np.repeat(part, silos, axis=0) for part in (found, noise, sampling)]
    together = predicted_means(*repeated, SPREAD)
    alone = predicted_means(found, noise, sampling, SPREAD)
    assert together == pytest.approx(np.repeat(together[:1], silos, axis=0), abs=1e-9)
    assert np.linalg.norm(together[:1] - found) < np.linalg.norm(alone - found)


def test_a_noisy_silo_takes_what_the_others_say_and_a_clear_one_keeps_its_own() -> None:
    """Three clear silos about (1, -1) and a drowned one at (-3, 3): it is predicted at theirs.

    The same estimate without noise is a silo effect, and stays; so predictions are no plain mean.
    """
    found = np.repeat(np.array([[[1.0], [-1.0]]]), 4, axis=0)
    found[3] = [[-3.0], [3.0]]
    spread, sampling = np.array([0.5]), np.full((4, 2), 1e-3)
    noise = np.full((4, 2), 1e-3)
    clear = predicted_means(found, noise, sampling, spread)
    assert clear[3] == pytest.approx(found[3], abs=0.3)
    noise[3] = 1e4
    drowned = predicted_means(found, noise, sampling, spread)
    assert drowned[3] == pytest.approx(found[0], abs=0.1)
    assert drowned[:3] == pytest.approx(found[:3], abs=0.1)
