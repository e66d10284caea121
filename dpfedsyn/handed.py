"""Records that a program hands over, as files that a ledger can be bound to.

A silo's ledger belongs to a configuration that names where its records lie; so frames and arrays
are written beside the run, readable by their owner only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dpfedsyn import headers, pairs, reading
from dpfedsyn.coherence import is_name
from dpfedsyn.columns import listing
from dpfedsyn.columns.cells import LARGEST
from dpfedsyn.domain import Encoder
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import DataError, RunError
from dpfedsyn.folder import vacant
from dpfedsyn.images import ImageEncoder, archive
from dpfedsyn.raw import texts
from dpfedsyn.schema import Schema

Given = Any
"""A path, a frame, a pair of arrays, or a data set that yields pairs."""


def written(silos: Mapping[str, Given], encoder: Encoder, folder: Path) -> dict[str, Path]:
    """Return each silo's file; what is no file yet is written into `folder`, mode 0600.

    Raises:
        DataError: a silo's records are of a kind that the schema has not. RunError: the folder is
            in use.
    """
    found, made = dict[str, Path](), dict[str, bytes]()
    for name in silos:
        if not is_name(name):
            raise DataError(
                f"silo {name!r}: its name makes no file's name, so nothing was written or run; "
                "use letters, digits, - and _"
            )
    for name, given in silos.items():
        if isinstance(given, str | os.PathLike):
            found[name] = Path(given).absolute()
            continue
        content, ending = _content(name, given, encoder)
        made[name], found[name] = content, folder / f"{name}{ending}"
    if made and not vacant(folder):
        raise RunError(f"{folder}: is not empty, so nothing was run. Name another run folder.")
    for name, content in made.items():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(found[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    return found


def discard(silos: Mapping[str, Given], records: Mapping[str, Path], folder: Path) -> None:
    """Remove what `written` made of these silos: a run that never began keeps no copies."""
    for name, given in silos.items():
        if not isinstance(given, str | os.PathLike):
            records[name].unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _content(name: str, given: Given, encoder: Encoder) -> tuple[bytes, str]:
    if isinstance(encoder, TableEncoder):
        return table(_frame(name, given), encoder.schema, f"silo {name}"), ".csv"
    assert isinstance(encoder, ImageEncoder)
    images, labels = pairs.arrays(f"silo {name}", given)
    return _archive(f"silo {name}", images, labels, encoder), ".npz"


def _frame(name: str, given: Given) -> pd.DataFrame:
    if hasattr(given, "to_pandas"):  # a Hugging Face data set
        try:
            given = given.to_pandas()
        except Exception as error:  # whatever the other library raises
            raise DataError(
                f"silo {name}: the data set makes no table ({type(error).__name__}: {error}), so "
                "nothing was run; give a pandas frame or a file"
            ) from error
    if not isinstance(given, pd.DataFrame):
        split = "one of its splits, " if isinstance(given, Mapping) else ""
        raise DataError(
            f"silo {name}: {type(given).__name__} is no table, and the schema describes one; give "
            f"{split}a pandas frame, a Hugging Face data set or a file"
        )
    return given


def table(frame: pd.DataFrame, schema: Schema, where: str = "the frame") -> bytes:
    """Return a frame as the file that the schema describes.

    Missing values become the first missing code of their column, else the schema's first marker;
    where it has none, an empty cell, which the reader then names.

    Args:
        where: of the frame, for messages.

    Raises:
        DataError: a column is missing, or a cell is not valid; names row (from 1) and column.
    """
    cells = texts(frame, where, schema.formats, schema.blanks)
    _check_names(frame, schema.file.naming, where)
    if schema.file.header:
        headers.check(where, list(cells.columns), schema, typed=True)
    else:
        missing = [name for name in schema.file.columns if name not in cells.columns]
        if missing:
            raise DataError(
                f"{where}: has no column {missing[0]!r}, which schema {schema.name!r} names; it "
                f"has {listing(cells.columns)}, so nothing was run; rename or add it"
            )
        cells = cells[list(schema.file.columns)]
    _check(cells, schema, where)
    text: str = cells.to_csv(index=False, header=schema.file.header, sep=schema.file.delimiter)
    return text.encode()


def _check_names(frame: pd.DataFrame, naming: str, where: str) -> None:
    """Refuse long names that are floats, as a missing one makes all others: two may be the same."""
    if naming not in frame.columns:
        return
    for row, cell in enumerate(frame[naming], start=1):
        if isinstance(cell, float) and abs(cell) >= LARGEST:
            raise DataError(
                f"{where}, row {row}, column {naming}: {cell:.0f} is a float, which no longer "
                "tells such long names apart, so nothing was run; read the column as text "
                "(pandas: dtype=str), or give the file itself"
            )


def _check(cells: pd.DataFrame, schema: Schema, where: str) -> None:
    """Refuse a cell by its row in the frame, which the file that is written would number anew."""
    absent = pd.Series(False, index=cells.index)
    for name in schema.names:
        markers = [cell for cell in cells[name].unique() if schema.is_missing(cell, name)]
        absent |= cells[name].isin(markers)
    places = np.flatnonzero(~absent)
    reading.values(cells[~absent], schema, lambda row: f"{where}, row {places[row] + 1}")


def _archive(where: str, images: Any, labels: Any, encoder: ImageEncoder) -> bytes:
    """An archive of pixel values; floats are shares of the schema's largest.

    The type of number decides, and never the values: whether all images lie in [0, 1] may depend
    on one of them, which would then move the others.

    Args:
        where: of whose images, for messages.
    """
    if images.dtype.kind == "f" and images.size:
        flat = images.reshape(len(images), -1)
        odd = np.flatnonzero(~((flat >= 0.0) & (flat <= 1.0)).all(axis=1))
        if odd.size:
            row = flat[odd[0]]
            value = row[~((row >= 0.0) & (row <= 1.0))][0]
            raise DataError(
                f"{where}, image {odd[0]} (from 0): {images.dtype} pixels such as {value:g}, but "
                "floats are shares of the largest pixel value, from 0 to 1, so nothing was run; "
                "give whole pixel values as integers, `images.astype(int)`, or divide every image "
                "by one public number"
            )
        images = np.rint(images * encoder.schema.largest)
    if not len(images):
        images = images.reshape(0, encoder.schema.height, encoder.schema.width)
    return archive.packed(images=images, labels=labels)
