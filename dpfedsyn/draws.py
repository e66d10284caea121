"""How many draws of noise a silo's whole run may take: public, and fixed before it begins.

Every draw may deviate a little from the Gaussian that is charged (see `dpfedsyn.lattice`). The cap
on their number, times that deviation, is what delta has to carry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpfedsyn.budget import Budget
from dpfedsyn.moments import query_of
from dpfedsyn.parameters import parameters
from dpfedsyn.settings import BaseSettings, Config

ASKED_AGAIN = 2
"""How often a silo may answer each planned round: once more, where a server asks other content."""


@dataclass(frozen=True)
class Draws:
    """Caps on one silo's draws of noise, by what they are added to."""

    counts: int
    moments: int
    training: int
    answers: int

    @property
    def total(self) -> int:
        """All of them: what the claim's delta has to carry."""
        return self.counts + self.moments + self.training + self.answers


def draws(
    config: Config,
    budget: Budget,
    *,
    dimension: int,
    classes: int,
    pose: int,
    rounds: int,
    histograms: int = 0,
    network: int | None = None,
) -> Draws:
    """Return the caps of one silo's run.

    Args:
        pose: coordinates of an image that move its pixels. rounds: of all passes together.
            histograms: numbers in the histograms of a table's columns. network: parameters of a
            brought model that is trained further; None: of the configuration's network.

    Guarantee:
        No run draws more: planned mechanisms are charged once, DP-SGD for its planned steps, and
        the ledger, whose header holds the sum, refuses whatever would draw beyond it.
    """
    query, base = query_of(dimension, classes, config.base), config.base
    means = query.label_length if budget.means is not None else 0
    means += dimension if budget.origin is not None else 0
    moments = query.length if budget.moments is not None else 0
    marginals = histograms if budget.marginals is not None else 0
    if network is None:
        network = parameters(config.network, dimension, classes, pose)
    # A signer's claim draws nothing here; but no row of a ledger goes without a draw.
    claimed = int(budget.claimed is not None)
    return Draws(
        counts=classes if budget.counts is not None else 0,
        moments=means + moments + marginals + _cells(base, budget, dimension, classes),
        training=claimed + (network * budget.training.count if budget.training is not None else 0),
        answers=math.ceil(_asked(config, rounds)) * (dimension + 1),
    )


def _asked(config: Config, rounds: int) -> float:
    """How many rows a silo may answer for in all rounds, those on the reserve included."""
    reserve = 0.0 if config.train.method == "ensemble" else config.answers.reserve
    return ASKED_AGAIN * rounds * config.answers.rows * (1.0 + reserve)


def _cells(base: BaseSettings, budget: Budget, dimension: int, classes: int) -> int:
    """Numbers in the sums of all rounds of cells."""
    if not budget.clusters:
        return 0
    axes, cells = min(base.cluster_axes, dimension - 1), classes * base.clusters
    moving = len(budget.clusters) - 1
    return cells * (moving * (1 + axes) + 1 + axes + axes * (axes + 1) // 2)
