"""Read a silo's table from a text file, a piece at a time, against the public schema.

Errors name cells of the file. They are for the owner of the file and never leave the silo.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pandas as pd

from dpfedsyn import raw
from dpfedsyn.cells import distinct
from dpfedsyn.columns import Column, Target, listing
from dpfedsyn.errors import DataError
from dpfedsyn.schema import Schema
from dpfedsyn.sections import nearest

ROWS_AT_ONCE = 2**15
"""Lines that are held as texts at the same time: some dozen megabytes."""


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]


def read(path: Path | str, schema: Schema) -> Iterator[tuple[pd.DataFrame, tuple[str, ...]]]:
    """Yield a silo's rows piece by piece, every column of the file as text, and an id for each.

    However long the file, a piece is what is held of it; nothing depends on where pieces end but
    which of several faults is named, one of the first piece that has any. Rows with a missing
    marker in a kept column are left out; ids are the line numbers in the file (from 1), or the
    cells of the schema's id column, which differ, or of its person column: rows with one id are
    one person's.

    Args:
        path: a text file as `schema.file` describes it, UTF-8.

    Raises:
        DataError: the file is missing, empty or no text; a line has the wrong number of fields; a
            cell is not valid; no row is left. Names file, line, column and the mend.
    """
    names, rows = _read_rows(Path(path), schema)
    places = {name: names.index(name) for name in schema.names}
    kinds: list[Column | Target] = [*schema.columns, schema.target]
    count, left, lines = 0, 0, dict[str, int]()
    while piece := list(islice(rows, ROWS_AT_ONCE)):
        whole = _without(piece, places.values(), schema)
        count, left = count + len(piece), left + len(whole)
        if whole:
            columns = zip(*(row.cells for row in whole), strict=True)
            cells = dict(zip(names, columns, strict=True))
            for name, kind in zip(schema.names, kinds, strict=True):
                _check(path, whole, name, cells[name], kind)
            yield pd.DataFrame(cells, dtype=object), _ids(path, whole, names, schema, lines)
    if not left:
        raise DataError(
            f"{path}: none of {count} rows is left, because each has a missing marker "
            f"({listing(map(repr, schema.file.missing))}) in a column that the schema keeps; list "
            "columns that are mostly missing under file.drop"
        )


def _read_rows(path: Path, schema: Schema) -> tuple[Sequence[str], Iterator[_Row]]:
    """Column names in file order, and every line that is not blank."""
    if path.suffix.lower() in raw.PARQUET:
        return _parquet_rows(path, schema)
    rows = _text_rows(path, schema)
    names, first = schema.file.columns, next(rows, None)
    if schema.file.header and first is not None:
        names, first = tuple(_header(path, first, schema)), next(rows, None)
    elif first is not None and first.cells == list(names):
        raise DataError(
            f"{path}, line {first.line}: the line holds the column names, but the schema says "
            "header = false, so nothing was read; set header = true and remove `columns`"
        )
    if first is None:
        raise DataError(f"{path}: the file holds no rows, so this silo has no records; fill it")
    return names, _counted(path, chain([first], rows), names, schema)


def _text_rows(path: Path, schema: Schema) -> Iterator[_Row]:
    """Every line of a text file that is not blank."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _lines(csv.reader(file, delimiter=schema.file.delimiter, strict=True))
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


def _counted(
    path: Path, rows: Iterable[_Row], names: Sequence[str], schema: Schema
) -> Iterator[_Row]:
    """Rows with as many fields as there are names."""
    for row in rows:
        if len(row.cells) != len(names):
            raise DataError(
                f"{path}, line {row.line}: {len(row.cells)} fields instead of {len(names)} "
                f"({listing(names)}), so nothing was read; correct the line, or `delimiter` = "
                f"{schema.file.delimiter!r} in the schema"
            )
        yield row


def _parquet_rows(path: Path, schema: Schema) -> tuple[Sequence[str], Iterator[_Row]]:
    """Column names and rows of a Parquet file, counted from 1 as lines of a file would be."""
    table = raw.parquet(path)
    rows = [_Row(k, list(cells)) for k, cells in enumerate(table.to_numpy().tolist(), start=1)]
    if not rows:
        raise DataError(f"{path}: the file holds no rows, so this silo has no records; fill it")
    return _header(path, _Row(0, list(table.columns)), schema), iter(rows)


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


def _without(rows: Sequence[_Row], places: Iterable[int], schema: Schema) -> list[_Row]:
    """Rows without a missing marker in these columns."""
    lacks = np.zeros(len(rows), dtype=np.bool_)
    for place in places:
        which, different = distinct([row.cells[place] for row in rows])
        lacks |= np.array([schema.is_missing(cell) for cell in different], dtype=np.bool_)[which]
    return [row for row, lacking in zip(rows, lacks.tolist(), strict=True) if not lacking]


def _check(
    path: Path | str, rows: Sequence[_Row], name: str, cells: Sequence[str], kind: Column | Target
) -> None:
    which, different = distinct(cells)
    for number, cell in enumerate(different):
        try:
            kind.read(cell)
        except DataError as fault:
            row = rows[int(np.argmax(which == number))]
            raise DataError(f"{path}, line {row.line}, column {name}: {fault}") from None


def _ids(
    path: Path | str,
    rows: Sequence[_Row],
    names: Sequence[str],
    schema: Schema,
    lines: dict[str, int],
) -> tuple[str, ...]:
    """Line numbers, or the cells of the schema's id or person column.

    Args:
        lines: where each cell stood first, in the pieces before too.
    """
    column = schema.file.naming
    if not column:
        return tuple(str(row.line) for row in rows)
    place = names.index(column)
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
