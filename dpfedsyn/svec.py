"""Symmetric matrices as vectors of the same norm: upper triangles, off-diagonals times sqrt 2."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def length(dimension: int) -> int:
    """Numbers in the vector of a matrix (d, d)."""
    return dimension * (dimension + 1) // 2


def of_matrix(matrix: Array) -> Array:
    """Return svec of a symmetric matrix (d, d)."""
    rows, columns, twice = _triangle(len(matrix))
    vector: Array = matrix[rows, columns] * twice
    return vector


def of_products(x: Array) -> Array:
    """Return svec(x x^T) of each row of x (n, d): norm |x|^2, shape (n, d (d + 1) / 2)."""
    rows, columns, twice = _triangle(x.shape[1])
    products: Array = x[:, rows] * x[:, columns]
    products *= twice
    return products


def matrices(vectors: Array, dimension: int) -> Array:
    """Return the symmetric matrices (..., d, d) of vectors (..., d (d + 1) / 2)."""
    rows, columns, twice = _triangle(dimension)
    found = np.zeros((*vectors.shape[:-1], dimension, dimension))
    found[..., rows, columns] = found[..., columns, rows] = vectors / twice
    return found


@cache
def _triangle(dimension: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    rows, columns = np.triu_indices(dimension)
    return rows, columns, np.where(rows == columns, 1.0, math.sqrt(2.0))
