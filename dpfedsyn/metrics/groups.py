"""Utility per group: whom do synthetic rows serve worse than the average hides?

Small groups lose most under differential privacy (Bagdasaryan, Poursaeed & Shmatikov 2019), and a
mean over all test rows does not show it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dpfedsyn.errors import DataError

SMALL = 30
"""Test rows below which a group's accuracy is marked as hardly known."""


@dataclass(frozen=True)
class Group:
    """Accuracy on the real test rows of one group.

    Args:
        kind: what divides the rows ("label", "silo", a public column). name: of this group.
        rows: of the test part. accuracy: share of them that was classified correctly.
        standard_error: binomial, sqrt(a (1 - a) / rows). It is 0 where all or none are correct,
            which says little of a small group.
        small: fewer than `SMALL` rows.
    """

    kind: str
    name: str
    rows: int
    accuracy: float
    standard_error: float
    small: bool


def by_group(correct: ArrayLike, groups: Mapping[str, Sequence[str]]) -> tuple[Group, ...]:
    """Divide the test rows by each kind of group and give the accuracy of every part.

    Args:
        correct: (m,) bool, whether a test row was classified correctly.
        groups: kind -> m names, one per test row. Groups without test rows do not appear.

    Returns:
        Kinds in the mapping's order, names in alphabetical order; "10" stands before "9".

    Raises:
        DataError: `correct` is not (m,) bool, or a kind has not one name per row.
    """
    right = np.asarray(correct)
    if right.ndim != 1 or right.dtype != np.bool_:
        raise DataError(
            f"correct has shape {right.shape} and dtype {right.dtype}, so no group was scored; "
            "give one bool per test row"
        )
    for kind, names in groups.items():
        if len(names) != len(right):
            raise DataError(
                f"{len(names)} names of {kind!r} for {len(right)} test rows, so no group was "
                "scored; give one name per row"
            )
    found = []
    for kind, names in groups.items():
        of_row = np.array(names, dtype=np.str_)
        for name in np.unique(of_row):
            part = right[of_row == name]
            found.append(_group(kind, str(name), len(part), float(part.mean())))
    return tuple(found)


def _group(kind: str, name: str, rows: int, accuracy: float) -> Group:
    error = math.sqrt(accuracy * (1.0 - accuracy) / rows)
    return Group(kind, name, rows, accuracy, error, rows < SMALL)
