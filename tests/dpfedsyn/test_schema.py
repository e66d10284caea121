"""The public schema: the hospitals' own, and every fault a schema file can have."""

import copy
import json
import subprocess
import sys
import tomllib
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpfedsyn.columns import (
    Binary,
    Categorical,
    Date,
    Integer,
    Numeric,
    Ordinal,
    Target,
    number,
    token,
)
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import ConfigError, DataError
from dpfedsyn.file_format import FileFormat
from dpfedsyn.schema import Schema
from tests.end_to_end.small import call

HOSPITALS = Path(str(files("dpfedsyn") / "examples" / "hospitals" / "schema.toml"))

CLINIC = """
name = "clinic"

[file]
delimiter = ";"
drop = ["comment"]
missing = ["?"]

[target]
column = "outcome"
values = ["well", "ill"]
labels = ["recovered", "relapsed"]

[columns.age]
kind = "numeric"
bounds = [18, 100]

[columns.smoker]
kind = "binary"
values = ["no", "yes"]

[columns.ward]
kind = "categorical"
categories = ["north", "south", 3]
"""


STAY = """
[columns.admitted]
kind = "date"
bounds = [2015-01-01, "2024-12-31"]
format = "%d.%m.%Y"

[columns.discharged]
kind = "date"
bounds = [2015-01-01, 2025-12-31]
missing_codes = ["open"]
at_least = "admitted"
within = 120
scale = "log"

[columns.pain]
kind = "ordinal"
levels = ["none", "some", "much"]
missing_codes = [9]

[columns.room]
kind = "integer"
bounds = [0, 90000]
scale = "sqrt"

[columns.drugs]
kind = "numeric"
bounds = [0, 9000]
decimals = 1

[columns.charges]
kind = "numeric"
bounds = [0, 99000]
decimals = 2
sum_of = ["room", "drugs"]
"""
MIXED = CLINIC + STAY


def faults_of(text: str, tmp_path: Path) -> str:
    """The message that a schema file with this text gets."""
    path = tmp_path / "schema.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        Schema.load(path)
    assert refused.value.exit_code == 2
    assert str(refused.value).startswith(str(path))
    return str(refused.value)


def test_schema_of_the_hospitals_is_the_documented_one() -> None:
    """Ten features, the target num > 0, three dropped columns, cholesterol 0 missing."""
    schema = Schema.load(HOSPITALS)
    names = "age sex cp trestbps chol fbs restecg thalach exang oldpeak num"
    assert " ".join(schema.names) == names
    assert schema.file.drop == ("slope", "ca", "thal")
    assert [schema.target.read(grade) for grade in range(5)] == [0, 1, 1, 1, 1]
    assert schema.target.representatives == (0, 1)
    chol = schema.columns[4]
    assert isinstance(chol, Numeric)
    assert chol.missing_codes == (0.0,)
    assert "CC BY 4.0" in schema.licence


@pytest.mark.parametrize("text", [CLINIC, MIXED, HOSPITALS.read_text(encoding="utf-8")])
def test_schema_survives_json(text: str) -> None:
    """A recorded schema is read back equal, with the same digest."""
    schema = Schema.from_dict(tomllib.loads(text))
    again = Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert again == schema
    assert again.digest == schema.digest


def test_digest_sees_every_value_and_the_order_of_columns() -> None:
    """Any other content, and any other order of coordinates, is another digest."""
    content = Schema.from_dict(tomllib.loads(CLINIC)).to_dict()
    other_bound = copy.deepcopy(content)
    other_bound["columns"]["age"]["bounds"] = [18, 101]
    other_order = copy.deepcopy(content)
    other_order["columns"] = dict(reversed(content["columns"].items()))
    digests = {Schema.from_dict(c).digest for c in (content, other_bound, other_order)}
    assert len(digests) == 3


