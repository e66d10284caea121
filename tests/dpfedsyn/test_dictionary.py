"""Data dictionaries: what is written down of columns, under the headings that are in use."""

import tomllib
from datetime import date
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.dictionary import Described, pairs, read
from dpfedsyn.errors import DataError
from tests.end_to_end.small import call

WORDS = st.from_regex(r"[a-z][a-z ]{0,6}[a-z]", fullmatch=True)
CODES = st.from_regex(r"[A-Za-z0-9]{1,3}", fullmatch=True)


@given(st.lists(st.tuples(CODES, WORDS), min_size=2, max_size=6), st.data())
def test_values_are_read_in_every_usual_way(found: list[tuple[str, str]], data: st.DataObject):
    """Codes and names, whatever stands between them; codes alone are their own names."""
    between, mark = data.draw(
        st.sampled_from([(" | ", ", "), ("; ", "="), ("\n", ": "), (", ", " = "), ("|", ":")])
    )
    text = between.join(f"{code}{mark}{name}" for code, name in found)
    assert pairs(text) == tuple(found)
    alone = data.draw(st.sampled_from([", ", "|", "; "])).join(code for code, _ in found)
    assert pairs(alone) == tuple((code, code) for code, _ in found)
    assert pairs("") == ()


REDCAP = """\
"Variable / Field Name","Form Name","Field Type","Field Label","Choices, Calculations, \
OR Slider Labels","Field Note","Text Validation Min","Text Validation Max"
sex,base,radio,Sex at birth,"1, male | 2, female",,,
stage,base,dropdown,Stage,"1, I | 2, II | 3, III",,,
age,base,text,Age,,years,18,110
again,base,yesno,Was admitted again,,,,
"""
PLAIN = """column;kind;min;max;values;unit;title
age;integer;18;110;;years;Age at admission
stage;ordinal;;;I|II|III;;Stage
seen;date;2020-01-01;2025-12-31;;;Day of the visit
sex;;;;m=male, f=female;;
note;something;;;;;Free text
"""


def test_a_dictionary_of_redcap_is_understood(tmp_path: Path) -> None:
    """Its headings, its choices, its fields of type yesno."""
    path = tmp_path / "dictionary.csv"
    path.write_text(REDCAP)
    found = read(path)
    assert found["sex"] == Described(
        "Sex at birth", kind="binary", values=(("1", "male"), ("2", "female"))
    )
    assert found["stage"].kind == "categorical"
    assert found["age"] == Described("Age", "years", low="18", high="110")
    assert found["again"].values == (("1", "yes"), ("0", "no"))
    assert found["again"].kind == "binary"


def test_a_plain_one_is_too(tmp_path: Path) -> None:
    """Kinds of a schema by name; an unknown kind is left to the file."""
    path = tmp_path / "dictionary.csv"
    path.write_text(PLAIN)
    found = read(path)
    assert [found[name].kind for name in ("age", "stage", "seen", "sex", "note")] == [
        "integer", "ordinal", "date", "binary", "",
    ]  # fmt: skip
    assert (found["seen"].low, found["seen"].high) == ("2020-01-01", "2025-12-31")
    assert found["stage"].values == (("I", "I"), ("II", "II"), ("III", "III"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("who,what\nage,18\n", "says which column a row describes"),
        ("column,min\nage,18\nage,19\n", "row 3: column 'age' is described twice"),
        ("column,min\n", "no rows below a header line"),
    ],
)
def test_what_is_no_dictionary_is_said(tmp_path: Path, text: str, words: str) -> None:
    """With the file, the row and the mend."""
    path = tmp_path / "dictionary.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read(path)


CLINIC = """patient;seen;age;sex;stage;ward;crp;again
p1;03.02.2024;40;m;I;north;1.5;no
p1;04.02.2024;41;f;II;south;2.5;yes
p2;31.03.2024;52;m;III;east;0.5;no
p3;01.05.2024;37;m;I;north;3.0;no
"""
CODEBOOK = """variable;type;min;max;values;unit;label
seen;date;01.01.2024;31.12.2024;;;Day
age;;18;110;;years;Age
sex;;;;m=male|f=female;;Sex
stage;ordinal;;;I|II|III;;Stage
ward;;;;1, north | 2, south | 3, east;;Ward
crp;numeric;0;a lot;;mg/l;CRP
again;;;;no=not again|yes=again;;Again
weight;numeric;1;2;;;Not in the file
"""


