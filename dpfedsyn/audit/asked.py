"""The bases of a run, put together again from what its silos' ledgers keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.kept import summed
from dpfedsyn.base import Base
from dpfedsyn.bases import bases
from dpfedsyn.clusters import ClusterQuery
from dpfedsyn.counts import count_points
from dpfedsyn.data import Records
from dpfedsyn.marginals import MarginalQuery
from dpfedsyn.moments import MomentQuery, query_of
from dpfedsyn.releases import Sum

Array = NDArray[np.float64]
Points = NDArray[np.int64]
Exact = Callable[[Records, float], Points]


class NotKeptError(LookupError):
    """Some silo's ledger does not hold the sums that a question asked for."""


@dataclass(frozen=True)
class Kept:
    """The answers of some silos, read from their ledgers.

    Args:
        heard: told each question's kind, its place among the questions of this kind, and for each
            silo the sums that records would make on a lattice of a given spacing.
    """

    evidence: Evidence
    silos: Sequence[SiloEvidence]
    query: MomentQuery
    heard: Callable[[str, int, Sequence[Exact]], None] = lambda kind, place, exact: None

    def counts(self) -> Sequence[Sum]:
        """Return the kept label counts."""
        classes = self.evidence.classes
        return self._all(
            "counts", 0, [lambda r, spacing: count_points(r.y, classes, spacing, r.units)]
        )

    def origin(self) -> Sequence[Sum]:
        """Return the kept sums of all records."""
        return self._all("origin", 0, [self._origin])

    def means(self, origin: Array | None) -> Sequence[Sum]:
        """Return the kept first moments."""
        return self._all("means", 0, [partial(self._first, origin)])

    def moments(self, means: Array | None) -> Sequence[Sum]:
        """Return the kept second moments."""
        about = [None] if means is None else list(means)
        return self._all("moments", 0, [self._about(own) for own in about])

    def cells(self, query: ClusterQuery, number: int) -> Sequence[Sum]:
        """Return a round's kept cells."""
        last = number == self.evidence.config.base.cluster_rounds
        kind, place = ("clusters", 0) if last else ("centres", number)

        def exact(r: Records, spacing: float) -> Points:
            return query.points(r.x, r.y, spacing, r.units)

        return self._all(kind, place, [exact])

    def _origin(self, r: Records, spacing: float) -> Points:
        return self.query.origin_points(r.x, spacing, r.units)

    def _first(self, origin: Array | None, r: Records, spacing: float) -> Points:
        return self.query.label_points(r.x, r.y, spacing, origin, r.units)

    def _about(self, means: Array | None) -> Exact:
        return lambda r, spacing: self.query.points(r.x, r.y, spacing, means, r.units)

    def _all(self, kind: str, place: int, exact: Sequence[Exact]) -> Sequence[Sum]:
        """Return every silo's answer; `exact` is for each of them, or one for all."""
        self.heard(kind, place, exact if len(exact) > 1 else [*exact] * len(self.silos))
        found = [summed(silo, kind, place) for silo in self.silos]
        known = [one for one in found if one is not None]
        if len(known) < len(self.silos):
            raise NotKeptError(kind)
        return [(one.values, one.std * one.spacing) for one in known]


def base(evidence: Evidence, silo: SiloEvidence) -> Base | None:
    """Return a silo's base, or None where a ledger does not hold all that it is made of."""
    asked, place = _together(evidence, silo)
    try:
        found = bases(asked, asked.query, evidence.encoder, evidence.config.base)
    except NotKeptError:
        return None
    return found[place]


@dataclass
class Compared:
    """Hears every question and compares one silo's kept answer with its records."""

    silo: SiloEvidence
    place: int
    records: Records
    differing: list[str] = field(default_factory=list)

    def __call__(self, kind: str, place: int, exact: Sequence[Exact]) -> None:
        """Note the kind where the records make other sums than lie beneath the noise."""
        kept, own = summed(self.silo, kind, place), exact[self.place]
        if kept is not None and not np.array_equal(own(self.records, kept.spacing), kept.rest):
            self.differing.append(kind)


def differing(evidence: Evidence, silo: SiloEvidence, records: Records) -> list[str]:
    """Return the kinds of sums that are not the records', beneath the noise that was charged."""
    asked, place = _together(evidence, silo)
    compared = Compared(silo, place, records)
    heard = Kept(evidence, asked.silos, asked.query, compared)
    with suppress(NotKeptError):
        bases(heard, asked.query, evidence.encoder, evidence.config.base)
    kept = summed(silo, "marginals")
    if kept is not None:
        query = MarginalQuery(evidence.encoder.numbers)
        if not np.array_equal(query.points(records.x, kept.spacing, records.units), kept.rest):
            compared.differing.append("marginals")
    return compared.differing


def _together(evidence: Evidence, silo: SiloEvidence) -> tuple[Kept, int]:
    """Return the silos that this one's base is made with, and its place among them."""
    query = query_of(evidence.dimension, evidence.classes, evidence.config.base)
    if evidence.config.base.combine == "none":
        return Kept(evidence, [silo], query), 0
    names = [one.name for one in evidence.config.silos]
    silos = [evidence.silos[name] for name in names if name in evidence.silos]
    return Kept(evidence, silos, query), [one.name for one in silos].index(silo.name)
