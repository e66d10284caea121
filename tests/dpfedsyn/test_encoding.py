"""Encoding: a bijection on valid rows that knows the schema and one row, nothing else."""

import json
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import coordinates
from dpfedsyn.columns import (
    Binary,
    Categorical,
    Date,
    Integer,
    Numeric,
    Ordered,
    Ordinal,
    Target,
)
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import DataError
from dpfedsyn.file_format import FileFormat
from dpfedsyn.schema import Schema
from tests.dpfedsyn.schemas import HOSPITALS, exact, schemas, tables, written

any_table = tables(st.one_of(st.just(HOSPITALS), schemas()))


@given(any_table)
def test_decode_undoes_encode(table: tuple[Schema, pd.DataFrame]) -> None:
    """Every valid row of every schema comes back, cell by cell."""
    schema, frame = table
    encoder = TableEncoder(schema)
    back = encoder.frame(*encoder.encode(frame))
    assert list(back.columns) == list(schema.names)
    assert back.astype(object).values.tolist() == frame.values.tolist()


@given(any_table)
def test_a_row_alone_is_encoded_as_within_any_table(table: tuple[Schema, pd.DataFrame]) -> None:
    """Guarantee of dpfedsyn.reading.values: What a row holds is read from that row and the public
    schema alone. Nor does encoding compute anything from other records."""
    schema, frame = table
    x, y = TableEncoder(schema).encode(frame)
    for k in range(len(frame)):
        alone_x, alone_y = TableEncoder(schema).encode(frame.iloc[k : k + 1])
        assert np.array_equal(alone_x[0], x[k])
        assert alone_y[0] == y[k]


@given(any_table)
def test_no_encoded_row_is_longer_than_the_public_radius(
    table: tuple[Schema, pd.DataFrame],
) -> None:
    """The radius bounds the float32 vectors themselves, without slack."""
    schema, frame = table
    encoder = TableEncoder(schema)
    x, y = encoder.encode(frame)
    assert x.shape == (len(frame), encoder.dimension)
    assert (x.dtype, y.dtype) == (np.float32, np.int64)
    assert all(np.sqrt(np.square(x, dtype=np.float64).sum(axis=1)) <= encoder.radius)


@given(schemas(ties=False))
def test_the_radius_is_attained(schema: Schema) -> None:
    """A row at its bounds reaches the radius, so no smaller public bound would do."""
    extreme = {
        column.name: [column.bounds[1] if isinstance(column, Numeric | Date) else column.codes[0]]
        for column in schema.columns
    }
    frame = pd.DataFrame({**extreme, "y": [schema.target.values[0]]}, dtype=object)
    encoder = TableEncoder(schema)
    x, _ = encoder.encode(frame)
    assert np.linalg.norm(x[0].astype(np.float64)) == pytest.approx(encoder.radius, rel=1e-12)


@given(st.one_of(st.just(HOSPITALS), schemas()), st.data())
def test_any_real_vector_decodes_to_a_valid_row(schema: Schema, data: st.DataObject) -> None:
    """Synthetic tables pass the schema, and decoding them again changes nothing."""
    encoder = TableEncoder(schema)
    reals = st.floats(allow_nan=False, allow_infinity=False)
    x = [data.draw(st.lists(reals, min_size=encoder.dimension, max_size=encoder.dimension))]
    y = [data.draw(st.integers(0, len(schema.labels) - 1))]
    frame = encoder.frame(x, y)
    again_x, again_y = encoder.encode(frame)
    assert again_y.tolist() == y
    assert encoder.frame(again_x, again_y).equals(frame)


