"""Records, data sets and neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from accountants import Adjacency

Array = NDArray[Any]

# What breaks clipping: not a number, overflow of squares, numbers without leading bit, signed zero.
EXTREMES = (float("nan"), float("inf"), -float("inf"), 1e38, -1e38, 1e-310, 5e-324, -0.0)
"""Numbers on which programs stumble."""


def records(
    shape: tuple[int, ...] = (4,),
    *,
    dtype: str = "float64",
    bound: float = 10.0,
    extreme: bool = False,
) -> st.SearchStrategy[Array]:
    """One record: an array of this shape.

    Args:
        bound: largest absolute value of usual entries.
        extreme: with `EXTREMES` too, as far as the type has them.
    """
    usual: st.SearchStrategy[float]
    if np.dtype(dtype).kind == "f":
        usual = st.floats(-bound, bound, width=32 if np.dtype(dtype).itemsize == 4 else 64)
    else:
        usual = st.integers(0, int(bound))
    if extreme:
        with np.errstate(over="ignore", under="ignore"):
            usual |= st.sampled_from([float(np.dtype(dtype).type(x)) for x in EXTREMES])
    return arrays(dtype, shape, elements=usual)


def datasets(
    record: st.SearchStrategy[Array], *, min_size: int = 0, max_size: int = 8
) -> st.SearchStrategy[Array]:
    """Rows of records, (n, *shape); n may be 0."""
    return st.tuples(record, st.lists(record, min_size=min_size, max_size=max_size)).map(_rows)


@st.composite
def neighbours(
    draw: st.DrawFn,
    record: st.SearchStrategy[Array],
    *,
    adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE,
    min_size: int = 0,
    max_size: int = 8,
    rows: int = 1,
) -> tuple[Array, Array]:
    """Pairs (without, with): data sets that differ in one unit; its rows come last.

    add-or-remove: `with` has rows more. replace: the same number of rows, others in their place.
    zero-out: zeros in their place. Pairs that are the same data set are not drawn.

    Args:
        min_size: of the rows that both have.
        max_size: of the rows that both have.
        rows: of the unit, 1 for a record; a person brings from 1 to so many.
    """
    kind = Adjacency(adjacency)
    shared = draw(st.lists(record, min_size=min_size, max_size=max_size))
    mine = draw(st.lists(record, min_size=1, max_size=rows))
    instead: list[Array] = []
    if kind is Adjacency.REPLACE:
        instead = draw(st.lists(record, min_size=len(mine), max_size=len(mine)))
    if kind is Adjacency.ZERO_OUT:
        instead = [np.zeros_like(row) for row in mine]
    pair = _rows((mine[0], [*shared, *instead])), _rows((mine[0], [*shared, *mine]))
    assume(_differ(pair))
    return pair


def _rows(drawn: tuple[Array, list[Array]]) -> Array:
    example, rows = drawn
    return np.stack(rows) if rows else np.zeros((0, *example.shape), example.dtype)


def _differ(pair: tuple[Array, Array]) -> bool:
    """Whether they hold different rows; order is not part of a data set, nor the sign of zeros."""
    one, other = (sorted((row + 0).tobytes() for row in rows) for rows in pair)
    return one != other
