"""How alike two tables are: one column at a time, and two at a time. 1 is alike, 0 disjoint.

Marginals: 1 - Kolmogorov-Smirnov statistic for numbers, 1 - total variation for codes.
Pairs: 1 - |difference of correlations| / 2 for two numbers, else 1 - total variation of the
contingency table, numbers in ten public bins. (The definitions of SDMetrics' quality report.)
Days count as numbers, and so do the places of ordered levels.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpfedsyn.cells import distinct
from dpfedsyn.columns import Column, Ordered, Target
from dpfedsyn.errors import DataError
from dpfedsyn.schema import Schema

BINS = 10
"""Bins of equal width between a number's public bounds, for contingency tables."""

_Floats: TypeAlias = NDArray[np.float64]
_Pair: TypeAlias = tuple[_Floats, _Floats]


@dataclass(frozen=True)
class Similarity:
    """Similarity per column and per pair of columns, each in [0, 1], with the means.

    Args:
        marginals: by column name.
        pairwise: by "first & second".
    """

    marginals: dict[str, float]
    marginal_mean: float
    pairwise: dict[str, float]
    pairwise_mean: float


def similarity(real: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema) -> Similarity:
    """Compare two tables of one schema, label included.

    A missing code counts as a value in marginals, as a bin of its own in contingency tables, and
    leaves its row out of correlations. An undefined correlation (a constant column) counts as 0.

    Args:
        real, synthetic: tables in the schema's own columns and codes, such as `TableEncoder.frame`
            returns; the numbers of rows may differ.

    Raises:
        DataError: a table is empty, lacks a column or holds an invalid cell.
    """
    kinds: dict[str, Column | Target] = {column.name: column for column in schema.columns}
    kinds[schema.target.column] = schema.target
    columns = {
        name: (_read(real, name, kind, "real"), _read(synthetic, name, kind, "synthetic"))
        for name, kind in kinds.items()
    }
    marginals = {name: _marginal(kinds[name], *columns[name]) for name in kinds}
    pairwise = {
        f"{a} & {b}": _pairwise((kinds[a], kinds[b]), (columns[a], columns[b]))
        for a, b in combinations(kinds, 2)
    }
    return Similarity(
        marginals,
        float(np.mean(list(marginals.values()))),
        pairwise,
        float(np.mean(list(pairwise.values()))),
    )


def _read(frame: pd.DataFrame, name: str, kind: Column | Target, what: str) -> _Floats:
    if name not in frame.columns or not len(frame):
        raise DataError(
            f"the {what} table ({len(frame)} rows) has no values in column {name!r}, so it cannot "
            "be compared; give a table of the schema with at least one row"
        )
    which, different = distinct(frame[name].tolist())
    return np.array([kind.read(cell) for cell in different], dtype=np.float64)[which]


def _marginal(kind: Column | Target, real: _Floats, synthetic: _Floats) -> float:
    if isinstance(kind, Ordered):
        return 1.0 - _kolmogorov_smirnov(real, synthetic)
    return 1.0 - _total_variation(real, synthetic)


def _kolmogorov_smirnov(a: _Floats, b: _Floats) -> float:
    """Largest distance between two empirical distribution functions."""
    points = np.union1d(a, b)
    below_a = np.searchsorted(np.sort(a), points, side="right") / len(a)
    below_b = np.searchsorted(np.sort(b), points, side="right") / len(b)
    return float(np.abs(below_a - below_b).max())


def _total_variation(a: _Floats, b: _Floats) -> float:
    """Half the L1 distance between two empirical laws on the same finite set."""
    points = np.union1d(a, b)
    shares_a = np.bincount(np.searchsorted(points, a), minlength=len(points)) / len(a)
    shares_b = np.bincount(np.searchsorted(points, b), minlength=len(points)) / len(b)
    return float(min(np.abs(shares_a - shares_b).sum() / 2, 1.0))


def _pairwise(kinds: tuple[Column | Target, Column | Target], pairs: tuple[_Pair, _Pair]) -> float:
    first, second = kinds
    (real_a, synthetic_a), (real_b, synthetic_b) = pairs
    if isinstance(first, Ordered) and isinstance(second, Ordered):
        real = _correlation(first, second, real_a, real_b)
        synthetic = _correlation(first, second, synthetic_a, synthetic_b)
        return 1.0 - abs(real - synthetic) / 2
    # One number per cell of the contingency table; no column has more than `span` cells.
    span = 1.0 + max(_cells(second, values).max() for values in (real_b, synthetic_b))
    return 1.0 - _total_variation(
        _cells(first, real_a) * span + _cells(second, real_b),
        _cells(first, synthetic_a) * span + _cells(second, synthetic_b),
    )


def _correlation(first: Ordered, second: Ordered, a: _Floats, b: _Floats) -> float:
    measured = ~np.isin(a, first.missing) & ~np.isin(b, second.missing)
    a, b = a[measured], b[measured]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0))


def _cells(kind: Column | Target, values: _Floats) -> _Floats:
    """The cell of each value: its code, or its public bin; a missing code has bin `BINS`."""
    if not isinstance(kind, Ordered):
        return values
    low, high = kind.limits
    bins = np.clip(np.floor((values - low) / (high - low) * BINS), 0, BINS - 1)
    return np.where(np.isin(values, kind.missing), float(BINS), bins)
