"""Parquet files: typed columns that hold no single values, and files that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tests.bad_input.case import TABLE, Case, table

FRAME = pd.DataFrame(
    {
        "patient": ["p1", "p2"],
        "age": [40, 41],
        "comment": ["", ""],
        "ward": ["north", "south"],
        "outcome": ["well", "ill"],
    }
)


def columns(*said: str, mend: str, frame: pd.DataFrame = FRAME, **changed: Any) -> Case:
    """A file with some columns changed."""

    def make(folder: Path) -> Path:
        path = folder / "silo.parquet"
        frame.assign(**changed).to_parquet(path)
        return path

    return Case(make, TABLE.read, ("FILE", *said), mend)


def _cut(folder: Path) -> Path:
    path = folder / "silo.parquet"
    FRAME.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def _folder(folder: Path) -> Path:
    (folder / "silo.parquet").mkdir()
    return folder / "silo.parquet"


def _renamed(folder: Path) -> Path:
    FRAME.to_parquet(folder / "silo.csv")
    return folder / "silo.csv"


CASES = {
    "lists in Parquet": columns(
        "row 1, column age", "several values at once", mend="give one number or text a row",
        age=[[40], [41]],
    ),
    "records in Parquet": columns(
        "row 1, column age", "several values at once (dict)", mend="give one number or text a row",
        age=[{"years": 40}, {"years": 41}],
    ),
    "bytes in Parquet": columns(
        "row 1, column ward", "holds bytes", mend="give one number or text a row",
        ward=[b"north", b"south"],
    ),
    "dates in Parquet": columns(
        "row 1, column age", "looks like a date", mend="correct the cell",
        age=pd.to_datetime(["1980-03-12", "1981-03-12"]),
    ),
    "infinity in Parquet": columns(
        "row 2, column age", "'inf' is not a finite number", mend="correct the cell",
        age=[40.0, float("inf")],
    ),
    "an unseen category in Parquet": columns(
        "row 2, column ward", "'west' is not among", mend="add the value",
        ward=pd.Categorical(["north", "west"]),
    ),
    "an id twice in Parquet": columns(
        "row 2, column patient", "'p1' names row 1 too", mend="correct the id",
        patient=["p1", "p1"],
    ),
    "no target in Parquet": columns(
        "'outcome' appears 0 times", mend="known are patient, age, comment, ward",
        frame=FRAME.drop(columns="outcome"),
    ),
    "an index in Parquet": columns(
        "'patient' appears 0 times", mend="An index is no column", frame=FRAME.set_index("patient")
    ),
    "no rows in Parquet": columns("holds no rows", mend="fill it", frame=FRAME.head(0)),
    "text by the name of Parquet": table(
        "age,ward\n40,north\n", "not a Parquet file", mend="write the file again",
        name="silo.parquet",
    ),
    "Parquet by the name of text": Case(
        _renamed, TABLE.read, ("FILE", "a Parquet file"), "let its name end in .parquet"
    ),
    "Parquet that was cut": Case(
        _cut, TABLE.read, ("FILE", "not a Parquet file"), "write the file again"
    ),
    "a folder by the name of Parquet": Case(
        _folder, TABLE.read, ("FILE", "a folder"), "correct the path"
    ),
}  # fmt: skip
