"""Files to records: the four hospitals, everything that a file can get wrong, keyed divisions."""

import hmac
import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.data import Records, parts, split
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import ConfigError, DataError
from dpfedsyn.schema import Schema

FOLDER = Path(str(files("dpfedsyn") / "examples" / "hospitals"))
HOSPITALS = Schema.load(FOLDER / "schema.toml")
KEPT = {"cleveland": 303, "hungarian": 261, "switzerland": 46, "va": 130}
DISEASE = {"cleveland": 139, "hungarian": 98, "switzerland": 45, "va": 101}

CLINIC = Schema.from_dict(
    tomllib.loads("""
name = "clinic"
[file]
drop = ["comment"]
missing = ["", "n/a"]
id = "patient"
[target]
column = "outcome"
values = ["well", "ill"]
labels = ["recovered", "relapsed"]
[columns.age]
kind = "numeric"
bounds = [18, 100]
[columns.ward]
kind = "categorical"
categories = ["north", "south", "east"]
""")
)
HEADER = "patient,age,comment,ward,outcome"


def write(folder: Path, text: str) -> Path:
    path = folder / "silo.csv"
    path.write_text(text, encoding="utf-8")
    return path


def hospital(name: str) -> Records:
    return TableEncoder(HOSPITALS).read(FOLDER / "data" / f"processed.{name}.data", silo=name)


@pytest.mark.parametrize("name", KEPT)
def test_each_hospital_keeps_its_published_number_of_rows(name: str) -> None:
    """303, 261, 46 and 130 rows are left; the numbers of patients with disease are as counted."""
    records = hospital(name)
    assert len(records) == KEPT[name]
    assert int(records.y.sum()) == DISEASE[name]
    assert np.isfinite(records.x).all()
    assert records.silo == name


def test_cholesterol_zero_marks_a_missing_value_and_keeps_the_row() -> None:
    """All of Switzerland and none of Cleveland lacks cholesterol; such values sit at the centre."""
    names = TableEncoder(HOSPITALS).names
    value, indicator = names.index("chol"), names.index("chol is missing")
    swiss, cleveland = hospital("switzerland"), hospital("cleveland")
    assert (swiss.x[:, indicator] == 1).all()
    assert (swiss.x[:, value] == 0).all()
    assert (cleveland.x[:, indicator] == -1).all()
    assert 0 < (hospital("va").x[:, indicator] == 1).sum() < 130


def test_values_beyond_the_public_bounds_are_clipped() -> None:
    """The one blood pressure of 0 becomes the lower bound; negative ST depression is valid."""
    frame = TableEncoder(HOSPITALS).frame(hospital("va").x, hospital("va").y)
    assert (frame["trestbps"] == 80).sum() == 1
    swiss = TableEncoder(HOSPITALS).frame(hospital("switzerland").x, hospital("switzerland").y)
    assert frame["oldpeak"].min() == -0.5
    assert swiss["oldpeak"].min() == -1.0


def test_one_class_silo_is_divided_like_any_other() -> None:
    """Switzerland has one healthy row; no part of it is forced to hold one."""
    train, test = split(hospital("switzerland"), key="1", fraction=0.3)
    assert len(train) + len(test) == 46
    assert sorted([(train.y == 0).sum(), (test.y == 0).sum()]) == [0, 1]


def test_ids_are_line_numbers_given_before_rows_are_left_out() -> None:
    """The third Hungarian line lacks cholesterol: its number is skipped, not reused."""
    assert hospital("hungarian").ids[:3] == ("1", "2", "4")


def test_file_with_header_in_any_order_is_read_by_name(tmp_path: Path) -> None:
    """Columns are found by name, dropped ones ignored, ids taken from the id column."""
    text = (
        f"\ufeff{HEADER}\r\np7,40,hello,north,ill\r\n\r\n"
        'p8,n/a,,south,well\r\np9,41,"two\nlines",east,well\r\n'
    )
    records = TableEncoder(CLINIC).read(write(tmp_path, text), silo="a")
    assert records.ids == ("p7", "p9")
    assert records.y.tolist() == [1, 0]
    other = "outcome,ward,patient,comment,age\nill,north,p7,,40\nwell,east,p9,,41\n"
    assert np.array_equal(TableEncoder(CLINIC).read(write(tmp_path, other)).x, records.x)


