"""The public schema: the hospitals' own, and every fault a schema file can have."""

import copy
import json
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from dpfedsyn.columns import Binary, Categorical, Numeric, Target, number, token
from dpfedsyn.errors import ConfigError, DataError
from dpfedsyn.schema import FileFormat, Schema

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


@pytest.mark.parametrize("text", [CLINIC, HOSPITALS.read_text(encoding="utf-8")])
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
        ("bounds = [18, 100]", "bounds = [0, 1]\ndecimals = 7", "give 0 to 6"),
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
