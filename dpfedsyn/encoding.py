"""Map rows of a table to vectors and back, by the public schema alone.

    numeric      [-2, 2], linear between the public bounds
                 with missing codes: a second coordinate, +1 where the value is missing (then the
                 first is 0, the public centre), else -1
    binary       -1 or +1
    categorical  2 (one-hot - 1/k), k coordinates

Guarantee:
    A row's vector depends on that row and the schema; no mean, range or category list is taken
    from records (privacy by composition needs this: preprocessing is a function of one record).
    Every vector has L2 norm at most `TableEncoder.radius`, a public number.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dpfedsyn import tables
from dpfedsyn.cells import distinct
from dpfedsyn.columns import Binary, Categorical, Code, Column, Numeric, Target, listing
from dpfedsyn.data import Records, Synthetic, checked, joined
from dpfedsyn.errors import DataError
from dpfedsyn.schema import Schema

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

CELLS = 128
"""The most cells of a number's histogram."""


@dataclass(frozen=True, eq=False)
class Number:
    """Where a number lies in a vector, and on which public values it is counted.

    Attributes:
        coordinate: its place. indicator: the place of its missing indicator, or None.
        values: rising encoded values, one for each cell of a histogram.
    """

    coordinate: int
    indicator: int | None
    values: NDArray[np.float64]


@dataclass(frozen=True)
class TableEncoder:
    """Encoding and decoding for one schema of a table."""

    schema: Schema

    @property
    def still(self) -> "TableEncoder":
        """Itself: released rows go through nothing more."""
        return self

    @property
    def dimension(self) -> int:
        """Number d of coordinates."""
        return len(self.names)

    @property
    def labels(self) -> tuple[str, ...]:
        """Public label names."""
        return self.schema.labels

    @property
    def digest(self) -> str:
        """What a ledger binds: the schema's digest."""
        return self.schema.digest

    @property
    def geometry(self) -> None:
        """Rows of a table have no place in an image."""
        return None

    @property
    def spectrum(self) -> None:
        """What varies how much in a table is not known in public."""
        return None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each coordinate."""
        return tuple(name for column in self.schema.columns for name in _coordinates(column))

    @cached_property
    def radius(self) -> float:
        """The largest L2 norm that a float32 vector of `encode` can have, rounded up."""
        squares = (_largest_square(column) for column in self.schema.columns)
        return math.nextafter(math.sqrt(math.fsum(squares)) * (1 + 1e-15), math.inf)

    @cached_property
    def two_valued(self) -> NDArray[np.float64]:
        """The (low, high) that a coordinate can take, shape (d, 2); NaN where it takes more."""
        pairs = [pair for column in self.schema.columns for pair in _value_pairs(column)]
        return np.array(pairs, dtype=np.float64)

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """The numeric columns, in the schema's order."""
        found, start = [], 0
        for column in self.schema.columns:
            size = len(_coordinates(column))
            if isinstance(column, Numeric):
                found.append(Number(start, start + 1 if size > 1 else None, _cells(column)))
            start += size
        return tuple(found)

    def encode(self, frame: pd.DataFrame) -> tuple[Floats, Labels]:
        """Encode a table that holds the schema's columns; other columns are ignored.

        Args:
            frame: n rows of cells, texts or numbers, in the schema's own codes.

        Returns:
            (x, y): x (n, d) float32 without unit; y (n,) int64 in 0 .. labels - 1.

        Raises:
            DataError: a column is absent, or a cell is not valid; names row (from 1) and column.
        """
        target = self.schema.target
        blocks = [
            _encode_column(column, _read(frame, column.name, column))
            for column in self.schema.columns
        ]
        y = _read(frame, target.column, target).astype(np.int64)
        return np.concatenate(blocks, axis=1).astype(np.float32), y

    def read(self, path: Path, *, silo: str = "") -> Records:
        """Read and encode a silo's file; see `dpfedsyn.tables.read`.

        Args:
            silo: name that enters the keyed hashes.
        """
        pieces: list[Records] = []
        known = dict[object, object]()
        for frame, ids in tables.read(path, self.schema):
            x, y = self.encode(frame)
            groups = {str(name): _shared(frame[name], known) for name in frame.columns}
            pieces.append(Records(x, y, ids, silo, groups=groups))
        return joined(pieces)

    def decode(self, x: ArrayLike, y: ArrayLike) -> Synthetic:
        """Decode vectors to rows as they are written, and encode those again: see `frame`."""
        frame = self.frame(x, y)
        encoded, labels = self.encode(frame)
        files = {".csv": frame.to_csv(index=False).encode()}
        return Synthetic(encoded, labels, encoded, files, frame)

    def frame(self, x: ArrayLike, y: ArrayLike) -> pd.DataFrame:
        """Decode vectors to the nearest rows that the schema allows.

        Numbers are clipped to the bounds and rounded to the column's decimals, categories are the
        largest coordinate, a positive indicator gives the (first) missing code. The result passes
        the schema, and a row that came from `encode` comes back.

        Args:
            x: (n, d) finite reals.
            y: (n,) labels in 0 .. labels - 1.

        Returns:
            A table with the columns `schema.names`.

        Raises:
            DataError: wrong shape, a value that is not finite, or an unknown label.
        """
        vectors, labels = checked(x, y, self.dimension, self.labels, self.schema.name)
        data, start = {}, 0
        for column in self.schema.columns:
            stop = start + len(_coordinates(column))
            data[column.name] = _decode_column(column, vectors[:, start:stop])
            start = stop
        target = self.schema.target
        data[target.column] = _choose(target.representatives, labels)
        return pd.DataFrame(data)


