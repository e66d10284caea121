"""A silo's file as a table of texts, before any schema: for drafts, and for typed formats.

Errors name places in the file. They are for its owner and never leave the silo.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path

import numpy as np
import pandas as pd

from dpfedsyn import disguise
from dpfedsyn.columns import ISO
from dpfedsyn.errors import DataError

DELIMITERS = ",;\t|"
PARQUET = (".parquet", ".pq")
NOTHING: Mapping[str, str] = {}
SAMPLE = 65536  # characters that a delimiter is told from


@dataclass(frozen=True, eq=False)
class Raw:
    """A table of texts: stripped cells, "" where a value is missing, and how the file divides."""

    table: pd.DataFrame
    delimiter: str = ","


def read(path: Path) -> Raw:
    """Read a file with a header line, whatever its delimiter, or a Parquet file.

    Raises:
        DataError: no such file, no table, or pyarrow is not installed.
    """
    if path.suffix.lower() in PARQUET:
        return Raw(parquet(path))
    try:
        disguise.refuse(path)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror}); correct the path"
        ) from None
    delimiter = _delimiter(text[:SAMPLE])
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: not a table of text ({error}), so nothing was read; "
            "correct the quotation marks of the row that ends there"
        ) from None
    rows = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise DataError(
            f"{path}: no rows below a header line, so there is nothing to describe; give a file "
            "with a line of names and rows below it"
        )
    return Raw(_framed(path, rows, delimiter), delimiter)


def parquet(
    path: Path, formats: Mapping[str, str] = NOTHING, blanks: Mapping[str, str] = NOTHING
) -> pd.DataFrame:
    """Read a Parquet file's columns as `texts`.

    Raises:
        DataError: it cannot be read, a column holds no single values, or pyarrow is not installed.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError("a folder")
        with path.open("rb") as file:
            # Otherwise one missing value makes floats of its whole column: of long ids, the same.
            frame = pd.read_parquet(file, dtype_backend="numpy_nullable")
    except ImportError:
        raise DataError(
            f"{path}: Parquet needs pyarrow, which is not installed, so nothing was read; "
            "`pip install 'dpfedsyn[parquet]'`, or save the table as CSV"
        ) from None
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).strip().splitlines()[0]
        raise DataError(
            f"{path}: not a Parquet file that can be read ({why}), so nothing was read; correct "
            "the path, or write the file again"
        ) from None
    return texts(frame, str(path), formats, blanks)


def texts(
    frame: pd.DataFrame,
    where: str = "the frame",
    formats: Mapping[str, str] = NOTHING,
    blanks: Mapping[str, str] = NOTHING,
) -> pd.DataFrame:
    """Return a frame's cells as texts, as a file would hold them.

    Numbers are written as short as can be, truth values as 0 and 1. A day with a time of day keeps
    it: no column of days takes it.

    Args:
        where: of the frame, for messages.
        formats: of days, by column name; else ISO 8601.
        blanks: what missing values are written as, by column name; else "".

    Raises:
        DataError: two columns have one name, or a cell holds no single value.
    """
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"{where}, column {name}: {names.count(name)} columns have this name, so nothing "
                "was read; keep one of them, and remove or rename the others"
            )
    columns = {
        name: _column(
            frame.iloc[:, k], f"column {name}", where, formats.get(name, ISO), blanks.get(name, "")
        )
        for k, name in enumerate(names)
    }
    return pd.DataFrame(columns, dtype=object)


def _column(cells: Iterable[object], column: str, where: str, days: str, blank: str) -> list[str]:
    found: list[str] = []
    for cell in cells:
        try:
            found.append(_text(cell, days) or blank)
        except ValueError as odd:
            raise DataError(
                f"{where}, row {len(found) + 1}, {column}: {odd}, so nothing was read; give "
                "one number or text a row"
            ) from None
    return found


def _text(cell: object, days: str) -> str:
    if isinstance(cell, bytes | bytearray):
        raise ValueError("holds bytes, which are no text before they are decoded")
    if not pd.api.types.is_scalar(cell):
        raise ValueError(f"holds several values at once ({type(cell).__name__})")
    if pd.isna(cell):
        return ""
    if isinstance(cell, bool | np.bool_):
        return str(int(cell))
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, date) and getattr(cell, "time", time)() == time():
        return cell.strftime(days)
    text = str(cell).strip()
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError(f"holds {text!r}, half a character, which no file can hold")
    return text


def _delimiter(sample: str) -> str:
    """The candidate that the first lines hold equally often, and most often."""
    lines = [line for line in sample.splitlines()[:20] if line.strip()]
    counts = {mark: [line.count(mark) for line in lines] for mark in DELIMITERS}
    regular = {m: c[0] for m, c in counts.items() if c and min(c) > 0}
    return max(regular, key=lambda mark: regular[mark]) if regular else ","


def _framed(path: Path, rows: list[list[str]], delimiter: str) -> pd.DataFrame:
    header, *body = rows
    for name in sorted({n for n in header if header.count(n) > 1 or not n}):
        raise DataError(
            f"{path}: the header names column {name!r} twice or not at all; give each a name"
        )
    for count, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {count}: {len(row)} fields instead of {len(header)} with "
                f"{delimiter!r} between them; correct the row"
            )
    return pd.DataFrame(body, columns=header, dtype=object)
