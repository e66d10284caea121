"""Records of one silo, and their division by keyed hashes.

An id is given to every record at import, before any is left out. What is decided about a record
(kept, test part, ensemble part) is decided from that record, its id and public settings, so adding
or removing one record never moves another (add-or-remove adjacency).
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dpfedsyn.errors import ConfigError, DataError
from dpfedsyn.units import Units


@dataclass(frozen=True, eq=False)
class Records:
    """Encoded records of one silo.

    Args:
        x: (n, d) float32, what is modelled.
        y: (n,) int64 labels.
        ids: n ids, kept from import: rows with one id are one unit's, the same person's.
        silo: name of the silo; tells equal ids of different silos apart.
        plain: (n, p) float32, the records as their owner sees them, which is what classifiers are
            trained and tested on: pixels in [0, 1] of images; of tables x itself, the default.
        groups: by column name, n values that a partition or a table per group may go by.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    ids: tuple[str, ...]
    silo: str = ""
    plain: NDArray[np.float32] = None  # type: ignore[assignment]  # never None once it is made
    groups: Mapping[str, NDArray[np.object_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1] or len(self.ids) != len(self.x):
            raise DataError(
                f"x {self.x.shape}, y {self.y.shape} and {len(self.ids)} ids do not make records; "
                "give (n, d), (n,) and n"
            )
        if self.plain is None:
            object.__setattr__(self, "plain", self.x)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def units(self) -> Units | None:
        """Whose rows they are; None where every row is its own unit."""
        return Units.named(self.ids)

    def take(self, positions: NDArray[np.integer], silo: str | None = None) -> "Records":
        """Return the records at these positions, in this order; of another silo if it is named."""
        return Records(
            self.x[positions],
            self.y[positions],
            tuple(self.ids[position] for position in positions.tolist()),
            self.silo if silo is None else silo,
            self.plain[positions],
            {name: values[positions] for name, values in self.groups.items()},
        )


def joined(parts: Sequence[Records]) -> Records:
    """Return the records of one silo's parts, one after the other; of one part, that part."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Records(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        tuple(id_ for part in parts for id_ in part.ids),
        first.silo,
        np.concatenate([part.plain for part in parts]) if first.plain is not first.x else None,  # type: ignore[arg-type]
        {name: np.concatenate([part.groups[name] for part in parts]) for name in first.groups},
    )


@dataclass(frozen=True, eq=False)
class Synthetic:
    """Synthetic rows as they are written, and the same rows encoded again.

    Args:
        x: (n, d), y: (n,), plain: (n, p): as of `Records`.
        files: what is written into the run folder, by suffix (".csv"; ".npz" and ".png").
        frame: the table, where the rows make one.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    plain: NDArray[np.float32]
    files: Mapping[str, bytes]
    frame: pd.DataFrame | None = None


def checked(
    x: ArrayLike, y: ArrayLike, dimension: int, names: Sequence[str], schema: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return sampled vectors (n, d) and labels (n,) that a schema can decode.

    Raises:
        DataError: wrong shape, a value that is not finite, or an unknown label.
    """
    vectors, labels = np.asarray(x, dtype=np.float64), np.asarray(y)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise DataError(
            f"samples have shape {vectors.shape}, so they cannot be decoded; schema {schema!r} "
            f"needs (rows, {dimension})"
        )
    if labels.shape != vectors.shape[:1]:
        raise DataError(
            f"{len(vectors)} samples came with labels of shape {labels.shape}, so they cannot be "
            f"decoded; give one label each, ({len(vectors)},)"
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if bad.size:
        raise DataError(
            f"sample {bad[0] + 1} and {bad.size - 1} more hold NaN or infinity, so nothing was "
            "decoded; lower the sampler's step size or raise the number of levels"
        )
    unknown = [label for label in labels.tolist() if label not in range(len(names))]
    if unknown:
        raise DataError(
            f"label {unknown[0]!r} is unknown, so nothing was decoded; labels are 0 to "
            f"{len(names) - 1} ({', '.join(names)})"
        )
    return vectors, labels.astype(np.int64)


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
        All rows of a person carry one id and share a part.

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
        record-level sensitivity, 1/M of the whole, rests on that. So does adding or removing a
        person, whose rows carry one id.

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