ROW = "p1,40,,north,well"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file holds no rows"),
        (f"{HEADER}\n", "the file holds no rows"),
        (f"{HEADER}\np1,,,north,well\n", "none of 1 rows is left"),
        (f"{HEADER}\n{ROW}\np2,200,,north,well\n", "line 3, column age: 200 lies outside"),
        (f"{HEADER}\n{ROW}\np2,abc,,north,well\n", "line 3, column age: 'abc' is not a finite"),
        (f"{HEADER}\np2,NaN,,north,well\n", "line 2, column age: 'NaN' is not a finite number"),
        (f"{HEADER}\np2,inf,,north,well\n", "line 2, column age: 'inf' is not a finite number"),
        (f"{HEADER}\n\n\np2,1e999,,north,well\n", "line 4, column age: '1e999' is not a finite"),
        (f"{HEADER}\np2,40,,west,well\n", "column ward: 'west' is not .* north, south, east"),
        (f"{HEADER}\np2,40,,north,dead\n", "column outcome: 'dead' is not among .* well, ill"),
        (f"{HEADER}\n{ROW}\np2,40,north\n", "line 3: 3 fields instead of 5"),
        (f"{HEADER}\n{ROW},9\n", "line 2: 6 fields instead of 5"),
        (f"{HEADER}\n,40,,north,well\n", "line 2, column patient: the id is missing"),
        (f"{HEADER.replace('age', 'agee')}\n{ROW}\n", "line 1: column 'age' .* mean `agee`"),
        (f"{HEADER.replace('comment', 'age')}\n{ROW}\n", "column 'age' appears 2 times"),
        (f"{HEADER.replace('comment', 'notes')}\n{ROW}\n", r"add a section \[columns.notes\]"),
        (f'{HEADER}\np2,40,"open,north,well\n', "not a table of text"),
        (HEADER.replace(",", ";") + "\n", "holds ';' 4 times, .* set delimiter = ';'"),
    ],
)
def test_bad_file_gets_one_error_with_file_line_and_column(
    text: str, expected: str, tmp_path: Path
) -> None:
    """Each fault names the file and where in it, and exits with 2."""
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=expected) as refused:
        TableEncoder(CLINIC).read(path)
    assert str(path) in str(refused.value)
    assert refused.value.exit_code == 2


