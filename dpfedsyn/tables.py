"""Read a silo's table from a text file, a piece at a time, against the public schema.

Errors name cells of the file. They are for the owner of the file and never leave the silo.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pandas as pd

from dpfedsyn import disguise, headers, raw, reading
from dpfedsyn.cells import distinct
from dpfedsyn.columns import listing
from dpfedsyn.errors import DataError, NoRecords
from dpfedsyn.schema import Schema

ROWS_AT_ONCE = 2**15
"""Lines that are held as texts at the same time: some dozen megabytes."""


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]
    word: str = "line"

    @property
    def place(self) -> str:
        """Where it is in its file."""
        return f"{self.word} {self.line}"


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
            cell or a row is not as the schema says; two rows have one id. Names file, line, column
            and the mend.
        NoRecords: all that is wrong is that no row is there, or none is left.
    """
    names, rows = _read_rows(Path(path), schema)
    places = {name: names.index(name) for name in schema.names}
    count, left, lines = 0, 0, dict[str, int]()
    while piece := list(islice(rows, ROWS_AT_ONCE)):
        whole = _without(piece, places, schema)
        count, left = count + len(piece), left + len(whole)
        if whole:
            columns = zip(*(row.cells for row in whole), strict=True)
            frame = pd.DataFrame(dict(zip(names, columns, strict=True)), dtype=object)
            _check(path, whole, frame, schema)
            yield frame, _ids(path, whole, names, schema, lines)
    if not count:
        raise NoRecords(f"{path}: the file holds no rows, so this silo has no records; fill it")
    if not left:
        raise NoRecords(
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
    if schema.file.header:
        if first is None:
            raise DataError(
                f"{path}: the file holds no rows and no header line, so nothing was read; fill it, "
                "or write the header line alone if there are no records"
            )
        headers.check(f"{path}, {first.place}", first.cells, schema)
        return first.cells, _counted(path, rows, first.cells, schema)
    if first is None:
        return names, iter(())
    if first.cells == list(names):
        raise DataError(
            f"{path}, {first.place}: the line holds the column names, but the schema says "
            "header = false, so nothing was read; set header = true and remove `columns`"
        )
    return names, _counted(path, chain([first], rows), names, schema)


def _text_rows(path: Path, schema: Schema) -> Iterator[_Row]:
    """Every line of a text file that is not blank."""
    try:
        disguise.refuse(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=schema.file.delimiter, strict=True)
            yield from _lines(path, reader)
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror}), so this silo has no records; "
            "correct the path"
        ) from None


def _counted(
    path: Path, rows: Iterable[_Row], names: Sequence[str], schema: Schema
) -> Iterator[_Row]:
    """Rows with as many fields as there are names."""
    for row in rows:
        if len(row.cells) != len(names):
            raise DataError(
                f"{path}, {row.place}: {len(row.cells)} fields instead of {len(names)} "
                f"({listing(names)}), so nothing was read; correct the line, or `delimiter` = "
                f"{schema.file.delimiter!r} in the schema"
            )
        yield row


def _parquet_rows(path: Path, schema: Schema) -> tuple[Sequence[str], Iterator[_Row]]:
    """Column names and rows of a Parquet file, counted from 1 as lines of a file would be."""
    table = raw.parquet(path, schema.formats, schema.blanks)
    headers.check(str(path), list(table.columns), schema, typed=True)
    rows = enumerate(table.to_numpy().tolist(), start=1)
    return list(table.columns), (_Row(number, list(cells), "row") for number, cells in rows)


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


def _without(rows: Sequence[_Row], places: Mapping[str, int], schema: Schema) -> list[_Row]:
    """Rows without a missing marker in these columns."""
    lacks = np.zeros(len(rows), dtype=np.bool_)
    for name, place in places.items():
        which, different = distinct([row.cells[place] for row in rows])
        marked = [schema.is_missing(cell, name) for cell in different]
        lacks |= np.array(marked, dtype=np.bool_)[which]
    return [row for row, lacking in zip(rows, lacks.tolist(), strict=True) if not lacking]


def _check(path: Path | str, rows: Sequence[_Row], frame: pd.DataFrame, schema: Schema) -> None:
    """Read every cell, to name the first that is wrong by its place in the file."""
    reading.values(frame, schema, lambda row: f"{path}, {rows[row].place}")


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
    place, key = names.index(column), "id" if schema.file.id else "person_column"
    for row in rows:
        cell, where = row.cells[place], f"{path}, {row.place}, column {column}"
        if not cell or schema.is_missing(cell):
            raise DataError(
                f"{where}: the id is missing, so nobody knows "
                f"whose row it is and nothing was read; fill it, or remove `{key}` from the schema"
            )
        first = lines.setdefault(cell, row.line)
        if schema.file.id and first != row.line:
            raise DataError(
                f"{where}: {cell!r} names {row.word} {first} too, so a "
                "claim per row would not cover whom it names and nothing was read; correct the id, "
                f"or, where a person has several rows, write person_column = {column!r} in place "
                'of `id` in the schema and set privacy.unit = "person"'
            )
    return tuple(row.cells[place] for row in rows)
