"""All records of a run: every silo's file, or one file divided, each with its held-out part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import partition, scarce
from dpfedsyn.data import Records, split
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import ConfigError
from dpfedsyn.sections import nearest
from dpfedsyn.settings import Config, SiloSettings


@dataclass(frozen=True)
class SiloRecords:
    """One silo's records: what training may read, and the held-out part."""

    train: Records
    test: Records


@dataclass(frozen=True)
class Gathered:
    """All records of a run: every silo's parts, and how one file was divided, if one was.

    Attributes:
        test: a public test set instead of held-out parts, or None.
        owner: (n,) each record's silo in the divided file, or None.
    """

    silos: dict[str, SiloRecords]
    test: Records | None
    owner: NDArray[np.int64] | None


def read_records(
    config: Config,
    encoder: Encoder,
    on_silo: Callable[[str], None] = lambda name: None,
    silos: Sequence[SiloSettings] | None = None,
    *,
    may_be_empty: bool = False,
) -> Gathered:
    """Load and split silos' records, all silos' by default.

    All files are checked before anything is charged.

    Args:
        may_be_empty: as of `scarce.read`; of a silo that answers somebody else.
    """
    test = encoder.read(config.records_path(config.data.test)) if config.data.test else None
    whole, owner = _divided(config, encoder)
    parts = {}
    for silo in config.silos if silos is None else silos:
        place = config.silos.index(silo)
        if whole is None or owner is None:
            records = _own(config, encoder, silo, may_be_empty=may_be_empty)
        else:
            records = whole.take(np.flatnonzero(owner == place), silo.name)
        if silos is None:
            _require_groups(config, records)
        fraction = 0.0 if test is not None else config.data.test_fraction
        train, held_out = split(records, key=config.data.split_key, fraction=fraction)
        parts[silo.name] = SiloRecords(train, held_out)
        on_silo(silo.name)
    return Gathered(parts, test, owner)


def _own(config: Config, encoder: Encoder, silo: SiloSettings, *, may_be_empty: bool) -> Records:
    """A silo's own file; no records of one that brings a model and has none here."""
    if silo.path:
        path = config.records_path(silo.path)
        return scarce.read(encoder, path, silo.name, may_be_empty=may_be_empty)
    nothing = np.zeros((0, encoder.dimension), dtype=np.float32)
    return Records(nothing, np.zeros(0, dtype=np.int64), (), silo.name)


def _require_groups(config: Config, records: Records) -> None:
    """Refuse columns for a table per group that no record has; their names are public."""
    settings = config.evaluate
    absent = [name for name in settings.groups if records.groups and name not in records.groups]
    if settings.enabled and absent:
        raise ConfigError(
            f"evaluate.groups: the records have no column {absent[0]!r}, so nothing was run; "
            f"{nearest(absent[0], tuple(records.groups))}"
        )


def _divided(config: Config, encoder: Encoder) -> tuple[Records | None, NDArray[np.int64] | None]:
    """Read the one file that a partition divides, and each record's silo."""
    settings = config.partition
    if settings is None:
        return None, None
    whole = encoder.read(config.records_path(config.data.path))
    if settings.kind != "column":
        return whole, _of_persons(whole, partition.divide(_labels(whole), settings))
    if settings.column not in whole.groups:
        raise ConfigError(
            f"partition.column = {settings.column!r}: the file has no such column, so nothing was "
            f"divided; it has {', '.join(whole.groups)}."
        )
    owner = partition.divide(whole.y, settings, whole.groups[settings.column].tolist())
    if whole.units is not None and not np.array_equal(
        owner, owner[whole.units.first_rows][whole.units.of_row]
    ):
        raise ConfigError(
            f"partition.column = {settings.column!r}: some person has rows with several of its "
            "values, so that silo by silo they would be hidden and all together not. Nothing was "
            "run. Divide by a column that is the same in all rows of a person."
        )
    return whole, owner


def _labels(records: Records) -> NDArray[np.int64]:
    """The label of each record, or of each person's first."""
    return records.y if records.units is None else records.y[records.units.first_rows]


def _of_persons(records: Records, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give all rows of a person to the silo of the person."""
    return owner if records.units is None else owner[records.units.of_row]
