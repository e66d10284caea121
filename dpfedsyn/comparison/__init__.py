"""Baselines that need training of their own, each charged what the run is charged.

What a federation could have done instead with the same epsilon, delta, unit and adjacency per silo.
The models are made for the internal evaluation alone: their randomness comes from its *public*
seed, so they protect nothing themselves, and neither they nor their samples leave it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.comparison import methods, spending
from dpfedsyn.comparison.setting import Comparison

__all__ = ["Comparison", "comparisons"]

Array = NDArray[np.float64]
Sample = Callable[[NDArray[np.int64], np.random.Generator], Array]

_METHODS = {
    "private class Gaussians": methods.class_gaussians,
    "pooled training, same epsilon": methods.pooled,
    "FedAvg of DP-SGD DDPMs": methods.fedavg,
    "the literal paper": methods.literal_paper,
}


def comparisons(
    comparison: Comparison, on_step: Callable[[str], None] = lambda name: None
) -> Mapping[str, Sample]:
    """Return the baselines by name: from labels (N,) and a generator to latent samples (N, d).

    Each trains when it is called, and tells `on_step` its name after every model or block. None is
    offered where their budgets cannot be accounted for (an ensemble under replace).
    """
    if not spending.possible(comparison.config):
        return {}
    return {
        name: partial(method, comparison, partial(on_step, name))
        for name, method in _METHODS.items()
    }
