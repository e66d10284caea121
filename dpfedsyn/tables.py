"""Read a silo's table from a text file, line by line, against the public schema.

Errors name cells of the file. They are for the owner of the file and never leave the silo.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dpfedsyn import disguise, headers, raw, reading
from dpfedsyn.columns import listing
from dpfedsyn.errors import DataError, NoRecords
from dpfedsyn.schema import Schema


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]
    word: str = "line"

    @property
    def place(self) -> str:
        """Where it is in its file."""
        return f"{self.word} {self.line}"


def read(path: Path | str, schema: Schema) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a silo's file: its rows, every column of the file as text, and an id for each.

    Rows with a missing marker in a kept column are left out; ids are the line numbers in the file
    (from 1), or the cells of the schema's id column, which differ, or of its person column: rows
    with one id are one person's.

    Args:
        path: a text file as `schema.file` describes it, UTF-8.

    Raises:
        DataError: the file is missing, empty or no text; a line has the wrong number of fields; a
            cell or a row is not as the schema says; two rows have one id. Names file, line, column
            and the mend.
        NoRecords: all that is wrong is that no row is there, or none is left.
    """
    names, rows = _read_rows(Path(path), schema)
    places = {name: names.index(name) for name in schema.names}
    kept = [row for row in rows if not _lacks(row, places, schema)]
    if not kept:
        raise NoRecords(
            f"{path}: none of {len(rows)} rows is left, because each has a missing marker "
            f"({listing(map(repr, schema.file.missing))}) in a column that the schema keeps; list "
            "columns that are mostly missing under file.drop"
        )
    cells = {name: [row.cells[place] for row in kept] for place, name in enumerate(names)}
    frame = pd.DataFrame(cells, dtype=object)
    reading.values(frame, schema, lambda row: f"{path}, {kept[row].place}")
    return frame, _ids(path, kept, names, schema)


def _read_rows(path: Path, schema: Schema) -> tuple[Sequence[str], list[_Row]]:
    """Column names in file order, and every line that is not blank."""
    if path.suffix.lower() in raw.PARQUET:
        return _parquet_rows(path, schema)
    rows = _text_rows(path, schema)
    names: Sequence[str] = schema.file.columns
    if schema.file.header:
        if not rows:
            raise DataError(
                f"{path}: the file holds no rows and no header line, so nothing was read; fill it, "
                "or write the header line alone if there are no records"
            )
        first = rows.pop(0)
        names = first.cells
        headers.check(f"{path}, {first.place}", names, schema)
    elif rows and rows[0].cells == list(names):
        raise DataError(
            f"{path}, {rows[0].place}: the line holds the column names, but the schema says "
            "header = false, so nothing was read; set header = true and remove `columns`"
        )
    _require(path, rows)
    for row in rows:
        if len(row.cells) != len(names):
            raise DataError(
                f"{path}, {row.place}: {len(row.cells)} fields instead of {len(names)} "
                f"({listing(names)}), so nothing was read; correct the line, or `delimiter` = "
                f"{schema.file.delimiter!r} in the schema"
            )
    return names, rows


def _text_rows(path: Path, schema: Schema) -> list[_Row]:
    """Every line of a text file that is not blank."""
    try:
        disguise.refuse(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=schema.file.delimiter, strict=True)
            return list(_lines(path, reader))
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror}), so this silo has no records; "
            "correct the path"
        ) from None


def _parquet_rows(path: Path, schema: Schema) -> tuple[Sequence[str], list[_Row]]:
    """Column names and rows of a Parquet file, counted from 1 as lines of a file would be."""
    table = raw.parquet(path, schema.formats, schema.blanks)
    headers.check(str(path), list(table.columns), schema, typed=True)
    rows = [
        _Row(k, list(cells), "row") for k, cells in enumerate(table.to_numpy().tolist(), start=1)
    ]
    _require(path, rows)
    return list(table.columns), rows


def _require(path: Path, rows: Sequence[_Row]) -> None:
    if not rows:
        raise NoRecords(f"{path}: the file holds no rows, so this silo has no records; fill it")


def _lines(path: Path, reader: Iterator[list[str]]) -> Iterator[_Row]:
    """Rows with the line they begin on (a quoted cell may run over several lines)."""
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}, line {line}: not a table of text ({error}), so nothing was read; correct "
                "the quotation marks of the row that begins there (one that is never closed takes "
                "in all that follows)"
            ) from None
        if any(cell.strip() for cell in cells):
            yield _Row(line, [cell.strip() for cell in cells])
        line = reader.line_num + 1  # type: ignore[attr-defined]


def _lacks(row: _Row, places: Mapping[str, int], schema: Schema) -> bool:
    """Whether a kept column of this row holds a missing marker."""
    return any(schema.is_missing(row.cells[place], name) for name, place in places.items())


def _ids(
    path: Path | str, rows: Sequence[_Row], names: Sequence[str], schema: Schema
) -> tuple[str, ...]:
    """Line numbers, or the cells of the schema's id or person column."""
    column = schema.file.naming
    if not column:
        return tuple(str(row.line) for row in rows)
    place, first = names.index(column), dict[str, str]()
    for row in rows:
        cell, key = row.cells[place], "id" if schema.file.id else "person_column"
        where = f"{path}, {row.place}, column {column}"
        if not cell or schema.is_missing(cell):
            raise DataError(
                f"{where}: the id is missing, so nobody knows "
                f"whose row it is and nothing was read; fill it, or remove `{key}` from the schema"
            )
        if schema.file.id and cell in first:
            raise DataError(
                f"{where}: {cell!r} names {first[cell]} too, so a "
                "claim per row would not cover whom it names and nothing was read; correct the id, "
                f"or, where a person has several rows, write person_column = {column!r} in place "
                'of `id` in the schema and set privacy.unit = "person"'
            )
        first[cell] = row.place
    return tuple(row.cells[place] for row in rows)
