"""The kinds of data that a run can work on: tables, and images."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import sections
from dpfedsyn.coordinates import Number
from dpfedsyn.data import Records, Synthetic
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import ConfigError
from dpfedsyn.images import Geometry, ImageEncoder, ImageSchema
from dpfedsyn.schema import Schema
from dpfedsyn.settings import PERSON, Config


class Encoder(Protocol):
    """What a run needs of a kind of data: public facts, records in, synthetic rows out."""

    @property
    def dimension(self) -> int:
        """Number d of coordinates of a record."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Public label names; y counts in this order."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that encoding depends on."""
        ...

    @property
    def two_valued(self) -> NDArray[np.float64]:
        """The (low, high) that a coordinate can take (d, 2); NaN where it takes more."""
        ...

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Columns of numbers, whose histograms can be asked for; of images none."""
        ...

    @property
    def still(self) -> Encoder:
        """The same, but for what only released rows go through (pictures are moved)."""
        ...

    @property
    def geometry(self) -> Geometry | None:
        """How coordinates make an image; None where they do not."""
        ...

    @property
    def spectrum(self) -> NDArray[np.float64] | None:
        """Public relative variances (d,) of an image's coordinates; None for tables."""
        ...

    def read(self, path: Path, *, silo: str = "") -> Records:
        """Read and encode a file; `DataError` names the place of every fault."""
        ...

    def decode(self, x: NDArray[np.float32], y: NDArray[np.int64]) -> Synthetic:
        """Turn sampled vectors (n, d) with labels (n,) into rows as they are written."""
        ...


def encoder(schema: Path, *, conditional: bool = True) -> Encoder:
    """Return the encoder of a schema file: of images where it says `kind = "images"`.

    Args:
        conditional: model records per label. Without it images carry no label at all.

    Raises:
        ConfigError: no such file, faults in it, or a table without labels.
    """
    if _kind(schema) == "images":
        return ImageEncoder(ImageSchema.load(schema), conditional)
    if not conditional:
        raise ConfigError(
            f"data.conditional = false: {schema} describes a table, whose rows are generated per "
            "label. Set data.conditional = true; only images are generated without labels."
        )
    return TableEncoder(Schema.load(schema))


def encoder_of(config: Config) -> Encoder:
    """Return the encoder of a run's records, whose schema knows of the run's unit of privacy.

    Raises:
        ConfigError: as `encoder`, or the schema names persons and the run protects records, or
            the other way round.
    """
    path, unit = config.path(config.data.schema), config.privacy.unit
    found = encoder(path, conditional=config.data.conditional)
    column = person_column(found)
    if column and unit != PERSON:
        raise ConfigError(
            f"privacy.unit = {unit!r}: {path} says by person_column = {column!r} that a person may "
            "have several rows, which a claim per record would not cover. Nothing was run. Set "
            'privacy.unit = "person", or remove person_column where every row is of another '
            "person."
        )
    if unit == PERSON and not column:
        raise ConfigError(
            f"privacy.unit = {unit!r}: {path} does not say whose rows they are. Nothing was run. "
            'Name the column in its section [file], person_column = "..." (tables only), or set '
            'privacy.unit = "record" where every row is of another person.'
        )
    return found


def person_column(encoder: Encoder) -> str:
    """Return the column that says whose row it is; nothing where every row is its own unit."""
    return encoder.schema.file.person_column if isinstance(encoder, TableEncoder) else ""


def _kind(path: Path) -> object:
    """Peek at a schema; whatever is wrong with the file is said by the reader it goes to."""
    try:
        return sections.read(path).get("kind")
    except ConfigError:
        return None