def test_file_that_is_absent_or_binary_is_named(tmp_path: Path) -> None:
    """No such file, a folder and bytes that are no text are DataErrors too."""
    with pytest.raises(DataError, match=r"none\.csv: the file cannot be read"):
        TableEncoder(CLINIC).read(tmp_path / "none.csv")
    with pytest.raises(DataError, match="the file cannot be read"):
        TableEncoder(CLINIC).read(tmp_path)
    (tmp_path / "silo.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="not a table of text"):
        TableEncoder(CLINIC).read(tmp_path / "silo.csv")


def test_header_line_where_the_schema_expects_none_is_recognised(tmp_path: Path) -> None:
    """The mend is named, instead of a complaint about the cell "age"."""
    path = write(
        tmp_path, ",".join(HOSPITALS.file.columns) + "\n63,1,1,145,233,1,2,150,0,2,3,0,6,0"
    )
    with pytest.raises(DataError, match="line 1: the line holds the column names"):
        TableEncoder(HOSPITALS).read(path)


@given(st.lists(st.floats(-1e6, 1e6), min_size=16, max_size=16), st.integers(0, 1))
def test_written_synthetic_table_loads_without_error(
    tmp_path_factory: pytest.TempPathFactory, x: list[float], y: int
) -> None:
    """Any real vector, decoded and written as CSV, is a valid file of the schema."""
    frame = TableEncoder(HOSPITALS).frame([x], [y])
    path = tmp_path_factory.mktemp("synthetic") / "synthetic.csv"
    frame.to_csv(path, index=False)
    records = TableEncoder(HOSPITALS.of_synthetic).read(path)
    assert records.y.tolist() == [y]
    assert TableEncoder(HOSPITALS).frame(records.x, records.y).equals(frame)


def made_up(ids: list[str], silo: str = "a") -> Records:
    n = len(ids)
    x = np.arange(n, dtype=np.float32)[:, None]
    return Records(x, np.zeros(n, dtype=np.int64), tuple(ids), silo)


some_ids = st.lists(st.text(max_size=5), min_size=1, max_size=30, unique=True)


@given(some_ids, st.integers(0, 29), st.text(max_size=4), st.floats(0, 1), st.integers(1, 5))
def test_one_record_never_moves_another(
    ids: list[str], gone: int, key: str, fraction: float, m: int
) -> None:
    """Guarantee of dpfedsyn.data.split: Whether a record is tested or trained on depends on it
    alone. Guarantee of dpfedsyn.data.parts: Adding or removing a record changes one part only."""
    gone %= len(ids)
    fewer = [id_ for k, id_ in enumerate(ids) if k != gone]
    for divide in (
        lambda r: split(r, key=key, fraction=fraction),
        lambda r: parts(r, m, key),
    ):
        with_it = [[i for i in part.ids if i != ids[gone]] for part in divide(made_up(ids))]
        assert with_it == [list(part.ids) for part in divide(made_up(fewer))]


@given(some_ids, st.text(max_size=4), st.floats(0, 1), st.integers(1, 5))
def test_parts_are_disjoint_and_exhaustive(
    ids: list[str], key: str, fraction: float, m: int
) -> None:
    """Every record is in exactly one part, with its own row."""
    records = made_up(ids)
    for divided in (split(records, key=key, fraction=fraction), parts(records, m, key)):
        assert sorted(i for part in divided for i in part.ids) == sorted(ids)
        for part in divided:
            assert [ids[int(v)] for v in part.x[:, 0]] == list(part.ids)


def test_test_part_has_about_its_fraction_and_not_another() -> None:
    """20,000 ids: within 5 standard deviations of 0.3 (false alarm 6e-7), which excludes 0.32."""
    _, test = split(made_up([str(k) for k in range(20_000)]), key="1", fraction=0.3)
    share = len(test) / 20_000
    assert abs(share - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 20_000) < abs(share - 0.32)


def test_split_depends_on_the_key_and_on_the_silo() -> None:
    """Other keys and other silos divide the same ids independently (512 ids, collision 2^-500)."""
    ids = [str(k) for k in range(512)]
    choices = {
        split(made_up(ids, silo), key=key, fraction=0.5)[1].ids
        for key in ("1", "2")
        for silo in ("a", "b")
    }
    assert len(choices) == 4


def test_division_is_the_documented_keyed_hash() -> None:
    """HMAC-SHA256 of "split/silo/id" and "parts/silo/id": the same in every version and place."""

    def number(text: str) -> int:
        return int.from_bytes(hmac.new(b"key", text.encode(), "sha256").digest()[:8], "big")

    ids = [str(k) for k in range(200)]
    _, test = split(made_up(ids), key="key", fraction=0.25)
    assert list(test.ids) == [i for i in ids if number(f"split/a/{i}") < 2**62]
    third = parts(made_up(ids), 3, "key")[2]
    assert list(third.ids) == [i for i in ids if number(f"parts/a/{i}") % 3 == 2]


def test_parts_are_balanced_and_independent_of_the_split() -> None:
    """Four shares and the agreement are within 5 sd (false alarm 3e-6), which excludes 4 % more."""
    records = made_up([str(k) for k in range(20_000)])
    shares = [len(part) / 20_000 for part in parts(records, 4, "1")]
    in_test = set(split(records, key="1", fraction=0.5)[1].ids)
    in_part = set(parts(records, 2, "1")[1].ids)
    agreement = 1 - len(in_test ^ in_part) / 20_000
    for share, expected in [*((share, 0.25) for share in shares), (agreement, 0.5)]:
        deviation = 5 * np.sqrt(expected * (1 - expected) / 20_000)
        assert abs(share - expected) < deviation < abs(share - expected - 0.04)


def test_impossible_divisions_and_shapes_are_refused() -> None:
    """A fraction beyond [0, 1], no parts, and arrays that do not fit."""
    for fraction in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="give a share"):
            split(made_up(["1"]), key="1", fraction=fraction)
    with pytest.raises(ConfigError, match="give at least 1"):
        parts(made_up(["1"]), 0, "1")
    with pytest.raises(DataError, match="do not make records"):
        Records(np.zeros((2, 1), dtype=np.float32), np.zeros(3, dtype=np.int64), ("1", "2"))
