"""Utility per group: whom do synthetic rows serve worse than the average hides?

Small groups lose most under differential privacy (Bagdasaryan, Poursaeed & Shmatikov 2019), and a
mean over all test rows does not show it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from dpfedsyn.errors import DataError

SMALL = 30
"""Test rows below which a group's accuracy is marked as too little known to say anything."""
MISS = 0.05
"""How often an interval misses the accuracy that fresh rows of its group would show, at most."""


@dataclass(frozen=True)
class Group:
    """Accuracy on the real test rows of one group.

    Args:
        kind: what divides the rows ("label", "silo", a public column). name: of this group.
        rows: of the test part. accuracy: share of them that was classified correctly.
        low, high: exact interval of it (Clopper & Pearson 1934), which misses in `MISS` of cases.
        small: fewer than `SMALL` rows.
        below: not small, and the whole interval lies below the accuracy on all test rows.
        reference: accuracy on the same rows of what the caller compares with; None: nothing.
    """

    kind: str
    name: str
    rows: int
    accuracy: float
    low: float
    high: float
    small: bool
    below: bool
    reference: float | None = None


def by_group(
    correct: ArrayLike, groups: Mapping[str, Sequence[str]], reference: ArrayLike | None = None
) -> tuple[Group, ...]:
    """Divide the test rows by each kind of group and give the accuracy of every part.

    Args:
        correct: (m,) bool, whether a test row was classified correctly.
        groups: kind -> m names, one per test row. Groups without test rows do not appear.
        reference: (m,) bool, the same of another classifier.

    Returns:
        Kinds in the mapping's order, names in alphabetical order; "10" stands before "9".

    Raises:
        DataError: `correct` or `reference` is not (m,) bool, or a kind has not one name per row.
    """
    right = _checked(correct)
    other = None if reference is None else _checked(reference)
    given = {f"names of {kind!r}": len(names) for kind, names in groups.items()}
    if other is not None:
        given["entries of the reference"] = len(other)
    for what, count in given.items():
        if count != len(right):
            raise DataError(
                f"{count} {what} for {len(right)} test rows, so no group was scored; give one per "
                "row"
            )
    found = []
    for kind, names in groups.items():
        of_row = np.array(names, dtype=np.str_)
        for name in np.unique(of_row):
            own = of_row == name
            compared = None if other is None else float(other[own].mean())
            found.append(_group(kind, str(name), right[own], float(right.mean()), compared))
    return tuple(found)


def _checked(correct: ArrayLike) -> NDArray[np.bool_]:
    right = np.asarray(correct)
    if right.ndim != 1 or right.dtype != np.bool_:
        raise DataError(
            f"correct has shape {right.shape} and dtype {right.dtype}, so no group was scored; "
            "give one bool per test row"
        )
    return right


def _group(
    kind: str, name: str, right: NDArray[np.bool_], whole: float, reference: float | None
) -> Group:
    rows, hits = len(right), int(right.sum())
    low = 0.0 if hits == 0 else float(betaincinv(hits, rows - hits + 1, MISS / 2))
    high = 1.0 if hits == rows else float(betaincinv(hits + 1, rows - hits, 1.0 - MISS / 2))
    small = rows < SMALL
    below = not small and high < whole
    return Group(kind, name, rows, hits / rows, low, high, small, below, reference)
