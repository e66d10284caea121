"""Baselines that need training of their own, each charged what the run is charged.

What a federation could have done instead with the same epsilon, delta, unit and adjacency per silo.
The models are made for the internal evaluation alone: their randomness comes from its *public*
seed, so they protect nothing themselves, and neither they nor their samples leave it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.comparison import embedding, methods, spending
from dpfedsyn.comparison.setting import Comparison
from dpfedsyn.comparison.spending import Spending
from dpfedsyn.settings import SiloSettings

__all__ = ["BASELINES", "CLASS_GAUSSIANS", "FURTHER", "Baseline", "Comparison", "comparisons"]

Array = NDArray[np.float64]
Sample = Callable[[NDArray[np.int64], np.random.Generator], Array]

CLASS_GAUSSIANS = "class-gaussians"
"""Key of the baseline without any network."""

MOST_PAPER_ROWS = 2000
"""The literal paper asks every silo every row a thousand times; its rows are bounded instead."""


@dataclass(frozen=True)
class Baseline:
    """What a baseline is called, what makes its samples, and what a silo would be charged.

    Args:
        sample: from (comparison, on_step, labels (N,), generator) to latent samples (N, d).
        steps: how often `on_step` is called for N rows.
        most_rows: for which it is affordable.
        untuned: its step size is the run's, which was chosen for a network on a private base.
    """

    title: str
    sample: Callable[
        [Comparison, Callable[[], None], NDArray[np.int64], np.random.Generator], Array
    ]
    charged: Callable[[Comparison, SiloSettings], Spending]
    steps: Callable[[Comparison], int]
    most_rows: int | None = None
    untuned: bool = False


BASELINES: Mapping[str, Baseline] = {
    CLASS_GAUSSIANS: Baseline(
        "private class Gaussians",
        methods.class_gaussians,
        lambda c, silo: spending.class_gaussians(c.config, silo, c.budgets[silo.name]),
        lambda c: len(c.config.silos),
    ),
    "pooled": Baseline(
        "pooled training, same epsilon",
        methods.pooled,
        lambda c, silo: spending.pooled(c.config, c.budgets),
        lambda c: 1,
    ),
    "fedavg": Baseline(
        "FedAvg of DP-SGD DDPMs",
        methods.fedavg,
        lambda c, silo: spending.fedavg(c.config, silo, c.budgets[silo.name]),
        lambda c: min(c.config.train.steps, c.fedavg_rounds),
        untuned=True,
    ),
    "paper": Baseline(
        "the literal paper",
        methods.literal_paper,
        lambda c, silo: spending.literal_paper(c.config, silo),
        lambda c: len(c.config.silos) + c.paper.levels // methods.ROUNDS_TOLD_AT_ONCE,
        most_rows=MOST_PAPER_ROWS,
        untuned=True,
    ),
}
"""What every run is compared with, by key."""

FURTHER: Mapping[str, Baseline] = {
    "networks": Baseline(
        "networks without a base",
        methods.networks_alone,
        lambda c, silo: spending.fedavg(c.config, silo, c.budgets[silo.name]),
        lambda c: len(c.config.silos),
        untuned=True,
    ),
    "embedding": Baseline(
        "summed noisy mean embedding",
        embedding.mean_embedding,
        lambda c, silo: spending.embedding(c.config, silo, c.budgets[silo.name]),
        lambda c: len(c.config.silos) + embedding.STEPS // embedding.STEPS_TOLD_AT_ONCE,
    ),
}
"""What benchmarks are compared with, too."""
"""Baselines that a run's own evaluation leaves out: a benchmark makes them."""


def comparisons(
    comparison: Comparison, on_step: Callable[[str], None] = lambda name: None
) -> Mapping[str, Sample]:
    """Return the baselines by title: from labels (N,) and a generator to latent samples (N, d).

    Each trains when it is called, and tells `on_step` its title after every model or block. None is
    offered where their budgets cannot be accounted for (an ensemble under replace).
    """
    if not spending.possible(comparison.config):
        return {}
    return {
        known.title: partial(known.sample, comparison, partial(on_step, known.title))
        for known in BASELINES.values()
    }
