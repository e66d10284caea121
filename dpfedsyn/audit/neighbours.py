"""Whether two data sets are neighbours, where it can be seen.

Rows are compared as a multiset: order is not part of a data set. Data that has no rows (a model, a
path, an object of one's own) is taken as it is.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from accountants import Adjacency, Unit
from dpfedsyn.audit.reading import of_tensor
from dpfedsyn.errors import AuditError

Rows: TypeAlias = Counter[bytes]


def check(neighbours: Any, adjacency: Adjacency, unit: Unit) -> tuple[Any, Any]:
    """The pair, if it is one.

    Raises:
        AuditError: not two data sets, the same twice, data that can be read once only, or rows that
            differ by more than one record under the adjacency (for unit "record"; several rows of
            one person or silo may differ).
    """
    try:
        first, second = neighbours
    except (TypeError, ValueError):
        raise AuditError(
            f"neighbours of type {type(neighbours).__name__} are not two data sets, so there is "
            "nothing to tell apart. Pass (D0, D1)."
        ) from None
    for data in (first, second):
        if isinstance(data, Iterator):
            raise AuditError(
                f"A neighbour is a {type(data).__name__}, which can be read once only, so that "
                "later calls would see no data. Pass a list or an array."
            )
    readings = rows(first, second)
    if readings and all(one == other for one, other in readings):
        raise AuditError(
            "The neighbours hold the same rows: no mechanism could tell them apart and the audit "
            "would test nothing. Pass data sets that differ in one record."
        )
    unseen = unit is not Unit.RECORD or not readings
    if not unseen and not any(_neighbours(*reading, adjacency) for reading in readings):
        raise _no_neighbours(*readings[-1], adjacency)
    return first, second


def rows(first: Any, second: Any) -> list[tuple[Rows, Rows]]:
    """Both data sets' rows in each way that they can be read; none for data without rows.

    A tuple of arrays may hold rows, or columns such as (records, labels).
    """
    pair = _arrays(first), _arrays(second)
    found = [tuple(map(_counted, pair))]
    if all(isinstance(data, tuple) and _columns(data) for data in pair):
        found.append(tuple(Counter(map(_bytes, zip(*data, strict=True))) for data in pair))
    return [(one, other) for one, other in found if one is not None and other is not None]


def fingerprint(pair: tuple[Any, Any]) -> int:
    """Changes where the data does: of the rows in any order."""
    readings = rows(*pair)
    return hash(tuple(frozenset(one.items()) for reading in readings for one in reading))


def _neighbours(one: Rows, other: Rows, adjacency: Adjacency) -> bool:
    gone, come = one - other, other - one
    difference = gone.total(), come.total()
    if adjacency is Adjacency.ADD_OR_REMOVE:
        return difference in ((0, 1), (1, 0))
    zeroed = any(not any(row) for row in (*come, *gone))
    return difference == (1, 1) and (zeroed or adjacency is not Adjacency.ZERO_OUT)


def _no_neighbours(one: Rows, other: Rows, adjacency: Adjacency) -> AuditError:
    return AuditError(
        f"The neighbours differ by {(one - other).total()} rows that only D0 has and "
        f"{(other - one).total()} that only D1 has: no neighbours under '{adjacency}', so that a "
        "difference between their outputs would contradict nothing. Pass data sets that differ in "
        "one record, the adjacency that they belong to, or unit='person' for several rows of one "
        "person."
    )


def _arrays(data: Any) -> Any:
    """Tensors and data frames as arrays, also those in a tuple or list."""
    if type(data) in (tuple, list):
        return type(data)(map(_array, data))
    return _array(data)


def _array(data: Any) -> Any:
    return data.to_numpy() if hasattr(data, "to_numpy") else of_tensor(data)


def _columns(data: tuple[Any, ...]) -> bool:
    lengths = {len(part) if isinstance(part, np.ndarray) and part.ndim else None for part in data}
    return len(lengths) == 1 and None not in lengths


def _counted(data: Any) -> Rows | None:
    if isinstance(data, np.ndarray) and data.ndim > 0:
        return Counter(map(_bytes, data if (plain := _plain(data)) is None else plain))
    return Counter(map(_bytes, data)) if isinstance(data, (list, tuple)) else None


def _plain(data: Any) -> Any:
    """Numbers as float64 without a negative zero, where nothing is lost by that; else None."""
    if data.dtype.kind not in "biuf":
        return None
    plain = data.astype(np.float64) + 0.0
    exact = data.dtype.kind in "bf" or np.abs(plain).max(initial=0.0) < 2.0**53
    return plain if exact else None


def _bytes(row: Any) -> bytes:
    """What makes a row itself: equal numbers are equal in every type, and zeros are zero bytes."""
    row = _array(row)
    if isinstance(row, Mapping):
        row = [part for key in sorted(row, key=str) for part in (str(key), row[key])]
    if isinstance(row, (list, tuple)) and not all(isinstance(part, (int, float)) for part in row):
        return b"".join(map(_bytes, row))
    if isinstance(row, (list, tuple, int, float, np.ndarray, np.number, np.bool_)):
        array = np.asarray(row)
        plain = _plain(array)
        if plain is not None:
            return bytes(plain.tobytes())
        if array.ndim > 0:
            return b"".join(map(_bytes, array.tolist()))
    return b"\1" + repr(row).encode()