@given(schemas(), st.data())
def test_every_decoded_cell_is_as_the_schema_declares(schema: Schema, data: st.DataObject) -> None:
    """Guarantee of dpfedsyn.encoding.TableEncoder.frame: The result passes the schema, and a row
    that came from `encode` comes back: every cell is within bounds, levels, formats and declared
    relations, whatever the vectors. Told here in exact decimals, without the package's reading."""
    encoder = TableEncoder(schema)
    ends = st.sampled_from([-2.0, 2.0])
    reals = st.one_of(ends, st.floats(-3, 3), st.floats(allow_nan=False, allow_infinity=False))
    vector = st.lists(reals, min_size=encoder.dimension, max_size=encoder.dimension)
    x = data.draw(st.lists(vector, min_size=1, max_size=4))
    frame = encoder.frame(x, [0] * len(x))
    for row in frame.astype(object).to_dict("records"):
        values = {c.name: exact(c, row[c.name]) for c in schema.columns if isinstance(c, Ordered)}
        for column in schema.columns:
            if not isinstance(column, Ordered):
                assert row[column.name] in written(column)
                continue
            value = values[column.name]
            if value is None:
                continue
            low, high = (Decimal(repr(end)) for end in column.limits)
            assert low <= value <= high
            assert value.scaleb(column.decimals) % 1 == 0
            if column.sum_of:
                assert value == sum(values[name] for name in column.sum_of)  # type: ignore[misc]
            if column.at_least is not None:
                above = value - values[column.at_least]  # type: ignore[operator]
                assert above >= 0
                assert column.within is None or above <= Decimal(repr(column.within))


@given(schemas())
def test_every_schema_survives_its_own_dictionary(schema: Schema) -> None:
    """What a run records is enough to rebuild the schema."""
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


