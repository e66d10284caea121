"""The Fréchet distance: closed forms of Gaussians, invariances, and scipy's matrix root."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from dpfedsyn.errors import DataError
from dpfedsyn.metrics.frechet import frechet, trace_of_root

Rows = NDArray[np.float64]

seeds = st.integers(0, 999)


def draws(n: int, d: int, seed: int) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, d))


def white(n: int, d: int, seed: int) -> Rows:
    """n rows whose sample mean is 0 and whose sample covariance is the identity, to rounding."""
    rows = draws(n, d, seed)
    directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[0]
    whitened: Rows = directions * np.sqrt(n - 1)
    return whitened


spreads = st.lists(st.floats(0.0, 10.0), min_size=4, max_size=4).map(np.array)


@given(spreads, spreads, st.lists(st.floats(-9, 9), min_size=4, max_size=4), seeds)
def test_diagonal_covariances_have_a_closed_form(
    one: Rows, two: Rows, shift: list[float], seed: int
) -> None:
    """|shift|^2 + sum_j (s_j - t_j)^2 for standard deviations s and t, 0 among them."""
    first, second = white(20, 4, seed) * one, white(30, 4, seed + 1) * two + np.array(shift)
    expected = np.square(shift).sum() + np.square(one - two).sum()
    assert frechet(first, second) == pytest.approx(expected, rel=1e-6, abs=1e-5)


@given(spreads, spreads, seeds)
def test_commuting_covariances_have_the_same_closed_form(one: Rows, two: Rows, seed: int) -> None:
    """Both turned by one rotation: sum_j (s_j - t_j)^2 still."""
    turn = np.linalg.qr(draws(4, 4, seed + 2))[0]
    first, second = (white(20, 4, seed) * one) @ turn, (white(30, 4, seed + 1) * two) @ turn
    expected = np.square(one - two).sum()
    assert frechet(first, second) == pytest.approx(expected, rel=1e-6, abs=1e-5)


def test_a_wrong_root_would_be_seen() -> None:
    """Standard deviations (1, 2) against (2, 1): 2. The trace of a product of roots is 4, that of
    the product itself 8, which would give 10 - 16 < 0; crossed covariances reject both."""
    first, second = white(20, 2, 1) * [1.0, 2.0], white(20, 2, 2) * [2.0, 1.0]
    assert frechet(first, second) == pytest.approx(2.0)
    assert trace_of_root(np.diag([1.0, 4.0]), np.diag([4.0, 1.0])) == pytest.approx(4.0)


@given(seeds)
def test_agrees_with_scipys_matrix_root(seed: int) -> None:
    """tr((S1 S2)^{1/2}) of two general covariances, which do not commute."""
    one, two = (np.cov(draws(30, 6, s), rowvar=False) for s in (seed, seed + 1))
    one[0, 0] += 3.0
    assert not np.allclose(one @ two, two @ one)
    assert trace_of_root(one, two) == pytest.approx(float(np.trace(sqrtm(one @ two).real)))
    assert trace_of_root(one, two) < 0.999 * float(np.sqrt(np.trace(one) * np.trace(two)))


@given(seeds, st.integers(2, 12))
def test_equal_sets_are_at_distance_zero(seed: int, n: int) -> None:
    """Also where the covariance is singular: fewer rows than coordinates."""
    rows = 10 * draws(n, 5, seed)
    assert frechet(rows, rows[::-1]) == pytest.approx(0.0, abs=1e-5)
    assert frechet(rows, rows) >= 0.0


@given(seeds)
def test_rotation_and_common_shift_change_nothing_and_it_is_symmetric(seed: int) -> None:
    """A distance between two laws knows no coordinates; units enter squared."""
    one, two = draws(20, 4, seed), draws(30, 4, seed + 1) * [1, 2, 3, 4] + 1
    turn = np.linalg.qr(draws(4, 4, seed + 2))[0]
    distance = frechet(one, two)
    assert distance > 1.0
    assert frechet(two, one) == pytest.approx(distance)
    assert frechet(one @ turn + 5, two @ turn + 5) == pytest.approx(distance)
    assert frechet(3 * one, 3 * two) == pytest.approx(9 * distance)


def test_one_feature_is_a_difference_of_two_numbers() -> None:
    """Means 0 and 3, standard deviations 1 and 2: 9 + 1."""
    assert frechet(white(10, 1, 1), 3 + 2 * white(10, 1, 2)) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("real", "synthetic"),
    [
        (draws(1, 3, 1), draws(5, 3, 1)),
        (draws(5, 3, 1), draws(0, 3, 1)),
        (draws(5, 3, 1), draws(5, 4, 1)),
        (draws(5, 3, 1)[0], draws(5, 3, 1)),
    ],
)
def test_sets_without_a_covariance_are_refused(real: Rows, synthetic: Rows) -> None:
    """One row, none, and other widths give one DataError with the shapes."""
    with pytest.raises(DataError, match="have no Fréchet distance; give"):
        frechet(real, synthetic)


def test_features_that_are_not_numbers_are_refused() -> None:
    """NaN would otherwise fail inside the eigenvalues."""
    with pytest.raises(DataError, match="NaN or infinity"):
        frechet(draws(5, 3, 1), np.full((5, 3), np.nan))
