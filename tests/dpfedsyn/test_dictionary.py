"""Data dictionaries: what is written down of columns, under the headings that are in use."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.dictionary import Described, pairs, read
from dpfedsyn.errors import DataError

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
