"""Bad input gets one error: file, row, column and mend; exit code 2; nothing written or charged.

The cases stand in tables by subject beside this file.
"""

from pathlib import Path

import pytest
from click.testing import Result

from dpfedsyn.errors import DPError
from tests.bad_input import (
    cells,
    command_line,
    configurations,
    handed_over,
    images,
    parquet,
    schemas,
    texts,
    ties,
)
from tests.bad_input.case import GOOD, TABLE, Case
from tests.bad_input.configurations import EXAMPLE

TABLES = (texts, cells, ties, parquet, images, handed_over, schemas, configurations, command_line)
CASES = {
    f"{table.__name__.rpartition('.')[2]}: {name}": case
    for table in TABLES
    for name, case in table.CASES.items()
}


def message(case: Case, made: object) -> str:
    """The one error that this input gets, in Python or on the command line, on one line."""
    refused, result = None, None
    try:
        result = case.read(made)
    except DPError as error:
        refused = error
    if refused is not None:
        assert isinstance(refused, case.error), refused
        assert refused.exit_code == 2
        return " ".join(str(refused).split())
    assert isinstance(result, Result), f"accepted: {result}"
    assert result.exit_code == 2, result.output
    flat = " ".join(result.output.split())
    assert flat.count("Error:") == 1
    assert "Traceback" not in flat
    return flat


def content(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder, links as where they lead."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


def test_there_are_a_hundred_cases_and_more() -> None:
    """No two tables share a name, so that none hides another."""
    assert len(CASES) == sum(len(table.CASES) for table in TABLES)
    assert len(CASES) >= 100


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_its_place_and_its_mend(name: str, tmp_path: Path) -> None:
    """Facts and mend are in the message; not a file is made, changed or left, a ledger least."""
    case = CASES[name]
    made = case.make(tmp_path)
    before = content(tmp_path)
    said = message(case, made)
    for word in (*case.said, case.mend):
        assert word.replace("FILE", str(made)) in said
    assert content(tmp_path) == before


def test_what_the_cases_break_is_sound_without_their_faults(tmp_path: Path) -> None:
    """The table, the frame and the schema are read; test_bad_input of the runs has the rest."""
    (tmp_path / "silo.csv").write_text(GOOD)
    (tmp_path / "marked.csv").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert len(TABLE.read(tmp_path / "silo.csv")) == 2
    assert len(TABLE.read(tmp_path / "marked.csv")) == 2
    made = handed_over.handed.written({"a": parquet.FRAME}, TABLE, tmp_path / "records")
    assert len(TABLE.read(made["a"])) == 2
    assert (EXAMPLE / "config.toml").is_file()