def drafted(folder: Path, clinic: str, book: str = "") -> Result:
    """Draft a clinic's schema, with a dictionary if there is one."""
    (folder / "a.csv").write_text(clinic)
    (folder / "d.csv").write_text(book)
    command = ("schema", "draft", folder / "a.csv", "--target", "again")
    return call(*command, *(("--dictionary", folder / "d.csv") if book else ()))


def test_a_dictionary_fills_a_draft_in(tmp_path: Path) -> None:
    """Bounds, values, names, kinds and days are the dictionary's; the mark stays, and what it does
    not say is left to be filled in."""
    text = drafted(tmp_path, CLINIC, CODEBOOK)
    assert text.exit_code == 0, text.output
    made = tomllib.loads(text.stdout)
    assert "draft" in made
    target = {"column": "again", "values": ["no", "yes"], "labels": ["not again", "again"]}
    assert made["target"] == target
    columns = made["columns"]
    assert columns["seen"]["bounds"] == [date(2024, 1, 1), date(2024, 12, 31)]
    assert columns["seen"]["format"] == "%d.%m.%Y"
    assert columns["age"]["kind"] == "integer"
    assert columns["age"]["bounds"] == [18, 110]
    assert columns["sex"] | {"values": ["m", "f"], "names": ["male", "female"]} == columns["sex"]
    assert columns["stage"]["levels"] == ["I", "II", "III"]
    assert columns["ward"]["categories"] == [1, 2, 3]
    assert columns["crp"]["bounds"] == []  # "a lot" is no number
    assert columns["crp"]["decimals"] == 1
    assert "Not in the dictionary, so left to be filled in: patient." in text.stderr
    assert "In the dictionary, but not in the file: weight." in text.stderr


def test_no_cell_of_the_file_reaches_a_draft_by_way_of_a_dictionary(tmp_path: Path) -> None:
    """Filled in by a dictionary without a word, a draft is the one without a dictionary."""
    silent = drafted(tmp_path, CLINIC, "variable,type\nage,\n")
    assert silent.stdout == drafted(tmp_path, CLINIC).stdout


def test_a_filled_draft_is_a_schema(tmp_path: Path) -> None:
    """Once a person has looked at it and taken the mark away; until then it is refused."""
    book = CODEBOOK.replace("a lot", "500").replace("1, north | 2, south | 3, east", "north|east")
    clinic = "\n".join(line.partition(";")[2] for line in CLINIC.splitlines())
    text = drafted(tmp_path, clinic, book).stdout
    (tmp_path / "s.toml").write_text(text)
    assert call("schema", "check", tmp_path / "s.toml").exit_code == 2
    looked_at = [line for line in text.splitlines() if not line.startswith(("draft", "id ="))]
    (tmp_path / "s.toml").write_text("\n".join(looked_at))
    checked = call("schema", "check", tmp_path / "s.toml")
    assert checked.exit_code == 0, checked.output


def test_codes_of_what_is_not_known_are_the_dictionary_s(tmp_path: Path) -> None:
    """Clipped to the bounds, -9 years would be the youngest there are; and a day that there cannot
    be does not make a text of a column of days, nor drop it."""
    clinic = """seen;age;stage;again
03.02.2024;40;I;no
99.99.9999;-9;II;yes
31.03.2024;52;?;no
01.05.2024;37;III;no
"""
    book = """variable;type;min;max;values;missing codes
seen;date;01.01.2024;31.12.2024;;99.99.9999
age;integer;18;110;;-9, not asked | -8, refused
stage;ordinal;;;I|II|III;?
again;binary;;;no|yes;
"""
    text = drafted(tmp_path, clinic, book).stdout
    assert "seen" not in tomllib.loads(text)["file"]["drop"]
    looked_at = [line for line in text.splitlines() if not line.startswith("draft")]
    (tmp_path / "s.toml").write_text("\n".join(looked_at))
    checked = call("schema", "check", tmp_path / "s.toml")
    assert checked.exit_code == 0, checked.output
    columns = tomllib.loads(text)["columns"]
    assert columns["seen"]["missing_codes"] == ["99.99.9999"]
    assert columns["seen"]["format"] == "%d.%m.%Y"
    assert columns["age"]["missing_codes"] == [-9, -8]
    assert columns["stage"]["missing_codes"] == ["?"]


def test_a_target_that_is_no_column_is_said(tmp_path: Path) -> None:
    """Before a draft is made of it."""
    (tmp_path / "a.csv").write_text(CLINIC)
    done = call("schema", "draft", tmp_path / "a.csv", "--target", "agian")
    assert done.exit_code == 2
    assert not done.stdout
    assert "did you mean `again`?" in done.stderr
