"""Closeness to training records: copies are seen, independent rows are not accused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpfedsyn.errors import DataError
from dpfedsyn.metrics.closeness import NO_GUARANTEE, closeness

Rows = NDArray[np.float64]


def draws(n: int, seed: int, d: int = 3) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_copied_training_rows_give_a_share_of_one() -> None:
    """Every synthetic row is a training record: share 1 at distance 0, far outside the usual."""
    train, control = draws(100, 1), draws(100, 2)
    found = closeness(np.repeat(train, 3, axis=0), train, control, seed=1)
    assert found.share == pytest.approx(1.0)
    assert found.train_median == 0.0
    assert found.control_median > 0.1
    assert found.usual[1] < 0.7
    assert (found.records, found.rows, found.note) == (100, 300, NO_GUARANTEE)


def test_copied_control_rows_give_a_share_of_zero() -> None:
    """The other extreme."""
    train, control = draws(100, 1), draws(100, 2)
    assert closeness(control, train, control, seed=1).share == pytest.approx(0.0)


def repeated(copied: float, runs: int) -> int:
    """How many of `runs` data sets fall outside the usual range; a share of rows is copied."""
    outside = 0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        train, control, rows = (random.standard_normal((60, 3)) for _ in range(3))
        count = round(copied * 60)
        rows[:count] = train[:count]
        found = closeness(rows, train, control, seed=seed)
        outside += not found.usual[0] <= found.share <= found.usual[1]
    return outside


def test_independent_rows_are_accused_in_one_case_of_twenty() -> None:
    """200 data sets, expected at most 10 outside: 5 sd above is 26 (false alarm 1e-6).

    With half of the rows copied the same count is far beyond it.
    """
    assert 0 < repeated(0.0, 200) <= 26
    assert repeated(0.5, 40) >= 36


def test_share_of_independent_rows_is_near_one_half() -> None:
    """Mean of 100 data sets within 5 standard errors of 0.5 (false alarm 6e-7), rejects 0.56."""
    shares = [
        closeness(draws(60, s), draws(60, s + 1000), draws(60, s + 2000), seed=1).share
        for s in range(100)
    ]
    error = float(np.std(shares) / 10)
    assert abs(np.mean(shares) - 0.5) < 5 * error < abs(np.mean(shares) - 0.56)


points = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=8)


@given(points, points, points)
def test_exchanging_training_and_control_mirrors_the_share(
    rows: list[tuple[int, int]], a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    """With sets of equal size the shares add up to 1, ties included."""
    size = min(len(a), len(b))
    there = closeness(rows, a[:size], b[:size], seed=1)
    back = closeness(rows, b[:size], a[:size], seed=1)
    assert there.share + back.share == pytest.approx(1.0)
    assert (there.train_median, there.control_median) == (back.control_median, back.train_median)


@given(points, points)
def test_equal_sets_tie_at_one_half(
    rows: list[tuple[int, int]], records: list[tuple[int, int]]
) -> None:
    """A control that equals the training set gives exactly one half."""
    assert closeness(rows, records, records, seed=1).share == pytest.approx(0.5)


def test_medians_are_the_distances_to_the_closest_record() -> None:
    """Three rows on a line, one record each side: distances 1, 2, 3 and 9, 8, 7."""
    found = closeness([[1.0], [2.0], [3.0]], [[0.0]], [[10.0]], seed=1)
    assert (found.share, found.train_median, found.control_median) == (1.0, 2.0, 8.0)


def test_larger_set_is_cut_to_the_smaller_one() -> None:
    """Ten times as many training records would be closest ten times as often; they are not used."""
    found = closeness(draws(2000, 1), draws(1000, 2), draws(100, 3), seed=1)
    assert found.records == 100
    assert found.usual[0] <= found.share <= found.usual[1]
    assert found.usual[1] < 0.75 < 1000 / 1100


def test_many_rows_are_compared_in_pieces_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The size of a piece bounds memory and changes no number."""
    sets = draws(50, 1), draws(20, 2), draws(20, 3)
    whole = closeness(*sets, seed=1)
    monkeypatch.setattr("dpfedsyn.metrics.closeness._CELLS_AT_ONCE", 120)
    pieces = closeness(*sets, seed=1)
    assert pieces.share == pytest.approx(whole.share)
    assert pieces.train_median == whole.train_median


@pytest.mark.parametrize(
    ("rows", "train", "control"),
    [
        (draws(0, 1), draws(2, 1), draws(2, 1)),
        (draws(2, 1), draws(2, 1), draws(0, 1)),
        (draws(2, 1), draws(2, 1, d=4), draws(2, 1)),
        (draws(2, 1)[0], draws(2, 1), draws(2, 1)),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(rows: Rows, train: Rows, control: Rows) -> None:
    """Empty sets and other widths give one DataError with the shapes."""
    with pytest.raises(DataError, match="cannot be compared; give"):
        closeness(rows, train, control, seed=1)
