"""Divide one data set over simulated silos: by column, Dirichlet, shards, pairs or a power law.

A simulation stands for a federation that exists: who owns which record is taken as given, so the
division may look at all records at once. Everything here is a function of the labels, the settings
and a public seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import DataError
from dpfedsyn.settings import PartitionSettings

Labels = NDArray[np.int64]
UNUSED = -1
DRAWS = 1000


def divide(
    labels: Labels, settings: PartitionSettings, values: Sequence[object] | None = None
) -> Labels:
    """Return each record's silo (n,): 0 ... silos - 1, or -1 where the silos are full without it.

    Args:
        labels: (n,). values: the n cells of `settings.column`, for kind "column".

    Every record belongs to one silo at most, and with `size` = 0 to exactly one.

    Raises:
        DataError: there are fewer records than the silos are to hold, or the kind does not fit
            the labels.
    """
    rng = np.random.Generator(np.random.Philox(settings.seed))
    if settings.kind == "column":
        return by_value(values or (), settings.names)
    used = _sample(len(labels), settings, rng)
    owner = np.full(len(labels), UNUSED, dtype=np.int64)
    match settings.kind:
        case "dirichlet":
            owner[used] = dirichlet(labels[used], settings.silos, settings.alpha, rng)
        case "shards":
            owner[used] = shards(labels[used], settings.silos, settings.shards, rng)
        case "pairs":
            owner[used] = pairs(labels[used], settings.silos, rng)
        case _:
            sizes = power_law(len(used), settings.silos, settings.exponent)
            owner[used] = rng.permutation(np.repeat(np.arange(settings.silos), sizes))
    return owner


def by_value(values: Sequence[object], names: Sequence[str]) -> Labels:
    """Return the position of each value among `names`; a value of nobody belongs to no silo.

    Raises:
        DataError: a silo has no record.
    """
    places = {name: place for place, name in enumerate(names)}
    owner = np.array([places.get(str(value).strip(), UNUSED) for value in values], dtype=np.int64)
    empty = [name for place, name in enumerate(names) if not (owner == place).any()]
    if empty:
        raise DataError(
            f"partition.names: no record has the value {empty[0]!r} (nor {len(empty) - 1} others), "
            f"so {len(empty)} of {len(names)} silos would be empty; name values of the column"
        )
    return owner


def dirichlet(labels: Labels, silos: int, alpha: float, rng: np.random.Generator) -> Labels:
    """Label skew: every label is shared out by proportions ~ Dirichlet(alpha) (Hsu et al. 2019).

    Small alpha gives most of a label to few silos; silos differ in size, with the same mean. Drawn
    again until every silo has a tenth of the mean size, as usual in simulations.

    Raises:
        DataError: no draw gives every silo that many records.
    """
    for _ in range(DRAWS):
        owner = _one_dirichlet(labels, silos, alpha, rng)
        if np.bincount(owner, minlength=silos).min() * 10 * silos >= len(labels):
            return owner
    raise DataError(
        f"partition: {DRAWS} draws of Dirichlet({alpha:g}) over {silos} silos left a silo with "
        f"less than a tenth of {len(labels) / silos:.0f} records; raise alpha or lower silos"
    )


def _one_dirichlet(labels: Labels, silos: int, alpha: float, rng: np.random.Generator) -> Labels:
    owner = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        shares = np.cumsum(rng.dirichlet(np.full(silos, alpha)))
        # Rounded cumulative shares: no record is lost or counted twice.
        cuts = np.rint(shares[:-1] * len(rows)).astype(np.int64)
        for silo, part in enumerate(np.split(rows, cuts)):
            owner[part] = silo
    return owner


def shards(labels: Labels, silos: int, per_silo: int, rng: np.random.Generator) -> Labels:
    """Label shards: records in the order of their labels, cut into equal shards (McMahan 2017).

    Each silo gets `per_silo` shards at random, so it sees little more than so many labels.
    """
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    owners = rng.permutation(np.repeat(np.arange(silos), per_silo))
    owner = np.empty(len(labels), dtype=np.int64)
    for silo, rows in zip(owners, np.array_split(order, silos * per_silo), strict=True):
        owner[rows] = silo
    return owner


def pairs(labels: Labels, silos: int, rng: np.random.Generator) -> Labels:
    """Two labels a silo: silo i holds a random half of label i and one of label i + 1 (mod silos).

    Labels are counted in rising order; of an odd number of records silo i gets one more.

    Raises:
        DataError: there are not as many silos as labels, or fewer than three of them.
    """
    known, places = np.unique(labels, return_inverse=True)
    if silos != len(known) or silos < 3:
        raise DataError(
            f"partition: kind 'pairs' gives every silo two labels and every label two silos, but "
            f"there are {silos} silos and {len(known)} labels, so nothing was divided; set "
            "partition.silos to the number of labels, at least 3"
        )
    owner = np.empty(len(labels), dtype=np.int64)
    for place in range(silos):
        rows = rng.permutation(np.flatnonzero(places == place))
        half = -(-len(rows) // 2)
        owner[rows[:half]], owner[rows[half:]] = place, (place - 1) % silos
    return owner


def power_law(records: int, silos: int, exponent: float) -> Labels:
    """Return silo sizes in proportion to rank^-exponent, summing to `records` (largest first)."""
    shares = np.arange(1, silos + 1, dtype=np.float64) ** -exponent
    edges = np.rint(np.cumsum(shares) / shares.sum() * records).astype(np.int64)
    sizes: Labels = np.diff(edges, prepend=0)
    return sizes


def _sample(records: int, settings: PartitionSettings, rng: np.random.Generator) -> Labels:
    """Return the positions of the records that are used: `size` per silo on average, or all."""
    wanted = settings.size * settings.silos if settings.size else records
    if wanted > records:
        raise DataError(
            f"partition: {settings.silos} silos of {settings.size} records on average need "
            f"{wanted}, the file has {records}; lower partition.size or partition.silos"
        )
    return np.sort(rng.permutation(records)[:wanted])
