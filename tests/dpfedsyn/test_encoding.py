"""Encoding: a bijection on valid rows that knows the schema and one row, nothing else."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import coordinates
from dpfedsyn.columns import Binary, Categorical, Code, Column, Numeric, Target
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import DataError
from dpfedsyn.schema import FileFormat, Schema

HOSPITALS = Schema.load(Path(str(files("dpfedsyn") / "examples" / "hospitals" / "schema.toml")))

words = st.text("abcxyz ÄΩ_-", min_size=1, max_size=6).filter(lambda word: word.strip() != "")
codes = st.one_of(st.integers(-9, 9), words)


def several(low: int, high: int) -> st.SearchStrategy[tuple[Code, ...]]:
    """Codes that differ also as cells."""
    return st.lists(codes, min_size=low, max_size=high, unique_by=lambda c: str(c).strip()).map(
        tuple
    )


@st.composite
def numerics(draw: st.DrawFn, name: str) -> Numeric:
    decimals = draw(st.integers(0, 3))
    low = draw(st.integers(-(10**5), 10**5))
    width = draw(st.integers(1, 10**6))
    unit = 10**decimals
    missing = draw(st.lists(st.integers(1, 50), max_size=2, unique=True))
    return Numeric(
        name,
        bounds=(low / unit, (low + width) / unit),
        decimals=decimals,
        missing_codes=tuple((low - gap) / unit for gap in missing),
        outside=draw(st.sampled_from(["clip", "error"])),
    )


@st.composite
def columns(draw: st.DrawFn, name: str) -> Column:
    return draw(
        st.one_of(
            numerics(name),
            st.builds(Binary, st.just(name), several(2, 2)),
            st.builds(Categorical, st.just(name), several(2, 6)),
        )
    )


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Any valid schema of one to five columns."""
    kept = tuple(draw(columns(f"c{k}")) for k in range(draw(st.integers(1, 5))))
    values = draw(several(2, 4))
    labels = tuple(f"label {k}" for k in range(len(values)))
    return Schema("made-up", FileFormat(), kept, Target("y", values, labels))


def cells(column: Column | Target) -> st.SearchStrategy[Code]:
    """Valid cells of a column, as decoding writes them."""
    if not isinstance(column, Numeric):
        kinds = column.representatives if isinstance(column, Target) else column.codes
        return st.sampled_from(kinds)
    low, high = (round(bound * 10**column.decimals) for bound in column.bounds)
    values = st.integers(low, high).map(lambda k: round(k / 10**column.decimals, column.decimals))
    return st.one_of(values, st.sampled_from(column.missing_codes[:1] or column.bounds))


@st.composite
def tables(draw: st.DrawFn, of: st.SearchStrategy[Schema]) -> tuple[Schema, pd.DataFrame]:
    """A schema and one to six valid rows."""
    schema = draw(of)
    kinds: list[Column | Target] = [*schema.columns, schema.target]
    n = draw(st.integers(1, 6))
    data = {
        name: draw(st.lists(cells(kind), min_size=n, max_size=n))
        for name, kind in zip(schema.names, kinds, strict=True)
    }
    return schema, pd.DataFrame(data, dtype=object)


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
    """Nothing is computed from other records."""
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


@given(schemas())
def test_the_radius_is_attained(schema: Schema) -> None:
    """A row at its bounds reaches the radius, so no smaller public bound would do."""
    extreme = {
        column.name: [column.bounds[1] if isinstance(column, Numeric) else column.codes[0]]
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


@given(schemas())
def test_every_schema_survives_its_own_dictionary(schema: Schema) -> None:
    """What a run records is enough to rebuild the schema."""
    content = schema.to_dict()
    for column in content["columns"].values():
        column.update({k: [*v] for k, v in column.items() if isinstance(v, tuple)})
    assert Schema.from_dict(content) == schema


@given(st.one_of(st.just(HOSPITALS), schemas()))
def test_numbers_are_counted_on_values_that_they_are_written_as(schema: Schema) -> None:
    """Every numeric column, by its coordinates; at most 128 rising values, each of them decodes to
    itself and is a multiple of one round step, of which a longer one would leave out values."""
    encoder = TableEncoder(schema)
    numeric = [column for column in schema.columns if isinstance(column, Numeric)]
    for column, number in zip(numeric, encoder.numbers, strict=True):
        assert encoder.names[number.coordinate] == column.name
        if number.indicator is None:
            assert not column.missing_codes
        else:
            assert encoder.names[number.indicator] == f"{column.name} is missing"
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
        assert 1 <= len(expected) <= coordinates.CELLS
        assert np.abs(number.values).max() <= 2.0


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
