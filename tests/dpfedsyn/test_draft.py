"""Drafts of schemas: they hold no cell of the file, and no run takes them."""

import io
import re
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import draft as drafts
from dpfedsyn import raw, tables
from dpfedsyn.draft import FEW, MANY, MARKERS, draft, guess
from dpfedsyn.errors import ConfigError, DataError
from dpfedsyn.schema import Schema
from tests.end_to_end.small import call

TEXT = """patient;age;sex;bp;outcome;note
p1;63;m;120.5;bad;a b
p2;41;f;?;good;c d
p3;55;m;130.25;good;e f
"""
# Nothing that a draft says of itself begins like this.
CELLS = st.text("xyz", min_size=3).map(lambda text: "zq" + text)


def table(text: str = TEXT) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), sep=";", dtype=str, keep_default_na=False)


def filled(text: str) -> dict[str, Any]:
    """A draft as a person fills it in."""
    content = tomllib.loads(text)
    del content["draft"]
    content["target"] |= {"values": ["good", "bad"], "labels": ["recovered", "relapsed"]}
    content["columns"]["age"]["bounds"] = [18, 100]
    content["columns"]["sex"]["values"] = ["f", "m"]
    content["columns"]["bp"]["bounds"] = [60, 260]
    return content


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=2, max_size=80), CELLS)
def test_no_cell_of_the_file_is_in_its_draft(rows: list[list[str]], number_cell: str) -> None:
    """Guarantee of dpfedsyn.draft.draft: No cell of the table stands in it: only names of columns,
    kinds, digits after the point, formats of days and which of `MARKERS` occur."""
    frame = pd.DataFrame(rows, columns=["first", "second"], dtype=object)
    frame["number"] = [str(1234567 + k) for k in range(len(frame))]
    frame["day"] = [f"{k % 28 + 1}.{k % 12 + 1}.2468" for k in range(len(frame))]
    text = draft(frame, "kind", target="second")
    assert "zq" not in text
    assert "2468" not in text
    assert not re.search(r"\d{5}", text)


@given(st.integers(0, 10**6))
def test_values_do_not_move_a_draft(shift: int) -> None:
    """Other numbers of the same kind give the same draft, to the letter."""
    other = table()
    other["age"] = [str(int(age) + shift) for age in other["age"]]
    assert draft(other, "clinic", ";", "outcome") == draft(table(), "clinic", ";", "outcome")


