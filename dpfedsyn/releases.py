"""A silo's statistics: counts, origin, means, moments and cells, each a Gaussian mechanism.

With `base.combine` the server sees all of them (group R); without it they stay in the silo (group
A), but for the counts. Without privacy they are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency, Gaussian
from dpfedsyn.clusters import ClusterQuery
from dpfedsyn.counts import count_points, counts_sensitivity, label_counts
from dpfedsyn.data import Records
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.marginals import MarginalQuery
from dpfedsyn.moments import MomentQuery
from dpfedsyn.preparation import Preparation, committed_sum, noisy_sum
from dpfedsyn.sums import Points
from dpfedsyn.units import Units

Array = NDArray[np.float64]
Sum = tuple[Array, float]
"""Sums, and the std of their noise."""

Draw = Callable[[str, int, Gaussian, float, Callable[[float], Points]], Sum]
"""From (kind, number of the use, event, least std, sums given a spacing) to noisy sums."""

EXACT = 2.0**-40  # spacing of sums without noise


class Mechanisms(Protocol):
    """The events that pay for a silo's sums; None or empty: exact."""

    @property
    def counts(self) -> Gaussian | None:
        """Label counts."""
        ...

    @property
    def origin(self) -> Gaussian | None:
        """The mean of all records, where labels' first moments are taken about it."""
        ...

    @property
    def means(self) -> Gaussian | None:
        """First moments, where second ones are taken about them."""
        ...

    @property
    def moments(self) -> Gaussian | None:
        """Second moments."""
        ...

    @property
    def clusters(self) -> tuple[Gaussian, ...]:
        """Cells, round by round."""
        ...


@dataclass(frozen=True)
class SiloSums:
    """Sums over one silo's records, each drawn through the mechanism that pays for it.

    Args:
        draw: adds a mechanism's noise, and charges it where somebody has to pay.
    """

    records: Records
    classes: int
    query: MomentQuery
    adjacency: Adjacency
    mechanisms: Mechanisms
    draw: Draw

    def counts(self) -> Sum:
        """Return the label counts (classes,)."""
        event, labels = self.mechanisms.counts, self.records.y
        if event is None:
            return label_counts(labels, self.classes, self._units), 0.0
        std = event.noise_multiplier * counts_sensitivity(self.adjacency)
        summed = partial(count_points, labels, self.classes, units=self._units)
        return self.draw("counts", 0, event, std, summed)

    def origin(self) -> Sum:
        """Return `MomentQuery.origin_sums`."""
        x, event = self.records.x, self.mechanisms.origin
        if event is None:
            return self.query.origin_sums(x, self._units), 0.0
        std = event.noise_multiplier * self.query.sensitivity(self.adjacency)
        summed = partial(self.query.origin_points, x, units=self._units)
        return self.draw("origin", 0, event, std, summed)

    def means(self, origin: Array | None) -> Sum:
        """Return `MomentQuery.label_sums`, about a released origin (d,) if any."""
        x, y, event = self.records.x, self.records.y, self.mechanisms.means
        if event is None:
            return self.query.label_sums(x, y, origin, self._units), 0.0
        std = event.noise_multiplier * self.query.sensitivity(self.adjacency)
        summed = partial(self.query.label_points, x, y, origin=origin, units=self._units)
        return self.draw("means", 0, event, std, summed)

    def moments(self, means: Array | None) -> Sum:
        """Return `MomentQuery.sums`, about released means (classes, d) if any."""
        x, y, event = self.records.x, self.records.y, self.mechanisms.moments
        if event is None:
            return self.query.sums(x, y, means, self._units), 0.0
        std = event.noise_multiplier * self.query.sensitivity(self.adjacency)
        summed = partial(self.query.points, x, y, means=means, units=self._units)
        return self.draw("moments", 0, event, std, summed)

    def cells(self, query: ClusterQuery, number: int) -> Sum:
        """Return the sums of a round's cells.

        Args:
            query: about released centres. number: of the round, from 0.
        """
        x, y, events = self.records.x, self.records.y, self.mechanisms.clusters
        if not events:
            return query.sums(x, y, self._units), 0.0
        event, kind = events[number], "clusters" if number == len(events) - 1 else "centres"
        std = event.noise_multiplier * query.sensitivity(self.adjacency)
        return self.draw(kind, number, event, std, partial(query.points, x, y, units=self._units))

    @property
    def _units(self) -> Units | None:
        return self.records.units


def sums_of(preparation: Preparation) -> SiloSums:
    """Return a silo's sums, charged to its ledger."""
    budget = preparation.budget

    def draw(
        kind: str, number: int, event: Gaussian, std: float, summed: Callable[[float], Points]
    ) -> Sum:
        released = budget.counts_released if kind == "counts" else budget.base_released
        group = "R" if released else "A"
        return noisy_sum(preparation, kind, number, group, event, std, summed)

    return _sums(preparation, draw)


def given_by(preparation: Preparation) -> SiloSums:
    """Return the sums that a silo has released already.

    Guarantee:
        Nothing is drawn or charged: a mechanism that was not asked yet raises `ProtocolMismatch`.
        Sums of a silo that promises nothing are exact, and made anew.
    """

    def draw(
        kind: str, number: int, event: Gaussian, std: float, summed: Callable[[float], Points]
    ) -> Sum:
        found = committed_sum(preparation, kind, number, std)
        if found is None:
            raise ProtocolMismatch(
                f"{preparation.silo.name}: was shown an answer of its own ({kind}) that it has not "
                "given; nothing was answered or charged."
            )
        return found

    return _sums(preparation, draw)


def _sums(preparation: Preparation, draw: Draw) -> SiloSums:
    return SiloSums(
        preparation.records,
        preparation.classes,
        preparation.query,
        preparation.adjacency,
        preparation.budget,
        draw,
    )


def noisy_marginals(preparation: Preparation) -> Sum:
    """Return `MarginalQuery` sums of the records' numbers and the std of their noise."""
    query, event = MarginalQuery(preparation.encoder.numbers), preparation.budget.marginals
    records = preparation.records
    summed = partial(query.points, records.x, units=records.units)
    if event is None:
        return summed(EXACT).astype(np.float64) * EXACT, 0.0
    std = event.noise_multiplier * query.sensitivity(preparation.adjacency)
    return noisy_sum(preparation, "marginals", 0, "R", event, std, summed)
