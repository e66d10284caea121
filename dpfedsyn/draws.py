"""How many noise draws a run may make at most: public, and fixed before the first of them.

A sampler that is not exactly Gaussian adds its distance from the Gaussian to delta with every
draw, so the filter refuses draws beyond the number that a claim's delta was computed for.
"""

from __future__ import annotations

import numpy as np

from dpfedsyn.architecture import Architecture
from dpfedsyn.moments import query_of
from dpfedsyn.plan import Plan


def cap(plan: Plan) -> int:
    """Return the draws of a silo that trains as planned and is asked all rows in every round.

    Guarantee:
        A function of public settings; a run that goes as planned never reaches beyond it, whoever
        is missing from its rounds.
    """
    rounds = sum(len(part.kernels) for part in plan.passes)
    return _training(plan) + rounds * plan.config.answers.rows * (plan.dimension + 1)


def _training(plan: Plan) -> int:
    """Draws of counts, moments and DP-SGD: one for each coordinate of what is released."""
    config, classes = plan.config, plan.classes
    if config.train.method != "dp-sgd":
        return 0
    query = query_of(plan.dimension, classes, config.base)
    nobody, no_labels = np.zeros((0, plan.dimension)), np.zeros(0, dtype=np.int64)
    total = classes
    means = None
    if config.base.residual_radius:
        means = np.zeros((classes, plan.dimension))
        total += query.label_sums(nobody, no_labels).size
    total += query.sums(nobody, no_labels, means).size
    network = Architecture(config.network, plan.dimension, classes, plan.encoder.geometry)
    return total + config.train.steps * network.size
