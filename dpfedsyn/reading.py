"""The cells of a table as the values that its public schema gives them, each row for itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpfedsyn import constraints
from dpfedsyn.cells import distinct
from dpfedsyn.columns import Column, Ordered, Target, listing
from dpfedsyn.errors import DataError
from dpfedsyn.schema import Schema

Array = NDArray[np.float64]
Place = Callable[[int], str]


@dataclass(frozen=True, eq=False)
class Values:
    """What n rows hold.

    Attributes:
        columns: by column name, (n,) as columns read them, and as they are declared to each other.
        labels: (n,) 0 .. labels - 1.
    """

    columns: dict[str, Array]
    labels: NDArray[np.int64]


def values(frame: pd.DataFrame, schema: Schema, place: Place) -> Values:
    """Read every cell of a table, and check what the schema declares between columns of a row.

    Args:
        frame: n rows that hold the schema's columns; others are ignored. place: names a row (from
            0) in messages.

    Guarantee:
        What a row holds is read from that row and the public schema alone.

    Raises:
        DataError: a column is absent, a cell is not valid, or a row is not as declared; names row
            and column.
    """
    held, found = dict[str, Array](), dict[str, Array]()
    for column in schema.columns:
        name = column.name
        held[name], own = _read(frame, name, column, place)
        if isinstance(column, Ordered):
            # What is declared is checked of the cells themselves, before any is moved.
            wrong = constraints.violation(column, held[name], held)
            if wrong is not None and column.outside == "error":
                raise DataError(f"{place(wrong.row)}, column {name}: {wrong.text}")
            own = constraints.settled(column, own, found)
        found[name] = own
    _, labels = _read(frame, schema.target.column, schema.target, place)
    return Values(found, labels.astype(np.int64))


def _read(
    frame: pd.DataFrame, name: str, kind: Column | Target, place: Place
) -> tuple[Array, Array]:
    """Return what the cells of one column hold (n,), and what the column reads; bounds lie between.

    Cells that are alike are read once.
    """
    if name not in frame.columns:
        raise DataError(
            f"the table has no column {name!r}, so it cannot be encoded; it has "
            f"{listing(frame.columns)}"
        )
    places, different = distinct(frame[name].tolist())
    pairs: list[tuple[float, float]] = []
    for cell in different:
        try:
            held = kind.value(cell) if isinstance(kind, Ordered) else kind.read(cell)
            pairs.append((held, kind.bounded(held) if isinstance(kind, Ordered) else held))
        except DataError as fault:
            row = int(np.argmax(places == len(pairs)))
            repeated = "the line repeats the column names; remove it"
            said = repeated if cell == name else fault
            raise DataError(f"{place(row)}, column {name}: {said}") from None
    known = np.array(pairs, dtype=np.float64).reshape(-1, 2)[places]
    return known[:, 0], known[:, 1]
