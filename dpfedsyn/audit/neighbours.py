"""Whether two data sets are neighbours, where it can be seen.

Rows are compared as a multiset: order is not part of a data set. Data that has no rows (a model, a
path, an object of one's own) is taken as it is.
"""

from collections import Counter
from typing import Any

import numpy as np

from accountants import Adjacency, Unit
from dpfedsyn.errors import AuditError


def check(neighbours: Any, adjacency: Adjacency, unit: Unit) -> tuple[Any, Any]:
    """The pair, if it is one.

    Raises:
        AuditError: not two data sets, the same twice, or rows that differ by more than one record
            under the adjacency (for unit "record"; several rows of one person or silo may differ).
    """
    try:
        first, second = neighbours
    except (TypeError, ValueError):
        raise AuditError(
            f"neighbours of type {type(neighbours).__name__} are not two data sets, so there is "
            "nothing to tell apart. Pass (D0, D1)."
        ) from None
    rows = _rows(first), _rows(second)
    if rows[0] is None or rows[1] is None:
        return first, second
    gone, come = Counter(rows[0]) - Counter(rows[1]), Counter(rows[1]) - Counter(rows[0])
    difference = sum(gone.values()), sum(come.values())
    if difference == (0, 0):
        raise AuditError(
            "The neighbours hold the same rows: no mechanism could tell them apart and the audit "
            "would test nothing. Pass data sets that differ in one record."
        )
    if unit is Unit.RECORD:
        _check_difference(difference, come, gone, adjacency)
    return first, second


def _check_difference(
    difference: tuple[int, int], come: Counter[bytes], gone: Counter[bytes], adjacency: Adjacency
) -> None:
    allowed = {
        Adjacency.ADD_OR_REMOVE: {(0, 1), (1, 0)},
        Adjacency.REPLACE: {(1, 1)},
        Adjacency.ZERO_OUT: {(1, 1)},
    }[adjacency]
    zeroed = adjacency is not Adjacency.ZERO_OUT or any(not any(row) for row in (*come, *gone))
    if difference not in allowed or not zeroed:
        raise AuditError(
            f"The neighbours differ by {difference[0]} rows that only D0 has and {difference[1]} "
            f"that only D1 has: no neighbours under '{adjacency}', so that a difference between "
            "their outputs would contradict nothing. Pass data sets that differ in one record, "
            "the adjacency that they belong to, or unit='person' for several rows of one person."
        )


def _rows(data: Any) -> list[bytes] | None:
    """Each row's bytes, if the data has rows of numbers."""
    if hasattr(data, "detach"):
        data = data.detach().cpu().numpy()
    if hasattr(data, "to_numpy"):
        data = data.to_numpy()
    if isinstance(data, (list, tuple)):
        try:
            data = np.asarray(data, dtype=np.float64)
        except (TypeError, ValueError):
            return [repr(row).encode() for row in data]
    if not isinstance(data, np.ndarray) or data.ndim == 0:
        return None
    if data.dtype.kind == "O":
        return [repr(list(np.atleast_1d(row))).encode() for row in data]
    return [
        (row + row.dtype.type(0)).tobytes() if data.dtype.kind == "f" else row.tobytes()
        for row in np.ascontiguousarray(data)
    ]
