"""From answers to bases: a silo for itself, or all silos together, question by question.

Every question is post-processing of earlier answers, and every answer a mechanism of the silo's own
budget. A silo that makes its own base keeps them inside (group A); where bases are pooled or summed
the server sees them (R). Sums have the noise of all silos, but the records of all of them too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import weights
from dpfedsyn.base import AnalyticBase, Base, NoisyStatistics
from dpfedsyn.clusters import Cells, Centres, ClusterQuery
from dpfedsyn.domain import Encoder
from dpfedsyn.mixture import clustered, first_centres, moved
from dpfedsyn.moments import MomentQuery
from dpfedsyn.pooling import pool, pooled_means, pooled_origin
from dpfedsyn.releases import SiloSums, Sum
from dpfedsyn.settings import BaseSettings

Array = NDArray[np.float64]

SEED = 1  # public: where centres start is no secret
MOVE = {"count_share": 0.1, "sum_share": 0.9}  # of a round that only moves centres
LAST = {"count_share": 0.05, "sum_share": 0.15}  # of the last one; products have the rest


class Answers(Protocol):
    """What all silos answer to each question, in their order: (sums, std of their noise)."""

    def counts(self) -> Sequence[Sum]:
        """Label counts, (classes,)."""
        ...

    def origin(self) -> Sequence[Sum]:
        """`MomentQuery.origin_sums`."""
        ...

    def means(self, origin: Array | None) -> Sequence[Sum]:
        """`MomentQuery.label_sums`, about an origin (d,) if any, the same for all silos."""
        ...

    def moments(self, means: Array | None) -> Sequence[Sum]:
        """`MomentQuery.sums`, about means (K, classes, d) if any, each silo's own."""
        ...

    def cells(self, query: ClusterQuery, number: int) -> Sequence[Sum]:
        """`ClusterQuery.sums` of a round, from 0."""
        ...


@dataclass(frozen=True)
class Asked:
    """Silos, asked through their own mechanisms.

    Guarantee:
        Each silo takes part in the budget's mechanisms, each once, charged before it is answered.
    """

    silos: Sequence[SiloSums]
    on_round: Callable[[], None] = lambda: None

    def counts(self) -> Sequence[Sum]:
        """Ask for label counts."""
        return self._all(SiloSums.counts)

    def origin(self) -> Sequence[Sum]:
        """Ask for the sums of all records."""
        return self._all(SiloSums.origin)

    def means(self, origin: Array | None) -> Sequence[Sum]:
        """Ask for first moments, about an origin if any."""
        return self._all(lambda silo: silo.means(origin))

    def moments(self, means: Array | None) -> Sequence[Sum]:
        """Ask for second moments, about means if any."""
        about = [None] * len(self.silos) if means is None else list(means)
        found = [silo.moments(own) for silo, own in zip(self.silos, about, strict=True)]
        self.on_round()
        return found

    def cells(self, query: ClusterQuery, number: int) -> Sequence[Sum]:
        """Ask for a round's cells."""
        return self._all(lambda silo: silo.cells(query, number))

    def _all(self, ask: Callable[[SiloSums], Sum]) -> Sequence[Sum]:
        found = [ask(silo) for silo in self.silos]
        self.on_round()
        return found


def bases(
    answers: Answers, query: MomentQuery, encoder: Encoder, settings: BaseSettings
) -> tuple[Base, ...]:
    """Fit a base for each of the silos that answer.

    With `combine = "sum"` all of them have one base, fitted to the sums of their answers; otherwise
    each has its own, shrunk to what the others say (`dpfedsyn.pooling`). A silo that answers to
    itself alone makes its own.

    Guarantee:
        Post-processing: everything here, the questions included, is made of earlier answers and
        public settings.
    """
    apart = [NoisyStatistics(counts, std, np.zeros(0), 0.0) for counts, std in answers.counts()]
    whole = settings.combine == "sum"

    def pooled(statistics: Sequence[NoisyStatistics]) -> Sequence[NoisyStatistics]:
        return [together(statistics, query)] if whole else statistics

    known, means = (encoder.two_valued, settings, encoder.spectrum), None
    if query.residual_radius:
        origin = _origin(answers, apart, query, settings, encoder.spectrum)
        apart = [
            replace(s, label_sums=sums, label_sums_std=std, origin=origin)
            for s, (sums, std) in zip(apart, answers.means(origin), strict=True)
        ]
        each = pooled_means(pooled(apart), query, *known)
        means = np.broadcast_to(each, (len(apart), *each.shape[1:]))
    apart = [
        replace(s, sums=sums, sums_std=std)
        for s, (sums, std) in zip(apart, answers.moments(means), strict=True)
    ]
    found: tuple[Base, ...] = pool(pooled(apart), query, *known)
    if settings.clusters > 1:
        found = (_mixture(answers, held(apart), found[0], settings),)
    return found * len(apart) if whole else found


