"""Rows that are scaled down to a norm, in exact arithmetic, whatever they hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def clip_rows(rows: Array, radius: float) -> Array:
    """Scale each row down to L2 norm <= radius; non-finite rows become zeros.

    Guarantee:
        The norm of every returned row is at most `radius` in exact arithmetic on the returned
        floats: the scale is shortened by 1e-12, far more than float64 rounding can add back.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("nd,nd->n", rows, rows)
        norms = np.sqrt(squares)
    if not np.isfinite(squares).all():
        rows, norms = _tamed(rows)
    scale = (radius / np.maximum(norms, radius)) * (1.0 - 1e-12)
    clipped: Array = rows * scale[:, None]
    return clipped


def _tamed(rows: Array) -> tuple[Array, Array]:
    """Return rows without non-finite ones, scaled down where squares overflow, and their norms."""
    rows = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0.0)
    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    rows = np.where(largest > 1e100, rows / np.where(largest > 0.0, largest, 1.0) * 1e100, rows)
    return rows, np.sqrt(np.einsum("nd,nd->n", rows, rows))
