"""Utility per group: shares by hand, parts that add up to the whole, and refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.errors import DataError
from dpfedsyn.metrics.groups import SMALL, Group, by_group


def test_two_kinds_by_hand() -> None:
    """Labels a (2 of 3 correct) and b (0 of 1); one silo (2 of 4)."""
    found = by_group(
        np.array([True, False, False, True]),
        {"silo": ["north"] * 4, "label": ["a", "b", "a", "a"]},
    )
    assert found == (
        Group("silo", "north", 4, 0.5, 0.25, True),
        Group("label", "a", 3, pytest.approx(2 / 3), pytest.approx(math.sqrt(2 / 27)), True),
        Group("label", "b", 1, 0.0, 0.0, True),
    )


@pytest.mark.parametrize(("rows", "small"), [(SMALL - 1, True), (SMALL, False)])
def test_a_group_is_small_below_thirty_rows(rows: int, small: bool) -> None:
    """29 rows are marked, 30 are not."""
    (group,) = by_group(np.ones(rows, dtype=bool), {"label": ["a"] * rows})
    assert SMALL == 30
    assert group == Group("label", "a", rows, 1.0, 0.0, small)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c"])), min_size=1))
def test_groups_of_one_kind_add_up_to_the_whole(rows: list[tuple[bool, str]]) -> None:
    """Rows add up, accuracies weighted by rows average to the accuracy of all, names are sorted."""
    correct = np.array([right for right, _ in rows])
    found = by_group(correct, {"label": [name for _, name in rows]})
    assert sum(group.rows for group in found) == len(rows)
    mean = sum(group.rows * group.accuracy for group in found) / len(rows)
    assert mean == pytest.approx(correct.mean())
    assert [group.name for group in found] == sorted({name for _, name in rows})


def test_the_standard_error_is_the_spread_of_the_accuracy() -> None:
    """4,000 groups of 40 rows, each correct with probability .8: the accuracies' spread is the root
    mean square of the errors, within 5 of its own sd, 5.6 % (false alarm 6e-7); 7 % more rejects.
    """
    random = np.random.default_rng(1)
    groups, rows = 4000, 40
    correct = random.random(groups * rows) < 0.8
    names = [str(i // rows) for i in range(groups * rows)]
    found = by_group(correct, {"label": names})
    spread = float(np.std([group.accuracy for group in found]))
    # a (1 - a) of a sample is too small by 1 / rows on average.
    error = math.sqrt(np.mean([g.standard_error**2 for g in found]) * rows / (rows - 1))
    tolerance = 5 / math.sqrt(2 * groups)
    assert abs(spread / error - 1) < tolerance < abs(1.07 * spread / error - 1)


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
