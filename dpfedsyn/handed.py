"""Records that a program hands over, as files that a ledger can be bound to.

A silo's ledger belongs to a configuration that names where its records lie; so frames and arrays
are written beside the run, readable by their owner only.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dpfedsyn.domain import Encoder
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import DataError, RunError
from dpfedsyn.folder import vacant
from dpfedsyn.images import ImageEncoder
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


def _content(name: str, given: Given, encoder: Encoder) -> tuple[bytes, str]:
    if hasattr(given, "to_pandas"):  # a Hugging Face data set
        given = given.to_pandas()
    if isinstance(encoder, TableEncoder):
        if not isinstance(given, pd.DataFrame):
            raise DataError(
                f"{name}: {type(given).__name__} is no table, and the schema describes one; give a "
                "pandas frame, a Hugging Face data set or a file"
            )
        return table(given, encoder.schema), ".csv"
    assert isinstance(encoder, ImageEncoder)
    images, labels = _pairs(name, given)
    return _archive(name, images, labels, encoder), ".npz"


def table(frame: pd.DataFrame, schema: Schema) -> bytes:
    """Return a frame as the file that the schema describes.

    Missing values become the first missing code of their column, else the schema's first marker;
    where it has none, an empty cell, which the reader then names.
    """
    cells = texts(frame, schema.formats, schema.blanks)
    if not schema.file.header:
        missing = [name for name in schema.file.columns if name not in cells.columns]
        if missing:
            raise DataError(
                f"the frame has no column {missing[0]!r}, which schema {schema.name!r} names; "
                f"it has {', '.join(map(str, cells.columns))}"
            )
        cells = cells[list(schema.file.columns)]
    text: str = cells.to_csv(index=False, header=schema.file.header, sep=schema.file.delimiter)
    return text.encode()


def _pairs(name: str, given: Given) -> tuple[Any, Any]:
    """Images and labels of a pair of arrays, or of a data set that yields pairs."""
    if isinstance(given, tuple) and len(given) == 2:
        return np.asarray(given[0]), np.asarray(given[1])
    try:
        pairs = [given[k] for k in range(len(given))]
        images = np.stack([np.asarray(image).squeeze() for image, _ in pairs])
        return images, np.array([int(label) for _, label in pairs])
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"{name}: not images and labels ({error}); give (images (n, h, w), labels (n,)), or a "
            "data set that yields pairs of an image and a label"
        ) from None


def _archive(name: str, images: Any, labels: Any, encoder: ImageEncoder) -> bytes:
    """An archive of pixel values; images in [0, 1] are scaled to the schema's largest."""
    if images.dtype.kind == "f" and images.size and float(images.max()) <= 1.0:
        images = np.rint(images * encoder.schema.largest)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, images=images, labels=labels)
    return file.getvalue()
