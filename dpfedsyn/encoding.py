"""Map rows of a table to vectors and back, by the public schema alone.

The coordinates of each kind of column: `dpfedsyn.coordinates`.

Guarantee:
    A row's vector depends on that row and the schema; no mean, range or category list is taken
    from records (privacy by composition needs this: preprocessing is a function of one record).
    Every vector has L2 norm at most `TableEncoder.radius`, a public number.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dpfedsyn import coordinates, reading, tables
from dpfedsyn.cells import distinct
from dpfedsyn.columns import Column, Ordered
from dpfedsyn.coordinates import Array, Number
from dpfedsyn.data import Records, Synthetic, checked, joined
from dpfedsyn.schema import Schema

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


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
        return tuple(name for column in self.schema.columns for name in coordinates.names(column))

    @cached_property
    def radius(self) -> float:
        """The largest L2 norm that a float32 vector of `encode` can have, rounded up."""
        squares = (coordinates.largest_square(column) for column in self.schema.columns)
        return math.nextafter(math.sqrt(math.fsum(squares)) * (1 + 1e-15), math.inf)

    @cached_property
    def two_valued(self) -> NDArray[np.float64]:
        """The (low, high) that a coordinate can take, shape (d, 2); NaN where it takes more."""
        pairs = [pair for column in self.schema.columns for pair in coordinates.pairs(column)]
        return np.array(pairs, dtype=np.float64)

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """The columns of numbers, days and levels that have coordinates, in the schema's order."""
        found, start = [], 0
        for column in self.schema.columns:
            size = len(coordinates.names(column))
            if isinstance(column, Ordered) and size:
                values = coordinates.cells(column, self._columns)
                found.append(Number(start, start + 1 if size > 1 else None, values))
            start += size
        return tuple(found)

    @cached_property
    def _columns(self) -> dict[str, Column]:
        return {column.name: column for column in self.schema.columns}

    def encode(self, frame: pd.DataFrame) -> tuple[Floats, Labels]:
        """Encode a table that holds the schema's columns; other columns are ignored.

        Args:
            frame: n rows of cells, texts or numbers, in the schema's own codes.

        Returns:
            (x, y): x (n, d) float32 without unit; y (n,) int64 in 0 .. labels - 1.

        Raises:
            DataError: a column is absent, a cell is not valid, or a row is not as the schema
                declares; names row (from 1) and column.
        """
        found = reading.values(frame, self.schema, lambda row: f"row {row + 1}")
        blocks = [
            coordinates.encode(column, found.columns, self._columns)
            for column in self.schema.columns
        ]
        return np.concatenate(blocks, axis=1).astype(np.float32), found.labels

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

        Numbers and days are clipped to the bounds and rounded, levels and categories are the
        nearest, a positive indicator gives the (first) missing code; differences count from the
        column that they belong to, and sums are computed.

        Guarantee:
            The result passes the schema, and a row that came from `encode` comes back: every cell
            is within bounds, levels, formats and declared relations, whatever the vectors.

        Args:
            x: (n, d) finite reals.
            y: (n,) labels in 0 .. labels - 1.

        Returns:
            A table with the columns `schema.names`.

        Raises:
            DataError: wrong shape, a value that is not finite, or an unknown label.
        """
        vectors, labels = checked(x, y, self.dimension, self.labels, self.schema.name)
        found, data, start = dict[str, Array](), {}, 0
        for column in self.schema.columns:
            stop = start + len(coordinates.names(column))
            block = vectors[:, start:stop]
            found[column.name] = coordinates.decode(column, block, found, self._columns)
            data[column.name] = coordinates.written(column, found[column.name])
            start = stop
        target = self.schema.target
        data[target.column] = coordinates.chosen(target.representatives, labels)
        return pd.DataFrame(data)


def _shared(cells: "pd.Series[Any]", known: dict[object, object]) -> NDArray[np.object_]:
    """Return cells (n,) that are one object where they are equal to another, or a known one."""
    which, different = distinct(cells.tolist())
    one = np.array([known.setdefault(cell, cell) for cell in different], dtype=object)
    return one[which]