def test_all_faults_are_reported_at_once_with_the_nearest_key(tmp_path: Path) -> None:
    """Faults of every section appear in one message, unknown names with the nearest known one."""
    text = (
        CLINIC.replace('delimiter = ";"', 'delimeter = ";"')
        .replace("bounds = [18, 100]", "bounds = [100, 18]")
        .replace('kind = "binary"', 'kind = "binry"')
        .replace('labels = ["recovered", "relapsed"]', 'labels = ["recovered"]')
        .replace('categories = ["north"', 'categories = ["?", "north"')
    )
    message = faults_of("nme = 1\n" + text, tmp_path)
    for part in (
        "7 faults",
        "unknown key `nme`; did you mean `name`?",
        "file: unknown key `delimeter`; did you mean `delimiter`?",
        "columns.age: `bounds` = [100, 18] is no interval",
        "columns.smoker: unknown `kind` = 'binry'; did you mean `binary`?",
        "target: `labels` = ['recovered']; give at least two",
        "target: 2 `values` for 1 `labels`",
        "columns.ward: '?' is also a marker in file.missing",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("bounds = [18, 100]", "", "columns.age: `bounds` is missing; add it"),
        ("bounds = [18, 100]", 'bounds = "18"', "write two numbers, [lowest, highest]"),
        ("bounds = [18, 100]", "bounds = [18, inf]", "is no interval"),
        ("bounds = [18, 100]", "bounds = [18.5, 100]", "18.5 needs more than 0 `decimals`"),
        ("bounds = [18, 100]", "bounds = [0, 100]\ndecimals = 6", "narrow `bounds`"),
        ("bounds = [18, 100]", "bounds = [0, 1]\ndecimals = 7", "give -6 to 6"),
        ("bounds = [18, 100]", "bounds = [0, 9]\nmissing_codes = [5]", "taken for a value"),
        ("bounds = [18, 100]", "bounds = [0, 9]\nmissing_codes = [inf]", "inf"),
        ("bounds = [18, 100]", 'bounds = [0, 9]\noutside = "drop"', '"clip" or "error"'),
        ('values = ["no", "yes"]', "values = [0, 1, 2]", 'kind = "categorical"'),
        ('values = ["no", "yes"]', "values = [1, 1.0]", "lists a value twice"),
        ('values = ["no", "yes"]', 'values = ["no", ""]', "finite number below 2^53"),
        ('values = ["no", "yes"]', 'names = ["a"]', "give one name each"),
        ('values = ["no", "yes"]', "values = [true, false]", "list of numbers or texts"),
        ('"south", 3]', '"south", "north"]', "lists a value twice"),
        ('column = "outcome"', 'column = "age"', "'age' is a feature and the target"),
        ('drop = ["comment"]', 'drop = ["ward"]', "'ward' is a feature and dropped"),
        ('drop = ["comment"]', 'columns = ["a"]', "remove one of the two"),
        ('delimiter = ";"', 'delimiter = ";;"', "give one character"),
        ('delimiter = ";"', "header = false", "`columns` is missing"),
        ('values = ["well", "ill"]', "values = [0, 1, 2]", "one value for each label"),
        ('labels = ["rec', 'positive = "> 0"\nlabels = ["rec', "compares numbers"),
        ('values = ["well", "ill"]', 'values = [1, 2]\npositive = "> 0"', "the same label"),
        ('values = ["well", "ill"]', 'values = [0, 2]\npositive = "above 0"', "is no rule"),
        ("[target]", "[tarjet]", "did you mean `target`?"),
    ],
)
def test_each_fault_names_its_place_and_the_mend(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    """One broken line gives a message with the key and what to write instead."""
    assert old in CLINIC
    assert expected in faults_of(CLINIC.replace(old, new), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('2015-01-01, "2024-12-31"', '"2015-13-01", "2024-12-31"', "two days"),
        ('[2015-01-01, "2024-12-31"]', "[2015-01-01]", "two days"),
        ("[2015-01-01, 2025", "[2015-01-01T10:00:00, 2025", "two days"),
        ("2015-01-01, 2025-12-31", "2025-12-31, 2025-12-31", "no interval of days"),
        ('"%d.%m.%Y"', '"%d.%m.%y"', "leave the century open"),
        ('"%d.%m.%Y"', '"%d.%m"', "write days with %Y, %m and %d"),
        ('"%d.%m.%Y"', '"%d.%m.%Y"\nscale = "log"', "counted from another column"),
        ('["open"]', '["2016-01-01"]', "would be taken for a day"),
        ('["open"]', '["open", "open"]', "lists a value twice"),
        ("within = 120", "within = 0.5", "positive multiple of 1"),
        ("within = 120", "within = -3", "positive multiple of 1"),
        ("within = 120", 'within = "120"', "write a number"),
        ('at_least = "admitted"', "", "add `at_least`"),
        ('at_least = "admitted"', 'at_least = "admited"', "did you mean `admitted`?"),
        ('at_least = "admitted"', 'at_least = "pain"', "stands below; move [columns.pain]"),
        ('at_least = "admitted"', 'at_least = "discharged"', "is no column above"),
        ('at_least = "admitted"', 'at_least = "age"', "depends on 'age', which is of kind numeric"),
        ("[2015-01-01, 2025-12-31]", "[2015-01-01, 2023-12-31]", "end at 2023-12-31, those of"),
        ("[2015-01-01, 2025-12-31]", "[2016-01-01, 2025-12-31]", "begin more than `within` = 120"),
        ('format = "%d.%m.%Y"', 'missing_codes = ["?"]', "which has missing codes; list them"),
        ('["none", "some", "much"]', '["none", "some"]', "an order needs at least three"),
        ("[9]", '["some"]', "'some' is a level and a missing code"),
        ("[9]", '["", ""]', "lists a value twice"),
        ('scale = "sqrt"', 'missing_codes = ["-1"]', "is a number; write it without quotes"),
        ('scale = "sqrt"', 'scale = "cubic"', 'write "log" or "sqrt"'),
        ("bounds = [0, 90000]", "bounds = [-1, 90000]", "is for numbers from 0 on"),
        ('kind = "integer"', 'kind = "integer"\ndecimals = 1', "for whole numbers; remove it"),
        ("bounds = [0, 9000]", "bounds = [0, 9000]\nmissing_codes = [-1]", "has missing codes"),
        (
            "bounds = [0, 99000]",
            "bounds = [0, 98999.99]",
            "98999.99] do not hold every sum of room, drugs; write [0, 99000]",
        ),
        ("decimals = 2", "decimals = 0", "'drugs' has 1; raise them"),
        ('["room", "drugs"]', '["room"]', "name two or more different columns"),
        ('["room", "drugs"]', '["room", "rooms"]', "did you mean `room`?"),
        ('["room", "drugs"]', '["room", "pain"]', "depends on 'pain', which is of kind ordinal"),
        ("decimals = 2", 'decimals = 2\nscale = "log"', "`scale` of a sum, which is computed"),
        ("decimals = 2", "decimals = 2\nmissing_codes = [-1]", "`missing_codes` of a sum"),
    ],
)
def test_each_fault_of_days_levels_and_ties_names_its_place_and_the_mend(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    """Also where only another column shows that it is one."""
    assert STAY.count(old) == 1
    assert expected in faults_of(CLINIC + STAY.replace(old, new), tmp_path)


def test_steps_that_a_coordinate_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    """Also between two columns; a log scale keeps six digits, and coarser steps are fewer."""
    assert "more steps of 1 than the encoding can tell apart (16,777,216" in faults_of(
        CLINIC + STAY.replace('90000]\nscale = "sqrt"', "90000000]"), tmp_path
    )
    counted = """
[columns.low]
kind = "integer"
bounds = [0, 15000000]

[columns.high]
kind = "integer"
bounds = [0, 17000000]
at_least = "low"
"""
    assert "more steps of 1 above 'low'" in faults_of(CLINIC + counted, tmp_path)
    coarse = counted.replace("bounds", "decimals = -2\nbounds")
    for mended in (coarse, f'{counted}scale = "log"'):
        assert Schema.from_dict(tomllib.loads(CLINIC + mended)).columns[-1].name == "high"


def test_days_are_read_in_their_format_and_as_what_programs_have() -> None:
    """Texts, dates and moments at midnight; a time of day is refused, and so is another format."""
    kind = Date("d", (date(2020, 1, 1), date(2021, 1, 1)), "%d.%m.%Y", ("01.01.1900", "open"))
    day = float(date(2020, 2, 3).toordinal())
    for cell in ("03.02.2020", " 3.2.2020", date(2020, 2, 3), datetime(2020, 2, 3)):
        assert kind.read(cell) == day
    assert [kind.read(cell) for cell in ("01.01.1900", date(1900, 1, 1), "open")] == [-1, -1, -2]
    for wrong in (
        "2020-02-03",
        "03.02.20",
        "31.02.2020",
        "",
        None,
        pd.NaT,
        datetime(2020, 2, 3, 4),
    ):
        with pytest.raises(DataError, match=r"is no day written as `%d\.%m\.%Y`; correct"):
            kind.read(wrong)
    with pytest.raises(DataError, match=r"02.01.2021 lies outside the public bounds \[01.01.2020"):
        kind.read("02.01.2021")
    clip = Date("d", (date(2020, 1, 1), date(2021, 1, 1)), outside="clip")
    assert clip.read("1999-05-05") == date(2020, 1, 1).toordinal()


def test_whole_numbers_and_levels_are_read_as_such() -> None:
    """Fractions are refused; levels are compared as numbers where they are numbers."""
    assert [Integer("n", (0, 9), missing_codes=(-1.0,)).read(c) for c in ("3.0", "-1")] == [3, -1]
    with pytest.raises(DataError, match=r"'3\.5' is no whole number"):
        Integer("n", (0, 9)).read("3.5")
    pain = Ordinal("pain", (0, 1, "2+"), missing_codes=(9,))
    assert [pain.read(cell) for cell in ("1.0", "2+", "9")] == [1, 2, -1]
    with pytest.raises(DataError, match=r"'3' is not among the public `levels` 0, 1, 2\+"):
        pain.read("3")


def test_a_marker_among_a_column_s_missing_codes_keeps_the_row(tmp_path: Path) -> None:
    """In that column alone; synthetic rows write it again, and read back."""
    content = tomllib.loads(CLINIC)
    content["file"]["missing"] = ["?", ""]
    content["columns"]["age"]["missing_codes"] = ["", -1]
    content["columns"]["ward"]["missing_codes"] = ["?"]
    encoder = TableEncoder(Schema.from_dict(content))
    rows = ["age;smoker;ward;outcome;comment", ";no;north;well;", "-1;yes;?;ill;", "?;no;3;well;"]
    (tmp_path / "a.csv").write_text(
        "\n".join([*rows, "30;no;;ill;", "30;;3;ill;", "31;no;3;well;"])
    )
    records = encoder.read(tmp_path / "a.csv")
    assert records.ids == ("2", "3", "7")
    assert encoder.names[:2] == ("age", "age is missing")
    assert encoder.names[-1] == "ward = ?"
    assert records.x[:, 1].tolist() == [1.0, 1.0, -1.0]
    made = encoder.decode(records.x, records.y)
    assert made.frame is not None
    assert made.frame["age"].tolist() == ["", "", 31]
    assert made.frame["ward"].tolist() == ["north", "?", 3]
    (tmp_path / "made.csv").write_bytes(made.files[".csv"])
    again = TableEncoder(encoder.schema.of_synthetic).read(tmp_path / "made.csv")
    assert np.array_equal(again.x, records.x)


def test_what_holds_in_every_row_is_said_by_schema_check(tmp_path: Path) -> None:
    """Beside coordinates and labels, and what comes of it."""
    (tmp_path / "s.toml").write_text(MIXED)
    told = call("schema", "check", tmp_path / "s.toml").output
    assert "in every row: admitted <= discharged <= admitted + 120 days (the difference" in told
    assert "in every row: charges = room + drugs (computed, not encoded)" in told


def test_names_of_a_file_without_header_must_match_the_sections(tmp_path: Path) -> None:
    """A misspelt or undeclared name in file.columns is found before any record is read."""
    names = 'header = false\ncolumns = ["agee", "smoker", "ward", "outcome", "comment"]'
    message = faults_of(CLINIC.replace('delimiter = ";"', names), tmp_path)
    assert "column 'age' is not in file.columns; did you mean `agee`?" in message
    assert "file.columns names 'agee', which has no section [columns.agee]" in message


def test_file_that_is_absent_or_no_toml_is_named(tmp_path: Path) -> None:
    """Both give one ConfigError with the path."""
    with pytest.raises(ConfigError, match=r"none\.toml: the file cannot be read"):
        Schema.load(tmp_path / "none.toml")
    assert "not a TOML file" in faults_of("name = \n", tmp_path)


def test_schema_made_in_code_is_checked_too() -> None:
    """A contradiction cannot be built by leaving out the file."""
    with pytest.raises(ConfigError, match="none is declared"):
        Schema("empty", FileFormat(), (), Target("y", (0, 1), ("a", "b")))


@pytest.mark.parametrize(
    "cell", ["nan", "inf", "1_000", "", "abc", "\u0661", None, float("nan"), 10**400]
)
def test_what_is_not_a_finite_number_is_none(cell: object) -> None:
    """Only plain finite decimal numbers are numbers."""
    assert number(cell) is None
    with pytest.raises(DataError, match="is not a finite number"):
        Numeric("age", (0, 1)).read(cell)


def test_codes_are_compared_as_numbers_where_they_are_numbers() -> None:
    """One hospital writes 1.0 and another 1: both are the same category."""
    assert token(" 1.0 ") == token("1") == token(1) == token(True) == 1.0
    assert Categorical("cp", (1, 2, "other")).read("2.0") == 1
    assert Categorical("cp", (1, 2, "other")).read(" other ") == 2
    assert Binary("sex", ("f", "m")).read("m") == 1
    with pytest.raises(DataError, match="'x' is not among the public `values` f, m"):
        Binary("sex", ("f", "m")).read("x")


def test_numbers_outside_the_bounds_are_clipped_or_refused_as_declared() -> None:
    """`outside` decides; a missing code passes untouched."""
    clip = Numeric("age", (20, 90), missing_codes=(-1.0,), outside="clip")
    assert [clip.read(v) for v in ("0", "50", "500", "-1")] == [20, 50, 90, -1]
    with pytest.raises(DataError, match=r"500 lies outside the public bounds \[20, 90\]"):
        Numeric("age", (20, 90)).read("500")


def test_importing_the_schema_loads_nothing_heavy() -> None:
    """Reading a configuration needs neither pandas, scikit-learn nor torch."""
    code = (
        "import sys, dpfedsyn.schema;"
        "sys.exit(' '.join({'pandas', 'sklearn', 'torch'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
