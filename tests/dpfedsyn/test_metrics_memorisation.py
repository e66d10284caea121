"""Memorisation: copies are seen, independent rows follow a closed form, duplicates count once."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpfedsyn.errors import DataError
from dpfedsyn.metrics.closeness import NO_GUARANTEE
from dpfedsyn.metrics.memorisation import Memorisation, memorisation

Rows = NDArray[np.float64]


def draws(n: int, seed: int, d: int = 3) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_rows_on_a_line_by_hand() -> None:
    """Records 0 and 4: ratios 0, 1/7, 1/3 and 1; a third itself is not below a third."""
    found = memorisation([[0.0], [0.5], [1.0], [2.0]], [[0.0], [4.0]], [[1.0], [3.5], [2.0]])
    assert found == Memorisation(
        share=0.5,
        reference=pytest.approx(1 / 3),
        median_ratio=pytest.approx((1 / 7 + 1 / 3) / 2),
        reference_median_ratio=pytest.approx(1 / 3),
        rows=4,
        reference_rows=3,
        records=2,
        note=NO_GUARANTEE,
    )


def test_copies_are_seen_also_with_a_little_noise() -> None:
    """Copies, and copies moved by a hundredth: share 1; held-out records stay where they were."""
    train, held_out = draws(200, 1, d=8), draws(200, 2, d=8)
    for rows in (train, train + 0.01 * draws(200, 3, d=8)):
        found = memorisation(rows, train, held_out)
        assert found.share == 1.0
        assert found.median_ratio < 0.05
        assert found.reference < 0.05
        assert found.reference_median_ratio > 0.7


@pytest.mark.parametrize("d", [1, 2, 3])
def test_independent_rows_follow_the_law_of_the_ratio(d: int) -> None:
    """(d1 / d2)^d is uniform where the density is: share 3^-d, median ratio 2^(-1/d).

    Means of 60 data sets within 5 standard errors (false alarm 6e-7 each) and .005; rejects the
    share of another dimension, and a threshold of 0.4 in place of a third.
    """
    found = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        # Rows away from the edge: both nearest records lie on all sides.
        rows, held_out = random.uniform(0.3, 0.7, (2, 100, d))
        found.append(memorisation(rows, random.random((400, d)), held_out))
    for values, right, wrong in (
        ([f.share for f in found], 3.0**-d, 0.4**d),
        ([f.reference for f in found], 3.0**-d, 3.0 ** -(d + 1)),
        ([f.median_ratio for f in found], 2 ** (-1 / d), 2 ** (-1 / (d + 1))),
        ([f.reference_median_ratio for f in found], 2 ** (-1 / d), 2 ** (-1 / (d + 1))),
    ):
        # The median of 100 rows has a bias of up to 0.005, the share has none.
        tolerance = 5 * np.std(values) / math.sqrt(60) + 0.005
        assert abs(np.mean(values) - right) < tolerance < abs(np.mean(values) - wrong)


def test_copies_of_repeated_records_are_seen() -> None:
    """Every record twice: d1 = d2 = 0 for a copy, which is memorised all the same."""
    train, held_out = draws(50, 1), draws(50, 2)
    twice = np.concatenate([train, train])
    found = memorisation(train, twice, held_out)
    assert (found.share, found.median_ratio, found.records) == (1.0, 0.0, 50)
    assert found == memorisation(train, train, held_out)


points = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=9)


@given(points, points.filter(lambda records: len(set(records)) > 1), points)
def test_order_repetition_and_units_of_the_records_change_nothing(
    rows: list[tuple[int, int]], train: list[tuple[int, int]], held_out: list[tuple[int, int]]
) -> None:
    """All numbers are finite shares and ratios, for tables of codes as well."""
    found = memorisation(rows, train, held_out)
    assert found == memorisation(rows, [*train[::-1], *train], held_out)
    assert found == memorisation(*(4.0 * np.array(s) for s in (rows, train, held_out)))
    for value in (found.share, found.reference, found.median_ratio, found.reference_median_ratio):
        assert 0.0 <= value <= 1.0


@given(points.filter(lambda records: len(set(records)) > 1))
def test_equal_sets_have_equal_numbers(rows: list[tuple[int, int]]) -> None:
    """Synthetic rows that are the held-out ones are at the reference."""
    found = memorisation(rows, rows, rows)
    assert (found.share, found.reference) == (1.0, 1.0)
    assert found.median_ratio == found.reference_median_ratio == 0.0


def test_records_too_near_for_a_square_are_one_place() -> None:
    """1e-200 apart: both squares underflow, and a row there is a copy."""
    found = memorisation([[0.0]], [[0.0], [1e-200]], [[1.0]])
    assert (found.share, found.median_ratio, found.reference) == (1.0, 0.0, 0.0)


def test_many_rows_are_compared_in_pieces_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The size of a piece bounds memory and changes no number."""
    sets = draws(50, 1), draws(20, 2), draws(30, 3)
    whole = memorisation(*sets)
    monkeypatch.setattr("dpfedsyn.metrics.memorisation._CELLS_AT_ONCE", 120)
    assert memorisation(*sets) == whole


@pytest.mark.parametrize(
    ("rows", "train", "held_out", "expected"),
    [
        (draws(0, 1), draws(2, 1), draws(2, 1), "cannot be compared; give"),
        (draws(2, 1), draws(2, 1), draws(0, 1), "cannot be compared; give"),
        (draws(2, 1), draws(2, 1, d=4), draws(2, 1), "cannot be compared; give"),
        (draws(2, 1)[0], draws(2, 1), draws(2, 1), "cannot be compared; give"),
        (draws(2, 1), np.ones((5, 3)), draws(2, 1), "5 training records are one distinct record"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(
    rows: Rows, train: Rows, held_out: Rows, expected: str
) -> None:
    """Empty sets, other widths and a single record give one DataError with the numbers."""
    with pytest.raises(DataError, match=expected):
        memorisation(rows, train, held_out)
