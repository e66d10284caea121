"""Bytes that a silo sends: what the server needs of it, as float32 numbers or as rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.utility.ground import Ground
from dpfedsyn.comparison import BASELINES, embedding, learning
from dpfedsyn.evaluation.setting import pooled
from dpfedsyn.metrics.traffic import NUMBER
from dpfedsyn.moments import query_of


def of_rows(ground: Ground, rows: int) -> float:
    """Rows as they are stored: a byte a pixel, or float32 per coordinate; and a label's byte."""
    if ground.shape is not None:
        return rows * (ground.shape[0] * ground.shape[1] + 1.0)
    return rows * (NUMBER * ground.plan.encoder.dimension + 1.0)


def released(ground: Ground) -> float:
    """The mean silo's released counts and sums."""
    plan, numbers = ground.plan, 0
    for name, budget in plan.budgets.items():
        drawn = plan.draws(name)
        numbers += drawn.counts * budget.counts_released + drawn.moments * budget.base_released
    return float(NUMBER * numbers / len(plan.budgets))


def _moments(ground: Ground) -> float:
    query = query_of(ground.plan.dimension, ground.plan.classes, ground.config.base)
    means = query.label_length if query.residual_radius else 0
    means += query.dimension if query.origin_radius else 0
    return float(NUMBER * (ground.plan.classes + means + query.length))


def _uploads(ground: Ground) -> float:
    c = ground.comparison
    size = learning.architecture(c).size
    rounds = min(c.config.train.steps, c.fedavg_rounds)
    return float(NUMBER * (ground.plan.classes + rounds * size))


def _paper(ground: Ground) -> float:
    c, most = ground.comparison, BASELINES["paper"].most_rows or ground.rows
    rounds = c.paper.levels * c.paper.steps_per_level
    return float(NUMBER * rounds * min(ground.rows, most) * (ground.plan.dimension + 1))


def share_of_rows(ground: Ground) -> float:
    """The mean silo's part of the synthetic rows."""
    return of_rows(ground, ground.rows) / len(ground.config.silos)


def records(ground: Ground) -> float:
    """The mean silo's records."""
    return of_rows(ground, len(pooled(ground.parts[0]))) / len(ground.config.silos)


def _embedding(ground: Ground) -> float:
    return float(NUMBER * ground.plan.classes * (1 + 2 * embedding.FREQUENCIES))


OF: Mapping[str, Callable[[Ground], float]] = {
    "gaussians": _moments,
    "networks": share_of_rows,
    "paper": _paper,
    "fedavg": _uploads,
    "embedding": _embedding,
    "pooled": records,
}
"""Of baselines, the mean silo's."""
