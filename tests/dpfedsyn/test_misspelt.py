"""Remarks on cells that are no numbers: what they say to write is a number; text is text."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import disguise
from dpfedsyn.columns import number
from dpfedsyn.errors import DataError
from dpfedsyn.misspelt import remark

WRITTEN = re.compile(r"write ([^ ,)]+)")
PARTS = st.lists(st.sampled_from([*"0123456789,.'-+%$ :/<", "kg", "\u00a0", "\u0664", "e"]))


@given(PARTS.map("".join) | st.text(max_size=12) | st.floats() | st.none())
def test_what_is_to_be_written_is_a_number(cell: object) -> None:
    """Or words: never something that would be refused again."""
    said = remark(cell)
    assert said == "" or (said.startswith(" (") and said.endswith(")"))
    for written in WRITTEN.findall(said):
        assert number(written) is not None or written in ("a", "the"), (cell, said)


@given(st.integers(-(10**9), 10**9), st.sampled_from([",", " ", "'", "\u202f"]))
def test_thousands_come_back_as_the_number_that_was_set(value: int, mark: str) -> None:
    """However they are set apart."""
    text = f"{value:,}".replace(",", mark)
    if mark in text:
        assert f"write {value}" in remark(text)


@given(st.decimals(-(10**6), 10**6, places=2).filter(lambda d: d != 0))
def test_a_decimal_comma_comes_back_as_a_point(value: object) -> None:
    """With two digits behind it, it is no comma between thousands."""
    assert f"write {value})" in remark(str(value).replace(".", ","))


@given(st.integers(0, 10**9), st.sampled_from([0x660, 0x966, 0xFF10]))
def test_digits_of_other_scripts_come_back_as_ascii(value: int, zero: int) -> None:
    """Arabic, Devanagari, full width; a small digit above the line is none of them."""
    text = "".join(chr(zero + int(digit)) for digit in str(value))
    assert f"write {value})" in remark(text)
    assert "write" not in remark(f"{value}\u00b2")


@given(st.binary(max_size=200))
def test_what_is_not_refused_is_text(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """In UTF-8 and without a zero byte; what is refused says what to do."""
    path = tmp_path_factory.mktemp("bytes") / "silo.csv"
    path.write_bytes(data)
    said = ""
    try:
        disguise.refuse(path)
    except DataError as refused:
        said = str(refused)
    if said:
        assert said.startswith(f"{path}")
        assert "so nothing was read; " in said
    else:
        assert "\x00" not in data.decode("utf-8-sig")


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1))
def test_text_is_never_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever it begins with, and wherever a character is cut by what is looked at."""
    path: Path = tmp_path_factory.mktemp("text") / "silo.csv"
    for beginning in ("", "PAR1,BZh", "%PDF"):
        path.write_text(beginning + text * 5000, encoding="utf-8")
        disguise.refuse(path)
