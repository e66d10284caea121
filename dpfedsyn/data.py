"""Read a silo's file into records, and divide records by keyed hashes.

An id is given to every line at import, before any row is left out. What is decided about a record
(kept, test part, ensemble part) is decided from that record, its id and public settings, so adding
or removing one record never moves another (add-or-remove adjacency).

Errors name cells of the file. They are for the owner of the file and never leave the silo.
"""

import csv
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpfedsyn.columns import Column, Target, listing
from dpfedsyn.encoding import Encoder
from dpfedsyn.errors import ConfigError, DataError
from dpfedsyn.schema import Schema
from dpfedsyn.sections import nearest


@dataclass(frozen=True, eq=False)
class Records:
    """Encoded records of one silo.

    Args:
        x: (n, d) float32, as `Encoder.encode` makes it.
        y: (n,) int64 labels.
        ids: n ids, kept from import.
        silo: name of the silo; tells equal ids of different silos apart.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    ids: tuple[str, ...]
    silo: str = ""

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1] or len(self.ids) != len(self.x):
            raise DataError(
                f"x {self.x.shape}, y {self.y.shape} and {len(self.ids)} ids do not make records; "
                "give (n, d), (n,) and n"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: NDArray[np.integer]) -> "Records":
        """Return the records at these positions, in this order."""
        ids = tuple(self.ids[position] for position in positions.tolist())
        return Records(self.x[positions], self.y[positions], ids, self.silo)


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]


def load(path: Path | str, schema: Schema, *, silo: str = "") -> Records:
    """Read and encode a silo's file.

    Rows with a missing marker in a kept column are left out; ids are the line numbers in the file
    (from 1), or the cells of the schema's id column. Rows with one id stay together in `split`
    and `parts`.

    Args:
        path: a text file as `schema.file` describes it, UTF-8.
        silo: name that enters the keyed hashes.

    Raises:
        DataError: the file is missing, empty or no text; a line has the wrong number of fields; a
            cell is not valid; no row is left. Names file, line, column and the mend.
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
    kinds: list[Column | Target] = [*schema.columns, schema.target]
    for name, kind in zip(schema.names, kinds, strict=True):
        _check(path, kept, name, places[name], kind)
    cells = {name: [row.cells[places[name]] for row in kept] for name in schema.names}
    x, y = Encoder(schema).encode(pd.DataFrame(cells, dtype=object))
    return Records(x, y, _ids(path, kept, names, schema), silo)


def split(records: Records, *, key: str, fraction: float) -> tuple[Records, Records]:
    """Divide records into (train, test) by the keyed hash of each id.

    A record is in the test part where HMAC-SHA256(key, "split/silo/id"), read as a number in
    [0, 1), is below `fraction`. Never stratified: that would let one record move others.

    Args:
        key: public; another key is another split.
        fraction: expected share of the test part, in [0, 1].

    Guarantee:
        Whether a record is tested or trained on depends on its own id and public settings only:
        adding or removing a record moves no other, so training stays a function of one data set.

    Raises:
        ConfigError: the fraction is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ConfigError(
            f"test fraction = {fraction}, so there is no split; give a share in [0, 1]"
        )
    numbers = _hashes(records, key, "split")
    test = np.array([number < fraction * 2.0**64 for number in numbers], dtype=bool)
    return records.take(np.flatnonzero(~test)), records.take(np.flatnonzero(test))


def parts(records: Records, m: int, key: str) -> tuple[Records, ...]:
    """Divide records into m disjoint parts by the keyed hash of each id; parts may be empty.

    The part is HMAC-SHA256(key, "parts/silo/id") modulo m, so it is independent of `split`.

    Guarantee:
        Adding or removing a record changes one part only, and no record is in two: the ensemble's
        record-level sensitivity, 1/M of the whole, rests on that.

    Raises:
        ConfigError: m is below 1.
    """
    if m < 1:
        raise ConfigError(f"{m} parts, so there is no ensemble; give at least 1")
    numbers = np.array([number % m for number in _hashes(records, key, "parts")], dtype=np.int64)
    return tuple(records.take(np.flatnonzero(numbers == part)) for part in range(m))


def _hashes(records: Records, key: str, purpose: str) -> list[int]:
    """64-bit numbers, one per record; `purpose` makes different uses of a key independent."""
    return [
        int.from_bytes(
            hmac.digest(key.encode(), f"{purpose}/{records.silo}/{id_}".encode(), hashlib.sha256)[
                :8
            ]
        )
        for id_ in records.ids
    ]


def _read_rows(path: Path, schema: Schema) -> tuple[Sequence[str], list[_Row]]:
    """Column names in file order, and every line that is not blank."""
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
    wanted = [*schema.names, *([schema.file.id] if schema.file.id else [])]
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
    return any(schema.is_missing(row.cells[place]) for place in places.values())


def _check(
    path: Path | str, rows: Sequence[_Row], name: str, place: int, kind: Column | Target
) -> None:
    for row in rows:
        try:
            kind.read(row.cells[place])
        except DataError as fault:
            raise DataError(f"{path}, line {row.line}, column {name}: {fault}") from None


def _ids(
    path: Path | str, rows: Sequence[_Row], names: Sequence[str], schema: Schema
) -> tuple[str, ...]:
    """Line numbers, or the cells of the schema's id column."""
    if not schema.file.id:
        return tuple(str(row.line) for row in rows)
    place = names.index(schema.file.id)
    for row in rows:
        if not row.cells[place] or schema.is_missing(row.cells[place]):
            raise DataError(
                f"{path}, line {row.line}, column {schema.file.id}: the id is missing, so the row "
                "has no place in a split; fill it, or remove `id` from the schema"
            )
    return tuple(row.cells[place] for row in rows)
