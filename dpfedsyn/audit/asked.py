"""A base that all silos made together, put together again from what their ledgers keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.released import Summed, summed
from dpfedsyn.base import Base
from dpfedsyn.clusters import ClusterQuery
from dpfedsyn.combined import Sum, combined
from dpfedsyn.data import Records
from dpfedsyn.moments import MomentQuery, count_points, query_of

Array = NDArray[np.float64]
Points = NDArray[np.int64]


class NotKeptError(LookupError):
    """Some silo's ledger does not hold the sums that a question asked for."""


@dataclass(frozen=True)
class Kept:
    """The answers of all silos, read from their ledgers.

    Args:
        heard: told each question's kind, its number among the questions of this kind, and the sums
            that a silo's records would have to make on a lattice of a given spacing.
    """

    evidence: Evidence
    query: MomentQuery
    heard: Callable[[str, int, Callable[[Records, float], Points]], None] | None = None

    def counts(self) -> Sequence[Sum]:
        """Return the kept label counts."""
        classes = self.evidence.classes
        return self._all("counts", 0, lambda r, spacing: count_points(r.y, classes, spacing))

    def means(self) -> Sequence[Sum]:
        """Return the kept first moments."""
        query = self.query
        return self._all("means", 0, lambda r, spacing: query.label_points(_x(r), r.y, spacing))

    def moments(self, means: Array | None) -> Sequence[Sum]:
        """Return the kept second moments."""
        query = self.query
        return self._all("moments", 0, lambda r, spacing: query.points(_x(r), r.y, spacing, means))

    def cells(self, query: ClusterQuery, number: int) -> Sequence[Sum]:
        """Return a round's kept cells."""
        last = number == self.evidence.config.base.cluster_rounds
        kind, place = ("clusters", 0) if last else ("centres", number)
        return self._all(kind, place, lambda r, spacing: query.points(_x(r), r.y, spacing))

    def _all(
        self, kind: str, place: int, exact: Callable[[Records, float], Points]
    ) -> Sequence[Sum]:
        if self.heard is not None:
            self.heard(kind, place, exact)
        found = [summed(silo, kind, place) for silo in self.evidence.silos.values()]
        known = [one for one in found if one is not None]
        if len(known) < len(self.evidence.config.silos):
            raise NotKeptError(kind)
        return [(one.values, one.std * one.spacing) for one in known]


def base(evidence: Evidence) -> Base | None:
    """Return the silos' common base, or None where a ledger does not hold all its sums."""
    query = query_of(evidence.dimension, evidence.classes, evidence.config.base)
    try:
        return combined(Kept(evidence, query), query, evidence.encoder, evidence.config.base)
    except NotKeptError:
        return None


@dataclass
class Compared:
    """Hears every question and compares one silo's kept answer with its records."""

    silo: SiloEvidence
    records: Records
    differing: list[str] = field(default_factory=list)

    def __call__(self, kind: str, place: int, exact: Callable[[Records, float], Points]) -> None:
        """Note the kind where the records make other sums than lie beneath the noise."""
        kept: Summed | None = summed(self.silo, kind, place)
        if kept is not None and not np.array_equal(exact(self.records, kept.spacing), kept.rest):
            self.differing.append(kind)


def differing(evidence: Evidence, silo: SiloEvidence, records: Records) -> list[str]:
    """Return the kinds of sums that are not the records', beneath the noise that was charged."""
    query = query_of(evidence.dimension, evidence.classes, evidence.config.base)
    compared = Compared(silo, records)
    with suppress(NotKeptError):
        combined(Kept(evidence, query, compared), query, evidence.encoder, evidence.config.base)
    return compared.differing


def _x(records: Records) -> Array:
    return records.x.astype(np.float64)
