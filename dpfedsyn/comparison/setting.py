"""What the baselines may look at: records and public facts of every silo, and a public seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dpfedsyn import keys
from dpfedsyn.budget import Budget
from dpfedsyn.data import Records
from dpfedsyn.domain import Encoder
from dpfedsyn.round_settings import PRESETS, SamplerSettings
from dpfedsyn.settings import Config

FEDAVG_ROUNDS = 10


@dataclass(frozen=True)
class Comparison:
    """The run that baselines are compared with; silos in the configuration's order.

    Attributes:
        records: the training part of every silo.
        budgets: what the run planned for it.
        label_weights: (K, classes), the run's mixing weights.
        seed: of the evaluation, public.
        paper: the sampler of the literal paper.
        fedavg_rounds: how often parameters are averaged.
        on_step: told every DP-SGD step and every round of the literal paper; it may raise to stop.
    """

    config: Config
    encoder: Encoder
    records: Mapping[str, Records]
    budgets: Mapping[str, Budget]
    label_weights: NDArray[np.float64]
    device: torch.device
    seed: int
    paper: SamplerSettings = PRESETS["paper"]
    fedavg_rounds: int = FEDAVG_ROUNDS
    on_step: Callable[[], None] = lambda: None

    @property
    def classes(self) -> int:
        """Number of public labels."""
        return len(self.encoder.labels)

    @property
    def private(self) -> bool:
        """Whether models are made with noise, as the run's are."""
        return self.config.train.method != "not-private"

    def key(self, *context: str | int) -> bytes:
        """Return 32 bytes that anybody can compute, different for every context."""
        parts = [repr(part).encode() for part in context]
        return keys.repeatable(self.seed, "comparison").derive(*parts)
