"""A silo's statistics: counts, means, moments and cells, each a Gaussian mechanism over sums.

With `base.combine` the server sees all of them (group R); without it they stay in the silo (group
A), but for the counts. Without privacy they are exact.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.clusters import ClusterQuery
from dpfedsyn.marginals import MarginalQuery
from dpfedsyn.moments import count_points, counts_sensitivity, label_counts
from dpfedsyn.preparation import Preparation, noisy_sum

Array = NDArray[np.float64]

EXACT = 2.0**-40  # spacing of sums without noise


def noisy_counts(preparation: Preparation) -> tuple[Array, float]:
    """Return the label counts (classes,) and the std of their noise."""
    event, labels = preparation.budget.counts, preparation.records.y
    if event is None:
        return label_counts(labels, preparation.classes), 0.0
    group = "R" if preparation.budget.counts_released else "A"
    std = event.noise_multiplier * counts_sensitivity(preparation.adjacency)
    counted = partial(count_points, labels, preparation.classes)
    return noisy_sum(preparation, "counts", 0, group, event, std, counted)


def noisy_means(preparation: Preparation) -> tuple[Array, float]:
    """Return `MomentQuery.label_sums` and the std of its noise."""
    query, records, event = preparation.query, preparation.records, preparation.budget.means
    x = records.x.astype(np.float64)
    if event is None:
        return query.label_sums(x, records.y), 0.0
    std = event.noise_multiplier * query.sensitivity(preparation.adjacency)
    summed = partial(query.label_points, x, records.y)
    return noisy_sum(preparation, "means", 0, preparation.group, event, std, summed)


def noisy_moments(preparation: Preparation, means: Array | None) -> tuple[Array, float]:
    """Return `MomentQuery.sums`, about released means (classes, d) if any, and the noise's std."""
    query, records, event = preparation.query, preparation.records, preparation.budget.moments
    x = records.x.astype(np.float64)
    if event is None:
        return query.sums(x, records.y, means), 0.0
    std = event.noise_multiplier * query.sensitivity(preparation.adjacency)
    summed = partial(query.points, x, records.y, means=means)
    return noisy_sum(preparation, "moments", 0, preparation.group, event, std, summed)


def noisy_marginals(preparation: Preparation) -> tuple[Array, float]:
    """Return `MarginalQuery` sums of the records' numbers and the std of their noise."""
    query, event = MarginalQuery(preparation.encoder.numbers), preparation.budget.marginals
    x = preparation.records.x.astype(np.float64)
    if event is None:
        return query.points(x, EXACT).astype(np.float64) * EXACT, 0.0
    std = event.noise_multiplier * query.sensitivity(preparation.adjacency)
    return noisy_sum(preparation, "marginals", 0, "R", event, std, partial(query.points, x))


def noisy_cells(preparation: Preparation, query: ClusterQuery, number: int) -> tuple[Array, float]:
    """Return the sums of a round's cells and the std of their noise.

    Args:
        query: about released centres. number: of the round, from 0.
    """
    records, events = preparation.records, preparation.budget.clusters
    x = records.x.astype(np.float64)
    if not events:
        return query.sums(x, records.y), 0.0
    event, kind = events[number], "clusters" if number == len(events) - 1 else "centres"
    std = event.noise_multiplier * query.sensitivity(preparation.adjacency)
    summed = partial(query.points, x, records.y)
    return noisy_sum(preparation, kind, number, preparation.group, event, std, summed)