def _coordinates(column: Column) -> list[str]:
    """Names of a column's coordinates."""
    if isinstance(column, Numeric) and column.missing_codes:
        return [column.name, f"{column.name} is missing"]
    if isinstance(column, Categorical):
        return [f"{column.name} = {category}" for category in column.categories]
    return [column.name]


def _value_pairs(column: Column) -> list[tuple[float, float]]:
    match column:
        case Numeric():
            indicator = [(-1.0, 1.0)] if column.missing_codes else []
            return [(math.nan, math.nan), *indicator]
        case Binary():
            return [(-1.0, 1.0)]
        case Categorical():
            k = len(column.categories)
            return [(-2.0 / k, 2.0 - 2.0 / k)] * k


def _cells(column: Numeric) -> NDArray[np.float64]:
    """Encoded round values between the bounds: every 1, 2, 5, 10 ... steps of a decimal.

    Numbers are often rounded by those who write them down, and then lie on such values.
    """
    low, high = (round(bound * 10**column.decimals) for bound in column.bounds)
    strides = (k * 10**power for power in itertools.count() for k in (1, 2, 5))
    stride = next(s for s in strides if (high - low) // s < CELLS)
    places = stride * np.arange(-(-low // stride), high // stride + 1)
    values: NDArray[np.float64] = (places - low) / (high - low) * 4.0 - 2.0
    return values


def _largest_square(column: Column) -> float:
    """The largest squared L2 norm of a column's coordinates, as float32 holds them."""
    if isinstance(column, Numeric):
        return 5.0 if column.missing_codes else 4.0
    if isinstance(column, Binary):
        return 1.0
    k = len(column.categories)
    on, off = float(np.float32(2 - 2 / k)), float(np.float32(-2 / k))
    return on**2 + (k - 1) * off**2


def _shared(cells: "pd.Series[Any]", known: dict[object, object]) -> NDArray[np.object_]:
    """Return cells (n,) that are one object where they are equal to another, or a known one."""
    which, different = distinct(cells.tolist())
    one = np.array([known.setdefault(cell, cell) for cell in different], dtype=object)
    return one[which]


def _read(frame: pd.DataFrame, name: str, column: Column | Target) -> NDArray[np.float64]:
    """Read one column of a table, (n,); cells that are equal are read once."""
    if name not in frame.columns:
        raise DataError(
            f"the table has no column {name!r}, so it cannot be encoded; it has "
            f"{listing(frame.columns)}"
        )
    which, different = distinct(frame[name].tolist())
    values: list[float] = []
    for cell in different:
        try:
            values.append(column.read(cell))
        except DataError as fault:
            row = int(np.argmax(which == len(values)))
            raise DataError(f"row {row + 1}, column {name}: {fault}") from None
    return np.array(values, dtype=np.float64)[which]


def _encode_column(column: Column, values: NDArray[np.float64]) -> NDArray[np.float64]:
    read = values[:, None]
    if isinstance(column, Binary):
        return 2 * read - 1
    if isinstance(column, Categorical):
        k = len(column.categories)
        return np.where(read == np.arange(k), 2 - 2 / k, -2 / k)
    low, high = column.bounds
    position = np.clip(4 * (read - low) / (high - low) - 2, -2, 2)
    if not column.missing_codes:
        return position
    missing = np.isin(read, column.missing_codes)
    return np.hstack([np.where(missing, 0.0, position), np.where(missing, 1.0, -1.0)])


def _decode_column(column: Column, block: NDArray[np.float64]) -> NDArray[Any]:
    if isinstance(column, Binary):
        return _choose(column.values, (block[:, 0] > 0).astype(np.int64))
    if isinstance(column, Categorical):
        return _choose(column.categories, np.argmax(block, axis=1))
    low, high = column.bounds
    value = low + (np.clip(block[:, 0], -2, 2) + 2) / 4 * (high - low)
    value = np.clip(np.round(value, column.decimals), low, high) + 0.0  # + 0.0: no minus zero
    if column.missing_codes:
        value = np.where(block[:, 1] > 0, column.missing_codes[0], value)
    return value.astype(np.int64) if column.decimals == 0 else value


def _choose(codes: Sequence[Code], positions: NDArray[np.int64]) -> NDArray[Any]:
    """The codes at these positions, numbers as numbers and anything else as objects."""
    plain = all(isinstance(code, int) for code in codes)
    real = all(isinstance(code, int | float) for code in codes)
    kind = np.int64 if plain else np.float64 if real else np.object_
    return np.array(codes, dtype=kind)[positions]