@given(st.one_of(st.just(HOSPITALS), schemas()))
def test_numbers_are_counted_on_values_that_they_are_written_as(schema: Schema) -> None:
    """Every column that has an order, by its coordinates; at most 128 rising values. Where they are
    spread evenly, each decodes to itself and is a multiple of one round step, of which a longer one
    would leave out values."""
    encoder = TableEncoder(schema)
    ordered = [c for c in schema.columns if isinstance(c, Ordered) and not c.sum_of]
    for column, number in zip(ordered, encoder.numbers, strict=True):
        assert encoder.names[number.coordinate].startswith(column.name)
        if number.indicator is None:
            assert not column.missing_codes
        else:
            assert encoder.names[number.indicator] == f"{column.name} is missing"
        assert (np.diff(number.values) > 0.0).all()
        assert 1 <= len(number.values) <= coordinates.CELLS
        assert np.abs(number.values).max() <= 2.0
        if not isinstance(column, Numeric) or column.at_least or column.scale:
            continue
        low, high = (round(bound * 10**column.decimals) for bound in column.bounds)
        x = np.zeros((len(number.values), encoder.dimension))
        x[:, number.coordinate] = number.values
        if number.indicator is not None:
            x[:, number.indicator] = -1.0
        decoded = encoder.frame(x, np.zeros(len(x), dtype=np.int64))[column.name]
        written = np.round(decoded.to_numpy() * 10**column.decimals).astype(int)
        steps = {s for p in range(8) for s in (10**p, 2 * 10**p, 5 * 10**p)}
        fitting = [s for s in sorted(steps) if (high - low) // s < coordinates.CELLS]
        expected = [k for k in range(low, high + 1) if k % fitting[0] == 0]
        assert written.tolist() == expected


def test_coordinates_have_their_documented_values() -> None:
    """Bounds at +-2, codes at +-1, categories at 2 (one-hot - 1/k), missing at the centre."""
    schema = Schema(
        "four",
        FileFormat(),
        (
            Numeric("a", (0, 10)),
            Numeric("b", (0, 10), missing_codes=(-1.0,)),
            Binary("c"),
            Categorical("d", ("x", "y", "z", "w")),
        ),
        Target("y", (0, 1, 2), ("low", "high"), positive=">= 1"),
    )
    frame = pd.DataFrame(
        {"a": [0, 10], "b": [-1, 5], "c": [0, 1], "d": ["x", "w"], "y": [2, 0]}, dtype=object
    )
    encoder = TableEncoder(schema)
    x, y = encoder.encode(frame)
    assert x.tolist() == [
        [-2, 0, 1, -1, 1.5, -0.5, -0.5, -0.5],
        [2, 0, -1, 1, -0.5, -0.5, -0.5, 1.5],
    ]
    assert y.tolist() == [1, 0]
    assert encoder.radius == pytest.approx(np.sqrt(4 + 5 + 1 + 3))
    assert encoder.names == ("a", "b", "b is missing", "c", *(f"d = {k}" for k in "xyzw"))
    assert encoder.frame(x, y)["y"].tolist() == [1, 0]


def test_days_levels_and_scales_have_their_documented_coordinates() -> None:
    """Days between the bounds, levels in the middle of their share, differences from the other."""
    schema = Schema(
        "six",
        FileFormat(),
        (
            Date("in", (date(2020, 1, 1), date(2020, 1, 5)), format="%d.%m.%Y"),
            Date(
                "out",
                (date(2020, 1, 1), date(2021, 1, 5)),
                missing_codes=("open",),
                scale="log",
                at_least="in",
                within=15,
            ),
            Ordinal("pain", ("none", "some", "much", "most")),
            Integer("room", (0, 99), scale="log"),
            Numeric("drugs", (0, 64), decimals=1, scale="sqrt"),
            Numeric("all", (0, 163), decimals=1, sum_of=("room", "drugs")),
        ),
        Target("y", (0, 1), ("no", "yes")),
    )
    frame = pd.DataFrame(
        {
            "in": ["01.01.2020", "04.01.2020"],
            "out": ["2020-01-04", "open"],
            "pain": ["none", "much"],
            "room": [9, 0],
            "drugs": [16.0, 64.0],
            "all": [25.0, 64.0],
            "y": [0, 1],
        },
        dtype=object,
    )
    encoder = TableEncoder(schema)
    x, y = encoder.encode(frame)
    assert encoder.names == ("in", "out - in", "out is missing", "pain", "room", "drugs")
    assert x == pytest.approx(np.array([[-2, 0, -1, -1.5, 0, 0], [1, 0, 1, 0.5, -2, 2]]), abs=1e-6)
    assert encoder.radius == pytest.approx(np.sqrt(4 + 5 + 2.25 + 4 + 4))
    assert encoder.frame(x, y).astype(object).equals(frame)


@given(st.lists(st.integers(0, 10**11), min_size=1))
def test_a_log_scale_keeps_six_digits(cents: list[int]) -> None:
    """Amounts up to a billion, to the cent where they are small."""
    kind = Numeric("a", (0, 10**9), decimals=2, scale="log")
    schema = Schema("one", FileFormat(), (kind,), Target("y", (0, 1), ("no", "yes")))
    frame = pd.DataFrame({"a": [k / 100 for k in cents], "y": 0}, dtype=object)
    encoder = TableEncoder(schema)
    back = encoder.frame(*encoder.encode(frame))["a"].to_numpy()
    assert back == pytest.approx(frame["a"].to_numpy(dtype=float), rel=2e-6, abs=0.0051)
    small = frame["a"].to_numpy(dtype=float) < 1000.0
    assert np.abs(back - frame["a"].to_numpy(dtype=float))[small].max(initial=0.0) < 0.0051


def test_numbers_on_a_scale_are_counted_on_round_values_of_every_size() -> None:
    """Small ones one by one, large ones by the hundred or thousand, and both bounds."""
    kind = Numeric("a", (0, 123456), scale="log")
    schema = Schema("one", FileFormat(), (kind,), Target("y", (0, 1), ("no", "yes")))
    encoder = TableEncoder(schema)
    (number,) = encoder.numbers
    x = number.values[:, None]
    counted = encoder.frame(x, np.zeros(len(x), dtype=np.int64))["a"].tolist()
    assert counted[:12] == list(range(12))
    assert counted[-1] == 123456
    large = np.array(counted[:-1])
    assert (large[large > 20_000] % 1000 == 0).all()
    ratios = large[1:] / np.maximum(large[:-1], 1)
    assert (np.abs(ratios[large[1:] > 100] - 1.095) < 0.1).all()


def test_rows_against_what_is_declared_are_refused_or_moved_as_the_column_says() -> None:
    """Named by row and column; with outside = "clip" to the nearest that is allowed."""

    def schema(outside: str) -> Schema:
        kinds = (
            Integer("low", (0, 100)),
            Integer("high", (0, 200), at_least="low", within=50, outside=outside),  # type: ignore[arg-type]
            Integer("both", (0, 300), sum_of=("low", "high"), outside=outside),  # type: ignore[arg-type]
        )
        return Schema("three", FileFormat(), kinds, Target("y", (0, 1), ("no", "yes")))

    def table(low: int, high: int, both: int) -> pd.DataFrame:
        first = {"low": [10, low], "high": [20, high], "both": [30, both], "y": [0, 1]}
        return pd.DataFrame(first, dtype=object)

    refusing, moving = TableEncoder(schema("error")), TableEncoder(schema("clip"))
    refusing.encode(table(10, 60, 70))
    for wrong, words in {
        (10, 9, 19): "row 2, column high: 9 is below 10 in column low; correct the row, or set",
        (10, 61, 71): "row 2, column high: 61 is more than 50 above 10 in column low",
        (10, 20, 31): "row 2, column both: 31 is not the sum of low, high, which is 30",
    }.items():
        with pytest.raises(DataError, match=words):
            refusing.encode(table(*wrong))
        moved = moving.frame(*moving.encode(table(*wrong)))
        refusing.encode(moved)
        assert moved["low"].tolist() == [10, 10]
        assert moved["high"].tolist() == [20, min(max(wrong[1], 10), 60)]


@pytest.mark.parametrize(
    ("cells", "settled"),
    [
        ((10, 5, 12), (10, 10, 12)),
        ((10, 70, 65), (10, 60, 65)),
        ((10, 3, 5), (10, 20, 20)),
        ((10, 30, 20), (10, 30, 30)),
    ],
)
def test_a_moved_value_is_what_others_are_counted_from(
    cells: tuple[int, int, int], settled: tuple[int, int, int]
) -> None:
    """Three in a row; the second is moved by its order or its bounds, the third from there."""
    low = 20 if cells[1] == 3 else 0
    kinds = (
        Integer("a", (0, 100)),
        Integer("b", (low, 200), at_least="a", within=50, outside="clip"),
        Integer("c", (0, 200), at_least="b", outside="clip"),
    )
    schema = Schema("three", FileFormat(), kinds, Target("y", (0, 1), ("no", "yes")))
    frame = pd.DataFrame([[*cells, 0]], columns=["a", "b", "c", "y"], dtype=object)
    encoder = TableEncoder(schema)
    assert encoder.frame(*encoder.encode(frame)).iloc[0, :3].tolist() == list(settled)


def test_a_bad_cell_of_a_table_is_named_by_row_and_column() -> None:
    """Encoding a table of one's own says where the first fault is."""
    frame = TableEncoder(HOSPITALS).frame(np.zeros((3, 16)), [0, 1, 0])
    frame["cp"] = [1, 2, 7]
    with pytest.raises(DataError, match="row 3, column cp: 7 is not among the public"):
        TableEncoder(HOSPITALS).encode(frame)
    with pytest.raises(DataError, match="the table has no column 'cp'"):
        TableEncoder(HOSPITALS).encode(frame.drop(columns="cp"))


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.zeros((2, 15)), [0, 1], r"samples have shape \(2, 15\).*needs \(rows, 16\)"),
        (np.zeros(16), [0], "samples have shape"),
        (np.zeros((2, 16)), [0], r"labels of shape \(1,\)"),
        (np.full((2, 16), np.nan), [0, 1], "sample 1 and 1 more hold NaN"),
        (np.full((1, 16), np.inf), [0], "sample 1 and 0 more hold NaN or infinity"),
        (np.zeros((1, 16)), [2], "label 2 is unknown"),
        (np.zeros((1, 16)), [0.5], "label 0.5 is unknown"),
    ],
)
def test_samples_that_cannot_be_decoded_are_refused(
    x: np.ndarray, y: list[float], expected: str
) -> None:
    """Wrong shapes, NaN and unknown labels give one error and no table."""
    with pytest.raises(DataError, match=expected):
        TableEncoder(HOSPITALS).frame(x, y)
