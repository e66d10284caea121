"""Similarity of tables: 1 for identical, 0 for disjoint, closed forms between."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.columns import Binary, Categorical, Numeric, Target
from dpfedsyn.errors import DataError
from dpfedsyn.file_format import FileFormat
from dpfedsyn.metrics.similarity import Similarity, similarity
from dpfedsyn.schema import Schema

SCHEMA = Schema(
    "four",
    FileFormat(),
    (
        Numeric("a", (0, 100)),
        Numeric("b", (0, 100), missing_codes=(-1.0,)),
        Binary("c"),
        Categorical("d", ("x", "y", "z")),
    ),
    Target("y", (0, 1), ("no", "yes")),
)

rows = st.tuples(
    st.integers(0, 100),
    st.integers(-1, 100),
    st.integers(0, 1),
    st.sampled_from("xyz"),
    st.integers(0, 1),
)
tables = st.lists(rows, min_size=1, max_size=20).map(
    lambda cells: pd.DataFrame(cells, columns=list(SCHEMA.names))
)


def table(**columns: list[object]) -> pd.DataFrame:
    """A table in which every column that is not given is constant."""
    n = len(next(iter(columns.values())))
    constant: dict[str, list[object]] = {"a": [0], "b": [0], "c": [0], "d": ["x"], "y": [0]}
    return pd.DataFrame({name: columns.get(name, cells * n) for name, cells in constant.items()})


def values(result: Similarity) -> list[float]:
    return [*result.marginals.values(), *result.pairwise.values()]


@given(tables)
def test_a_table_is_entirely_similar_to_itself(frame: pd.DataFrame) -> None:
    """Every number is 1, in any order of the rows and repeated twice."""
    for other in (frame, frame.iloc[::-1], pd.concat([frame, frame])):
        result = similarity(frame, other, SCHEMA)
        assert values(result) == pytest.approx([1.0] * (5 + 10), abs=1e-12)
        assert (result.marginal_mean, result.pairwise_mean) == pytest.approx((1.0, 1.0))


def test_disjoint_tables_have_similarity_zero() -> None:
    """No value in common: every marginal and every table of counts is 0."""
    real = table(a=[1, 2], b=[3, 4], c=[0, 0], d=["x", "x"], y=[0, 0])
    other = table(a=[98, 99], b=[-1, -1], c=[1, 1], d=["y", "z"], y=[1, 1])
    result = similarity(real, other, SCHEMA)
    assert list(result.marginals.values()) == [0.0] * 5
    counted = {pair: value for pair, value in result.pairwise.items() if pair != "a & b"}
    assert len(counted) == 9
    assert set(counted.values()) == {0.0}


@given(tables, tables)
def test_similarity_is_symmetric_and_within_its_range(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Swapping the tables changes nothing; all numbers lie in [0, 1]; means are means."""
    result = similarity(a, b, SCHEMA)
    assert values(result) == pytest.approx(values(similarity(b, a, SCHEMA)), abs=1e-12)
    assert all(0 <= value <= 1 for value in values(result))
    assert result.marginal_mean == pytest.approx(np.mean(list(result.marginals.values())))
    assert result.pairwise_mean == pytest.approx(np.mean(list(result.pairwise.values())))


@given(tables, tables)
def test_marginals_of_numbers_follow_the_definition(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """One minus the largest difference between the shares of rows up to any value."""
    points = range(101)
    distance = max(abs((a["a"] <= point).mean() - (b["a"] <= point).mean()) for point in points)
    assert similarity(a, b, SCHEMA).marginals["a"] == pytest.approx(1 - distance, abs=1e-12)


def test_shifted_numbers_lose_the_shifted_share() -> None:
    """0..99 against 20..99 and twenty values of 100: the distribution functions differ by 0.2."""
    result = similarity(table(a=[*range(100)]), table(a=[*range(20, 100), *[100] * 20]), SCHEMA)
    assert result.marginals["a"] == pytest.approx(0.8)
    assert result.marginals["c"] == 1.0


def test_codes_lose_the_share_that_moved() -> None:
    """Shares .5/.5/0 against .5/.25/.25: total variation .25."""
    result = similarity(table(d=["x", "x", "y", "y"]), table(d=["x", "x", "y", "z"]), SCHEMA)
    assert result.marginals["d"] == pytest.approx(0.75)


def test_share_of_missing_values_counts_in_the_marginal() -> None:
    """Half the values missing against none: the distribution functions differ by one half."""
    result = similarity(table(b=[-1, 5]), table(b=[5, 5]), SCHEMA)
    assert result.marginals["b"] == pytest.approx(0.5)


def test_opposite_correlations_have_similarity_zero_and_none_one_half() -> None:
    """Correlations +1, -1 and 0: similarity 0 and one half."""
    up = table(a=[1, 2, 3, 4], b=[1, 2, 3, 4])
    down = table(a=[1, 2, 3, 4], b=[4, 3, 2, 1])
    flat = table(a=[1, 2, 3, 4], b=[1, 2, 2, 1])
    assert similarity(up, down, SCHEMA).pairwise["a & b"] == pytest.approx(0.0)
    assert similarity(up, flat, SCHEMA).pairwise["a & b"] == pytest.approx(0.5)


def test_missing_values_stay_out_of_correlations() -> None:
    """A missing code of -1 would otherwise turn the correlation of these rows round."""
    measured = table(a=[1, 2, 3], b=[1, 2, 3])
    with_missing = table(a=[1, 2, 3, 100, 100], b=[1, 2, 3, -1, -1])
    assert similarity(measured, with_missing, SCHEMA).pairwise["a & b"] == pytest.approx(1.0)


def test_lost_association_is_seen_although_the_marginals_agree() -> None:
    """c = y always against c independent of y: marginals 1, the pair one half."""
    tied = table(c=[0, 0, 1, 1], y=[0, 0, 1, 1])
    free = table(c=[0, 0, 1, 1], y=[0, 1, 0, 1])
    result = similarity(tied, free, SCHEMA)
    assert (result.marginals["c"], result.marginals["y"]) == (1.0, 1.0)
    assert result.pairwise["c & y"] == pytest.approx(0.5)


def test_bins_of_numbers_are_public() -> None:
    """Tenths of the public range: 0 and 9 share a bin, 9 and 10 do not, whatever the rows are."""
    assert similarity(table(a=[0]), table(a=[9]), SCHEMA).pairwise["a & c"] == 1.0
    assert similarity(table(a=[9]), table(a=[10]), SCHEMA).pairwise["a & c"] == 0.0
    assert similarity(table(a=[99]), table(a=[100]), SCHEMA).pairwise["a & c"] == 1.0
    assert similarity(table(b=[0]), table(b=[-1]), SCHEMA).pairwise["b & c"] == 0.0


def test_tables_that_cannot_be_compared_are_refused() -> None:
    """An empty table, a missing column, and a value that the schema does not know."""
    good = table(a=[1])
    with pytest.raises(DataError, match=r"synthetic table \(0 rows\)"):
        similarity(good, good.iloc[:0], SCHEMA)
    with pytest.raises(DataError, match="no values in column 'd'"):
        similarity(good.drop(columns="d"), good, SCHEMA)
    with pytest.raises(DataError, match="'w' is not among the public"):
        similarity(good, table(d=["w"]), SCHEMA)
