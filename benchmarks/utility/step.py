"""What a private step of the residual network costs beside a plain one.

One hidden layer of 512, 600 records with 4 draws each, of 64 coordinates. CPU seconds of one
process and one thread; both kinds of step are taken in turn, so that a busy machine slows them
alike. Drawing the noise is listed apart: it goes with the number of weights, not of records.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import nn

from benchmarks.record import Table, Target
from dpfedsyn.architecture import Architecture
from dpfedsyn.base import AnalyticBase
from dpfedsyn.dpsgd import PublicRateOptimizer
from dpfedsyn.dpsgd.hooks import RecordGradients
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import NoisedBatch, noised, record_losses
from dpfedsyn.settings import NetworkSettings
from dpfedsyn.threads import one_per_silo

CPU = torch.device("cpu")
DIMENSION, CLASSES, RECORDS, DRAWS = 64, 10, 600, 4
SETTINGS = NetworkSettings(hidden=512)
MOST = 2.0  # times a plain forward and backward pass
REPEATS = 25
KEY = bytes(32)  # of no importance: nothing private is here
PLAIN, NOISE = "plain forward and backward", "drawing the noise"


def measure(*, smoke: bool) -> tuple[Target, Table]:
    """Return the private step in plain ones, noise apart, and the table behind it."""
    with one_per_silo():
        times = seconds(3 if smoke else REPEATS)
    plain = times[PLAIN]
    private = sum(value for name, value in times.items() if name not in (PLAIN, NOISE))
    table = [
        {"part": name, "CPU ms": 1e3 * value, "of a plain step": value / plain}
        for name, value in (*times.items(), ("private step, noise apart", private))
    ]
    reason = "smoke: three steps" if smoke else "CPU time of one thread, drawing the noise apart"
    ratio = None if smoke else private / plain
    return Target(ratio, MOST, at_least=False, reason=reason), table


def seconds(repeats: int) -> dict[str, float]:
    """Return median CPU seconds of a plain step and of a private one's parts."""
    architecture, batch = Architecture(SETTINGS, DIMENSION, CLASSES), _batch()
    plain = architecture.drawn(Keystream(KEY))
    private = RecordGradients(architecture.drawn(Keystream(KEY)))
    optimizer = PublicRateOptimizer(
        torch.optim.Adam(private.parameters()),
        noise_multiplier=1.0,
        clip=1.0,
        expected_batch_size=RECORDS,
    )
    optimizer.use(Keystream(KEY))
    clock = Clock({})
    for _ in range(repeats + 1):  # the first step of either kind allocates and is left out
        plain.zero_grad()
        with clock.part(PLAIN):
            torch.autograd.backward(_losses(plain, batch).sum())
        optimizer.zero_grad(set_to_none=True)
        with clock.part("forward"):
            losses = _losses(private, batch)
        with clock.part("backward"):
            private.backward(losses)
        with clock.part("clipping and exact sum"):
            optimizer.clip_and_accumulate()
        with clock.part(NOISE):
            optimizer.add_noise()
        with clock.part("division and Adam"):
            optimizer.scale_grad()
            optimizer.original_optimizer.step()
    return {name: median(values[1:]) for name, values in clock.times.items()}


@dataclass(frozen=True)
class Clock:
    """CPU seconds of this process, by part."""

    times: dict[str, list[float]]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time that the body takes."""
        start = time.process_time()
        yield
        self.times.setdefault(name, []).append(time.process_time() - start)


def _losses(network: nn.Module, batch: NoisedBatch) -> torch.Tensor:
    return record_losses(network, batch, SETTINGS, CLASSES, CPU)


def _batch() -> NoisedBatch:
    rng = np.random.default_rng(1)
    base = AnalyticBase(np.zeros((CLASSES, DIMENSION)), np.ones(DIMENSION), np.eye(DIMENSION))
    x, labels = rng.standard_normal((RECORDS, DIMENSION)), rng.integers(0, CLASSES, RECORDS)
    return noised(x, labels, base, DRAWS, Keystream(KEY))
