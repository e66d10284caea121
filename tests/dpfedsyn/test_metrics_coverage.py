"""Precision, recall, density, coverage: by hand, in expectation, and against the package prdc."""

import math

import numpy as np
import prdc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpfedsyn.errors import DataError
from dpfedsyn.metrics.coverage import Coverage, coverage

Rows = NDArray[np.float64]


def line(*points: float) -> Rows:
    return np.array(points)[:, None]


def draws(n: int, seed: int, d: int = 3) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_four_points_on_a_line_by_hand() -> None:
    """Real 0 1 3 7 has radii 1 1 2 4 (k = 1); synthetic 0.5 4 20 has radii 3.5 3.5 16.

    0.5 lies in the balls of 0 and 1, 4 in those of 3 and 7, 20 in none: precision 2/3, density 4/3.
    All four real balls hold a row: coverage 1. The ball of 0.5 holds 0, 1 and 3, that of 20 holds
    7: recall 1.
    """
    found = coverage(line(0, 1, 3, 7), line(0.5, 4, 20), k=1)
    assert found == Coverage(pytest.approx(2 / 3), 1.0, pytest.approx(4 / 3), 1.0, 4, 3)


def test_two_neighbours_divide_the_density_by_two() -> None:
    """Real 0 1 3 7 has radii 3 2 3 6 (k = 2); synthetic 2 2.5 11 has radii 9 8.5 9.

    2 and 2.5 lie in the balls of 0, 1, 3 and 7, 11 in that of 7: nine, over three rows and k = 2.
    """
    found = coverage(line(0, 1, 3, 7), line(2, 2.5, 11), k=2)
    assert found == Coverage(1.0, 1.0, pytest.approx(9 / 3 / 2), 1.0, 4, 3)


def test_one_lost_mode_costs_recall_and_coverage_alone() -> None:
    """Half of the real rows is far from all synthetic ones, and every synthetic row is a copy."""
    near, far = line(0, 1, 2, 3), line(100, 101, 102, 103)
    found = coverage(np.concatenate([near, far]), near, k=1)
    assert (found.precision, found.recall, found.coverage) == (1.0, 0.5, 0.5)


@given(st.integers(1, 6), st.integers(0, 999))
def test_equal_sets_are_precise_and_complete(k: int, seed: int) -> None:
    """All shares are 1. A ball holds its centre and k neighbours: density (k + 1) / k, not 1."""
    rows = draws(20, seed)
    found = coverage(rows, rows, k=k)
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    assert found.density == pytest.approx((k + 1) / k)


@given(st.integers(1, 6), st.integers(0, 999))
def test_sets_far_from_each_other_share_nothing(k: int, seed: int) -> None:
    """Every number is 0."""
    found = coverage(draws(20, seed), draws(15, seed + 1) + 1000.0, k=k)
    assert found == Coverage(0.0, 0.0, 0.0, 0.0, 20, 15)


@given(st.integers(1, 4), st.integers(0, 999))
def test_exchanging_the_sets_exchanges_precision_and_recall(k: int, seed: int) -> None:
    """Precision one way is recall the other way."""
    one, two = draws(12, seed), draws(17, seed + 1)
    there, back = coverage(one, two, k=k), coverage(two, one, k=k)
    assert (there.precision, there.recall) == (back.recall, back.precision)


@given(st.integers(0, 999))
def test_no_number_depends_on_place_turn_or_scale(seed: int) -> None:
    """The same after a rotation, a shift, a change of units and a change of order."""
    one, two = draws(20, seed), draws(25, seed + 1) * 1.3
    turn = np.linalg.qr(draws(3, seed + 2))[0]
    assert coverage(one, two) == coverage(7 * one[::-1] @ turn + 2, 7 * two @ turn + 2)


def test_expected_values_of_two_sets_of_one_law() -> None:
    """Density 1 and coverage 1 - prod_j (n - j) / (n + m - j), j = 1 ... k (Naeem et al. 2020;
    n real and m synthetic rows).

    Means of 300 data sets within 5 standard errors (false alarm 1e-6); rejects a density divided by
    k + 1 and the coverage for k + 1.
    """
    n, m, k = 30, 20, 3
    found = [coverage(draws(n, s), draws(m, s + 1000), k=k) for s in range(300)]

    def expected(k: int) -> float:
        return 1 - math.prod((n - j) / (n + m - j) for j in range(1, k + 1))

    for values, right, wrong in (
        ([f.density for f in found], 1.0, k / (k + 1)),
        ([f.coverage for f in found], expected(k), expected(k + 1)),
    ):
        error = 5 * np.std(values) / math.sqrt(len(values))
        assert abs(np.mean(values) - right) < error < abs(np.mean(values) - wrong)


def test_repeated_rows_of_a_table_cover_each_other() -> None:
    """Ten copies of one row: radius 0, and the edge belongs to the ball. Another row stays out."""
    same = np.zeros((10, 2))
    assert coverage(same, same).precision == 1.0
    assert coverage(same, same).density == pytest.approx(10 / 5)
    assert coverage(same, same + 1e-9).precision == 0.0


@pytest.mark.parametrize(("n", "m", "d", "k"), [(60, 80, 2, 5), (100, 50, 10, 3), (40, 40, 64, 1)])
def test_agrees_with_the_package_of_the_paper(n: int, m: int, d: int, k: int) -> None:
    """All four numbers equal those of prdc, by the authors of density and coverage."""
    real, synthetic = draws(n, 1, d), draws(m, 2, d) * 1.1 + 0.1
    theirs = prdc.compute_prdc(real, synthetic, nearest_k=k)
    ours = coverage(real, synthetic, k=k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(ours, name) == pytest.approx(theirs[name], abs=1e-12)
    assert 0 < ours.coverage < 1


def test_many_rows_are_compared_in_pieces_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The size of a piece bounds memory and changes no number."""
    sets = draws(50, 1), draws(33, 2)
    whole = coverage(*sets)
    monkeypatch.setattr("dpfedsyn.metrics.coverage._CELLS_AT_ONCE", 120)
    assert coverage(*sets) == whole


@pytest.mark.parametrize(
    ("real", "synthetic", "k", "expected"),
    [
        (draws(5, 1), draws(9, 2), 5, "5 real and 9 synthetic rows have no 5-th neighbour"),
        (draws(9, 1), draws(0, 2), 5, "9 real and 0 synthetic"),
        (draws(9, 1), draws(9, 2), 0, "at least 1 neighbour"),
        (draws(9, 1), draws(9, 2, d=4), 5, "cannot be compared; give"),
        (draws(9, 1)[0], draws(9, 2), 5, "cannot be compared; give"),
    ],
)
def test_sets_without_balls_are_refused(real: Rows, synthetic: Rows, k: int, expected: str) -> None:
    """Too few rows and other widths give one DataError with the numbers."""
    with pytest.raises(DataError, match=expected):
        coverage(real, synthetic, k=k)