def lengths(query: MomentQuery, settings: BaseSettings) -> tuple[int, ...]:
    """Return how many numbers a silo's answer to each of the questions has, in their order."""
    d, classes = query.dimension, query.classes
    found = [classes]
    if query.residual_radius:
        found += ([d] if query.origin_radius else []) + [query.label_length]
    found.append(query.length)
    if settings.clusters > 1:
        axes = min(settings.cluster_axes, d - 1)
        cells, place = np.zeros((classes, d, axes)), np.zeros((classes, settings.clusters, axes))
        about = Centres(np.zeros((classes, d)), cells, place)
        shares = [MOVE] * settings.cluster_rounds + [LAST]
        found += [ClusterQuery(about, settings.cluster_radius, **s).length for s in shares]
    return tuple(found)


def _origin(
    answers: Answers,
    counted: Sequence[NoisyStatistics],
    query: MomentQuery,
    settings: BaseSettings,
    spectrum: Array | None,
) -> Array | None:
    if not query.origin_radius:
        return None
    sums, stds = zip(*answers.origin(), strict=True)
    totals = np.array([s.counts.sum() for s in counted])
    summed, noise = np.stack(sums) * query.radius, np.array(stds) * query.radius
    return pooled_origin(summed, totals, noise, settings, spectrum)


def _mixture(
    answers: Answers, holding: NDArray[np.bool_], whole: Base, settings: BaseSettings
) -> Base:
    assert isinstance(whole, AnalyticBase)
    axes = min(settings.cluster_axes, whole.means.shape[1] - 1)
    centres = first_centres(whole, settings.clusters, axes, SEED)
    for number in range(settings.cluster_rounds):
        query = ClusterQuery(centres, settings.cluster_radius, **MOVE)
        centres = moved(centres, cells_together(query, answers.cells(query, number), holding))
    query = ClusterQuery(centres, settings.cluster_radius, **LAST)
    cells = cells_together(query, answers.cells(query, settings.cluster_rounds), holding)
    return clustered(whole, centres, cells, settings)


def cells_together(
    query: ClusterQuery, answers: Sequence[Sum], holding: NDArray[np.bool_]
) -> Cells:
    """Add up the cells of each label over the silos that hold it.

    Args:
        answers: (sums, std of their noise) of each silo. holding: (K, classes), see `held`.
    """
    tables, stds = zip(*answers, strict=True)
    return query.unpack(_sum(tables, holding), _noise(stds, holding))


def held(statistics: Sequence[NoisyStatistics]) -> NDArray[np.bool_]:
    """Which silo counts for which label, (K, classes): its noisy count rises out of its noise.

    A label that no silo seems to hold keeps the sums of all.
    """
    counts = np.stack([s.counts for s in statistics])
    holding = weights.seen(counts, np.array([s.counts_std for s in statistics])) & (counts > 0.0)
    holding[:, ~holding.any(axis=0)] = True
    return holding


def together(statistics: Sequence[NoisyStatistics], query: MomentQuery) -> NoisyStatistics:
    """Add up several silos' statistics; each label's over the silos that hold it.

    Second moments of all labels together add up all silos'.
    """
    holding = held(statistics)
    counts = _sum([s.counts for s in statistics], holding)
    counts_std = _noise([s.counts_std for s in statistics], holding)
    summed = NoisyStatistics(counts, counts_std, np.zeros(0), 0.0)
    if all(s.label_sums is not None for s in statistics):
        labelled = [s.label_sums for s in statistics if s.label_sums is not None]
        summed = replace(
            summed,
            label_sums=_sum(labelled, holding),
            label_sums_std=_noise([s.label_sums_std for s in statistics], holding),
            origin=statistics[0].origin,
        )
    if not len(statistics[0].sums):
        return summed
    blocks = [np.split(s.sums, query.cuts) for s in statistics]
    stds = [s.sums_std for s in statistics]
    first, shared, own = ([block[place] for block in blocks] for place in range(3))
    parts = [_sum(first, holding), np.sum(shared, axis=0), _sum(own, holding)]
    noise = _noise(stds, holding)
    return replace(
        summed,
        sums=np.concatenate(parts),
        sums_std=float(np.linalg.norm(stds)),
        products_std=noise,
    )


def _sum(blocks: Sequence[Array], holding: NDArray[np.bool_]) -> Array:
    """Add up blocks that hold one part per label, each over the silos that hold the label."""
    if not len(blocks[0]):
        return blocks[0]
    tables = np.stack([block.reshape(holding.shape[1], -1) for block in blocks])
    total: Array = (tables * holding[:, :, None]).sum(axis=0).ravel()
    return total


def _noise(stds: Sequence[float | Array], holding: NDArray[np.bool_]) -> Array:
    """Return the noise of such sums, (classes,)."""
    squares = np.array([float(np.mean(np.asarray(std) ** 2)) for std in stds])
    noise: Array = np.sqrt((holding * squares[:, None]).sum(axis=0))
    return noise