def test_no_run_takes_a_draft_and_a_filled_one_is_read(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.schema.Schema.from_dict: A draft is refused whatever else it holds,
    so nothing runs on bounds that nobody has looked at."""
    text = draft(table(), "clinic", ";", "outcome")
    content = filled(text)
    with pytest.raises(ConfigError, match="a draft, so nothing was read or run"):
        Schema.from_dict({**content, "draft": ""})
    schema = Schema.from_dict(content)
    assert schema.file.id == "patient"
    assert schema.file.drop == ("note",)  # all cells differ, and one id is enough
    (tmp_path / "a.csv").write_text(TEXT)
    ((frame, ids),) = tables.read(tmp_path / "a.csv", schema)
    assert ids == ("p1", "p3")  # the second row has a missing marker
    assert list(frame["age"]) == ["63", "55"]


def test_an_unfilled_draft_says_all_that_is_missing() -> None:
    """Taking the mark away is not enough."""
    content = tomllib.loads(draft(table(), "clinic", ";", "outcome"))
    del content["draft"]
    with pytest.raises(ConfigError) as caught:
        Schema.from_dict(content)
    for place in ("columns.age", "columns.bp", "columns.sex", "target: `values`"):
        assert place in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "kind", "decimals"),
    [
        (["1", "2", "3"], "integer", 0),
        (["1e3", "2.0", "3"], "integer", 0),
        (["1e-3", "2", "3"], "numeric", 3),
        (["1.50", "2.125"], "numeric", 3),
        (["1.50", "2.125", "1e3"], "numeric", 3),
        (["yes", "no", "yes"], "binary", 0),
        (["a", "b", "c", "a"], "categorical", 0),
        (["a", "b", "c"], "id", 0),
        ([f"t{k}" for k in range(MANY + 1)] * 2, "text", 0),
        (["1", "two", "three", "1"], "categorical", 0),
    ],
)
def test_kinds_are_guessed_from_the_form_of_cells(
    cells: list[str], kind: str, decimals: int
) -> None:
    """Whole numbers of few values are numbers, with a word on codes."""
    found = guess("c", pd.Series([*cells, "?"], dtype=object), ["?"])
    assert (found.kind, found.decimals) == (kind, decimals)
    few = guess("c", pd.Series([str(k) for k in range(FEW)], dtype=object))
    assert "codes" in few.remark


@pytest.mark.parametrize(
    ("cells", "format", "remark"),
    [
        (["2020-01-31", "2020-02-01"], "%Y-%m-%d", ""),
        (["31.1.2020", "01.02.2020", "2.2.2021"], "%d.%m.%Y", ""),
        (["01/31/2020", "02/01/2020"], "%m/%d/%Y", ""),
        (["01/12/2020", "02/01/2020"], "%d/%m/%Y", "or %m/%d/%Y"),
    ],
)
def test_days_are_told_by_their_format(cells: list[str], format: str, remark: str) -> None:
    """A format that all cells have, the others that they have too in a remark; no cell of them."""
    found = guess("c", pd.Series([*cells, "?"], dtype=object), ["?"])
    assert (found.kind, found.format) == ("date", format)
    assert found.remark.startswith(remark)
    assert bool(found.remark) == bool(remark)
    text = draft(pd.DataFrame({"c": cells}), "clinic")
    assert tomllib.loads(text)["columns"]["c"] == {
        "kind": "date",
        "bounds": [],
        "format": format,
        "outside": "error",
    }
    assert not any(cell in text for cell in cells)


def test_a_time_of_day_makes_no_day() -> None:
    """Also of a typed column: nothing of a cell is thrown away unsaid."""
    typed = pd.DataFrame(
        {"c": pd.to_datetime(["2020-01-31T10:00", "2020-02-01T00:00", "2020-03-01T00:00"])}
    )
    assert guess("c", raw.texts(typed)["c"]).kind == "id"
    assert guess("c", raw.texts(typed[1:])["c"]).kind == "date"


def test_two_columns_of_one_name_are_refused() -> None:
    """A frame can have them, also 1 and "1"; no schema could tell them apart."""
    for names in (["a", "a"], [1, "1"]):
        with pytest.raises(DataError, match="keep one of them"):
            raw.texts(pd.DataFrame([[1, 2]], columns=names))


def test_an_order_is_left_to_whoever_fills_the_draft() -> None:
    """Words may have one, which no file tells."""
    text = draft(pd.DataFrame({"c": ["low", "high", "middle", "low"]}), "clinic")
    assert tomllib.loads(text)["columns"]["c"] == {"kind": "categorical", "categories": []}
    assert "if they have an order: ordinal, with `levels`" in text


def test_markers_of_missing_values_are_no_values() -> None:
    """All that occur are listed, and none makes a column of numbers one of words."""
    frame = table("a;b\n1;x\nNA;y\n;x\n3;z\n4;\n")
    content = tomllib.loads(draft(frame, "clinic"))
    assert content["file"]["missing"] == ["", "NA"]
    assert content["columns"]["a"]["kind"] == "integer"
    assert set(content["file"]["missing"]) <= set(MARKERS)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_seen(mark: str, tmp_path: Path) -> None:
    """Also where cells hold another candidate."""
    path = tmp_path / "t.csv"
    path.write_text(mark.join(["a", "b", "c"]) + "\n" + mark.join(["1", "2:3", "x y"]) + "\n")
    assert raw.read(path).delimiter == mark
    assert list(raw.read(path).table.columns) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no rows below a header"),
        (b"a,b\n", "no rows below a header"),
        (b"a,a\n1,2\n", "column 'a' twice"),
        (b"a,b\n1,2\n3\n", "row 3: 1 fields instead of 2"),
        (b"\xff\xfe", "not a table of text"),
    ],
)
def test_what_is_no_table_is_said(text: bytes, words: str, tmp_path: Path) -> None:
    """With the row, and what to mend."""
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    with pytest.raises(DataError, match=words):
        raw.read(path)
    with pytest.raises(DataError, match="cannot be read"):
        raw.read(tmp_path / "absent.csv")


def test_parquet_files_are_read_like_text(tmp_path: Path) -> None:
    """Types become the texts that a CSV file would hold; missing values the empty one."""
    pytest.importorskip("pyarrow")
    typed = pd.DataFrame(
        {
            "age": [63, 41, 55],
            "bp": [120.5, None, 130.0],
            "sex": ["m", "f", "m"],
            "outcome": [True, False, False],
        }
    )
    typed.to_parquet(tmp_path / "t.parquet")
    assert raw.read(tmp_path / "t.parquet").table["bp"].tolist() == ["120.5", "", "130"]
    content = tomllib.loads(draft(raw.read(tmp_path / "t.parquet").table, "t", target="outcome"))
    del content["draft"]
    content["target"] |= {"values": [0, 1], "labels": ["no", "yes"]}
    content["columns"]["age"]["bounds"] = [18, 100]
    content["columns"]["bp"]["bounds"] = [60, 260]
    content["columns"]["sex"]["values"] = ["f", "m"]
    schema = Schema.from_dict(content)
    ((frame, ids),) = tables.read(tmp_path / "t.parquet", schema)
    assert ids == ("1", "3")
    assert frame["outcome"].tolist() == ["1", "0"]
    (tmp_path / "no.parquet").write_bytes(b"PAR?")
    with pytest.raises(DataError, match="not a Parquet file"):
        list(tables.read(tmp_path / "no.parquet", schema))


def test_draft_and_check_from_the_command_line(tmp_path: Path) -> None:
    """A draft goes to standard output; a check says what a schema describes, or all its faults."""
    (tmp_path / "a.csv").write_text(TEXT)
    drafted = call("schema", "draft", tmp_path / "a.csv", "--target", "outcome", "--name", "clinic")
    assert drafted.exit_code == 0, drafted.output
    assert drafts.MARK in drafted.output
    path = tmp_path / "s.toml"
    path.write_text(drafted.output)
    refused = call("schema", "check", path)
    assert refused.exit_code == 2
    assert "a draft" in refused.output
    assert call("schema", "check", tmp_path / "none.toml").exit_code == 2


def test_a_missing_value_changes_no_other_row_of_parquet(tmp_path: Path) -> None:
    """Not the long names of two people, which as floats would be one person's."""
    pids = pd.array([2**53, 2**53 + 1, None], dtype="Int64")
    frame = pd.DataFrame({"pid": pids, "n": pd.array([1, 2, None], dtype="Int64")})
    frame.to_parquet(tmp_path / "all.parquet")
    frame[:2].to_parquet(tmp_path / "known.parquet")
    with_it, without = (raw.parquet(tmp_path / f"{name}.parquet") for name in ("all", "known"))
    assert with_it["pid"].tolist() == [str(2**53), str(2**53 + 1), ""]
    pd.testing.assert_frame_equal(with_it[:2], without)
