"""Utility per group: shares by hand, parts that add up to the whole, and refusals."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from dpfedsyn.errors import DataError
from dpfedsyn.metrics.groups import MISS, SMALL, Group, by_group


def near(value: float) -> Any:
    """Return an approximation to the digits of a printed table."""
    return pytest.approx(value, abs=1e-6)


def test_two_kinds_by_hand() -> None:
    """Labels a (2 of 3 correct) and b (0 of 1); one silo (2 of 4)."""
    found = by_group(
        np.array([True, False, False, True]),
        {"silo": ["north"] * 4, "label": ["a", "b", "a", "a"]},
    )
    assert found == (
        Group("silo", "north", 4, 0.5, near(0.067586), near(0.932414), True, False),
        Group("label", "a", 3, near(2 / 3), near(0.094299), near(0.991596), True, False),
        Group("label", "b", 1, 0.0, 0.0, near(0.975), True, False),
    )


@pytest.mark.parametrize(("rows", "small"), [(SMALL - 1, True), (SMALL, False)])
def test_a_group_is_small_below_thirty_rows(rows: int, small: bool) -> None:
    """29 rows are marked, 30 are not."""
    (group,) = by_group(np.ones(rows, dtype=bool), {"label": ["a"] * rows})
    assert SMALL == 30
    assert group == Group("label", "a", rows, 1.0, near(0.025 ** (1 / rows)), 1.0, small, False)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c"])), min_size=1))
def test_groups_of_one_kind_add_up_to_the_whole(rows: list[tuple[bool, str]]) -> None:
    """Rows add up, accuracies weighted by rows average to the accuracy of all, names are sorted."""
    correct = np.array([right for right, _ in rows])
    found = by_group(correct, {"label": [name for _, name in rows]})
    assert sum(group.rows for group in found) == len(rows)
    mean = sum(group.rows * group.accuracy for group in found) / len(rows)
    assert mean == pytest.approx(correct.mean())
    assert [group.name for group in found] == sorted({name for _, name in rows})


@given(st.integers(1, 200), st.floats(0.02, 0.98))
def test_an_interval_misses_the_true_accuracy_as_rarely_as_it_says(rows: int, truth: float) -> None:
    """Over all numbers of correct rows, weighted by their binomial law: exact, no chance."""
    weights = binom.pmf(np.arange(rows + 1), rows, truth)
    missed = 0.0
    for hits, weight in enumerate(weights):
        if weight > 1e-12:
            (group,) = by_group(np.arange(rows) < hits, {"label": ["a"] * rows})
            missed += weight * (not group.low <= truth <= group.high)
    assert missed <= MISS + 1e-9


def test_a_group_is_below_average_only_where_its_whole_interval_is() -> None:
    """20 of 100 right beside 95 of 100: below; 88 beside 95, and a small group, are not."""
    correct = np.concatenate([np.arange(100) < k for k in (20, 95, 88)] + [np.zeros(5, dtype=bool)])
    names = ["a"] * 100 + ["b"] * 100 + ["c"] * 100 + ["d"] * 5
    found = {group.name: group for group in by_group(correct, {"label": names})}
    assert [name for name, group in found.items() if group.below] == ["a"]
    assert found["d"].small
    assert found["d"].accuracy == 0.0


def test_the_reference_is_divided_like_the_rows() -> None:
    """Accuracy of another classifier on the same rows of each group; None where there is none."""
    groups = {"label": ["a", "a", "b"]}
    right = np.array([True, False, True])
    assert [g.reference for g in by_group(right, groups, ~right)] == [0.5, 0.0]
    assert [g.reference for g in by_group(right, groups)] == [None, None]
    with pytest.raises(DataError, match="2 entries of the reference for 3 test rows"):
        by_group(right, groups, right[:2])


def test_no_rows_and_no_kinds_make_no_groups() -> None:
    """An empty test part is no error here."""
    assert by_group(np.zeros(0, dtype=bool), {"label": []}) == ()
    assert by_group(np.ones(3, dtype=bool), {}) == ()


def test_rows_that_cannot_be_divided_are_refused() -> None:
    """Too few names, and predicted labels in place of bool."""
    with pytest.raises(DataError, match="2 names of 'silo' for 3 test rows"):
        by_group(np.ones(3, dtype=bool), {"silo": ["a", "b"]})
    with pytest.raises(DataError, match="give one bool per test row"):
        by_group(np.array([0, 1, 2]), {})
    with pytest.raises(DataError, match=r"shape \(1, 3\)"):
        by_group(np.ones((1, 3), dtype=bool), {})
