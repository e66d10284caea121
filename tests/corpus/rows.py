"""What the small programs of the corpus share."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rng = np.random.Generator


def clipped(rows: Array, norm: float = 1.0) -> Array:
    """Scale the rows down to `norm`; non-finite rows become zeros."""
    rows = np.where(np.isfinite(rows).all(axis=-1, keepdims=True), rows, 0.0)
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


VALUES = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 1e3, np.nan, np.inf]), st.floats(-50.0, 50.0))


def pairs(width: int, *, values: Any = VALUES, replace: bool = False) -> Any:
    """Generate neighbours: up to six rows, and a row that comes or is exchanged at the end."""
    rows = st.integers(1, 6).flatmap(lambda n: arrays(np.float64, (n, width), elements=values))
    if not replace:
        return rows.map(lambda x: (x[:-1], x))
    one = arrays(np.float64, width, elements=values)
    return st.tuples(rows, one).map(lambda pair: (pair[0], np.vstack([pair[0][:-1], pair[1]])))
