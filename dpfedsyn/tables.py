"""Read a silo's table from a text file, line by line, against the public schema.

Errors name cells of the file. They are for the owner of the file and never leave the silo.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dpfedsyn import raw, reading
from dpfedsyn.columns import listing
from dpfedsyn.errors import DataError
from dpfedsyn.schema import Schema
from dpfedsyn.sections import nearest


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]


def read(path: Path | str, schema: Schema) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a silo's file: its rows, every column of the file as text, and an id for each.

    Rows with a missing marker in a kept column are left out; ids are the line numbers in the file
    (from 1), or the cells of the schema's id column, which differ, or of its person column: rows
    with one id are one person's.

    Args:
        path: a text file as `schema.file` describes it, UTF-8.

    Raises:
        DataError: the file is missing, empty or no text; a line has the wrong number of fields; a
            cell or a row is not as the schema says; no row is left. Names file, line, column and
            the mend.
    """
    names, rows = _read_rows(Path(path), schema)
    places = {name: names.index(name) for name in schema.names}
    kept = [row for row in rows if not _lacks(row, places, schema)]
    if not kept:
        raise DataError(
            f"{path}: none of {len(rows)} rows is left, because each has a missing marker "
            f"({listing(map(repr, schema.file.missing))}) in a column that the schema keeps; list "
            "columns that are mostly missing under file.drop"
        )
    cells = {name: [row.cells[place] for row in kept] for place, name in enumerate(names)}
    frame = pd.DataFrame(cells, dtype=object)
    reading.values(frame, schema, lambda row: f"{path}, line {kept[row].line}")
    return frame, _ids(path, kept, names, schema)


def _read_rows(path: Path, schema: Schema) -> tuple[Sequence[str], list[_Row]]:
    """Column names in file order, and every line that is not blank."""
    if path.suffix.lower() in raw.PARQUET:
        return _parquet_rows(path, schema)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(_lines(csv.reader(file, delimiter=schema.file.delimiter, strict=True)))
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror}), so this silo has no records; "
            "correct the path"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: not a table of text ({error}), so nothing was read; save it as UTF-8 text "
            f"with {schema.file.delimiter!r} between cells"
        ) from None
    names: Sequence[str] = schema.file.columns
    if schema.file.header and rows:
        names = _header(path, rows.pop(0), schema)
    elif rows and rows[0].cells == list(names):
        raise DataError(
            f"{path}, line {rows[0].line}: the line holds the column names, but the schema says "
            "header = false, so nothing was read; set header = true and remove `columns`"
        )
    if not rows:
        raise DataError(f"{path}: the file holds no rows, so this silo has no records; fill it")
    for row in rows:
        if len(row.cells) != len(names):
            raise DataError(
                f"{path}, line {row.line}: {len(row.cells)} fields instead of {len(names)} "
                f"({listing(names)}), so nothing was read; correct the line, or `delimiter` = "
                f"{schema.file.delimiter!r} in the schema"
            )
    return names, rows


def _parquet_rows(path: Path, schema: Schema) -> tuple[Sequence[str], list[_Row]]:
    """Column names and rows of a Parquet file, counted from 1 as lines of a file would be."""
    table = raw.parquet(path, schema.formats, schema.blanks)
    rows = [_Row(k, list(cells)) for k, cells in enumerate(table.to_numpy().tolist(), start=1)]
    if not rows:
        raise DataError(f"{path}: the file holds no rows, so this silo has no records; fill it")
    return _header(path, _Row(0, list(table.columns)), schema), rows


def _lines(reader: Iterable[list[str]]) -> Iterable[_Row]:
    """Rows with the line they begin on (a quoted cell may run over several lines)."""
    line = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield _Row(line, [cell.strip() for cell in cells])
        line = reader.line_num + 1  # type: ignore[attr-defined]


def _header(path: Path, row: _Row, schema: Schema) -> list[str]:
    """The column names of a header line, checked against the schema."""
    names = row.cells
    where = f"{path}, line {row.line}"
    wanted = [*schema.names, *([schema.file.naming] if schema.file.naming else [])]
    for name in wanted:
        if names.count(name) != 1:
            raise DataError(
                f"{where}: column {name!r} appears {names.count(name)} times in the header, the "
                f"schema needs it once; {nearest(name, names)} Set header = false if this is a row"
            )
    for name in names:
        if name not in wanted and name not in schema.file.drop:
            raise DataError(
                f"{where}: column {name!r} is not in the schema, so nothing was read; add a "
                f"section [columns.{name}], or list it in file.drop"
            )
    return names


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
    place, lines = names.index(column), dict[str, int]()
    for row in rows:
        cell, key = row.cells[place], "id" if schema.file.id else "person_column"
        if not cell or schema.is_missing(cell):
            raise DataError(
                f"{path}, line {row.line}, column {column}: the id is missing, so nobody knows "
                f"whose row it is and nothing was read; fill it, or remove `{key}` from the schema"
            )
        first = lines.setdefault(cell, row.line)
        if schema.file.id and first != row.line:
            raise DataError(
                f"{path}, line {row.line}, column {column}: {cell!r} names line {first} too, so a "
                "claim per row would not cover whom it names and nothing was read; correct the id, "
                f"or, where a person has several rows, write person_column = {column!r} in place "
                'of `id` in the schema and set privacy.unit = "person"'
            )
    return tuple(row.cells[place] for row in rows)
