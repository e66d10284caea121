"""One case of bad input: what is made, what is done with it, and what the message must hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import DataError, DPError
from dpfedsyn.images import ImageEncoder, ImageSchema
from dpfedsyn.schema import Schema
from tests.dpfedsyn.test_data import CLINIC, HEADER

ROW = "p1,40,,north,well"
GOOD = f"{HEADER}\n{ROW}\np2,41,,south,ill\n"
STAMPS = ImageSchema("stamps", ("plain", "crossed"), 3, 4, 12, 0.5, 16)
SHAPES = ImageSchema("shapes", ("no", "yes"), height=4, width=6, frequencies=5, grey=0.5)

PERSONS = replace(CLINIC, file=replace(CLINIC.file, id="", person_column="patient"))

TABLE, ARCHIVE, FOLDER = TableEncoder(CLINIC), ImageEncoder(STAMPS), ImageEncoder(SHAPES)


@dataclass(frozen=True)
class Case:
    """Bad input and its message.

    Args:
        make: writes files into a folder, and returns what is read. read: reads it. said: facts
            that the message must hold, among them file, row and column where there are any; the
            word FILE stands for the path of what was made. mend: what to do. error: its kind.
    """

    make: Callable[[Path], Any]
    read: Callable[[Any], object]
    said: tuple[str, ...]
    mend: str
    error: type[DPError] = DataError


def table(
    content: str | bytes, *said: str, mend: str, name: str = "silo.csv", schema: Schema = CLINIC
) -> Case:
    """A silo's file that is read as a table."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return Case(make, TableEncoder(schema).read, ("FILE", *said), mend)


def cell(text: str, *said: str, mend: str = "correct the cell", column: str = "age") -> Case:
    """A table whose second row, in line 3, holds this text in one column."""
    cells = dict(zip(HEADER.split(","), ("p2", "41", "", "south", "ill"), strict=True))
    quoted = f'"{text}"' if "," in text else text
    row = ",".join((cells | {column: quoted}).values())
    return table(f"{HEADER}\n{ROW}\n{row}\n", f"line 3, column {column}", *said, mend=mend)
