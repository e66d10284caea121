"""Schemas that contradict themselves, are no schemas, or are drafts."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dpfedsyn import domain
from dpfedsyn.errors import ConfigError
from tests.bad_input.case import Case

HOSPITALS = (Path(str(files("dpfedsyn"))) / "examples/hospitals/schema.toml").read_text()


def schema(before: str, after: str, *said: str, mend: str) -> Case:
    """The hospitals' schema with one change."""
    assert before in HOSPITALS
    return written(HOSPITALS.replace(before, after, 1).encode(), *said, mend=mend)


def written(content: bytes, *said: str, mend: str) -> Case:
    """A schema file of these bytes."""

    def make(folder: Path) -> Path:
        (folder / "schema.toml").write_bytes(content)
        return folder / "schema.toml"

    return Case(make, domain.encoder, ("FILE", *said), mend, ConfigError)


AGE = "bounds = [20, 90]"
CASES = {
    "a draft": schema(
        "name =", 'draft = "not yet public"\nname =', "a draft", mend="remove its line `draft`"
    ),
    "bounds the wrong way round": schema(
        AGE, "bounds = [90, 20]", "columns.age", "[90, 20]", mend="write [lowest, highest]"
    ),
    "bounds without an end": schema(
        AGE, "bounds = [20, inf]", "columns.age", "[20, inf]", mend="write [lowest, highest]"
    ),
    "bounds in quotes": schema(
        AGE, 'bounds = ["20", "90"]', "columns.age", mend="write two numbers"
    ),
    "bounds of one number": schema(AGE, "bounds = 90", "columns.age", mend="write two numbers"),
    "no bounds": schema(AGE, "", "columns.age", "`bounds` is missing", mend="add it"),
    "a kind that there is not": schema(
        'kind = "numeric"', 'kind = "number"', "columns.age", mend="did you mean `numeric`?"
    ),
    "a category twice": schema(
        "categories = [1, 2, 3, 4]",
        'categories = [1, "1", 3, 4]',
        "columns.cp",
        mend="keep one of each",
    ),
    "categories in a list of lists": schema(
        "categories = [1, 2, 3, 4]",
        "categories = [[1, 2]]",
        "columns.cp",
        mend="write a list of numbers or texts",
    ),
    "the target among the columns": schema(
        'column = "num"',
        'column = "age"',
        "'age' is a feature and the target",
        mend="keep one of the two",
    ),
    "a missing marker that is a value": schema(
        'missing = ["?"]',
        'missing = ["?", "1"]',
        "columns.cp",
        "also a marker",
        mend="remove one of the two",
    ),
    "a missing marker that is no text": schema(
        'missing = ["?"]', "missing = [0]", "file", mend="write a list of texts"
    ),
    "a schema in another encoding": written(
        HOSPITALS.encode("utf-16"), "line 1", "another encoding", mend="save it as UTF-8"
    ),
    "a table for a schema": written(
        b"age,sex\n63,1\n", "not a TOML file", "line 1", mend="Mend that line"
    ),
    "an empty schema": written(b"", "`name` is missing", "`target` is missing", mend="add it"),
}
