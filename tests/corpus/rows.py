"""What the small programs of the corpus share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn.testing import strategies as dps

Array = NDArray[np.float64]
Rng = np.random.Generator


def finite(rows: Array) -> Array:
    """Put zeros in place of rows that hold a NaN or an infinity."""
    return np.where(np.isfinite(rows).all(axis=-1, keepdims=True), rows, 0.0)


def clipped(rows: Array, norm: float = 1.0) -> Array:
    """Scale the rows down to `norm`; non-finite rows become zeros."""
    rows = finite(rows)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows * np.minimum(1.0, norm / np.maximum(lengths, 1e-12))


def noised(value: Any, std: float, rng: Rng) -> Any:
    """Add Gaussian noise to every entry."""
    value = np.asarray(value, dtype=np.float64)
    return value + rng.normal(0.0, std, value.shape)


def added(record: Any, base: Any = ((0.0, 0.3), (0.0, 0.3), (0.0, 0.3))) -> tuple[Array, Array]:
    """Return data without and with a record; it comes last."""
    rows = np.asarray(base, dtype=np.float64)
    return rows, np.concatenate([rows, np.asarray([record], dtype=np.float64)])


def replaced(old: Any, new: Any, base: Any = ((0.0, 0.3), (0.0, 0.3))) -> tuple[Array, Array]:
    """Return data in which the last record is exchanged."""
    return added(old, base)[1], added(new, base)[1]


def pairs(width: int, *, replace: bool = False) -> Any:
    """Generate neighbours of the kit's: rows of any size, with what breaks clipping."""
    adjacency = Adjacency.REPLACE if replace else Adjacency.ADD_OR_REMOVE
    record = dps.records(shape=(width,), bound=50.0, extreme=True)
    return dps.neighbours(record, adjacency=adjacency)
