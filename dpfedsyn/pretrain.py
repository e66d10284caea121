"""Train the network that every silo starts from, on synthetic records that were released.

The released base is the best denoiser of its own Gaussian samples. What a network learns here is
what encoding adds: pixels that stay between black and white, pictures that stand upright. It is a
start for DP-SGD, not a model: on real records it may do worse than the base.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from dpfedsyn.architecture import Architecture, Arrays, averaged, weights_of
from dpfedsyn.base import Base
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import descend, noised_pieces
from dpfedsyn.settings import PretrainSettings

RISE = 20  # steps in which the learning rate rises from 0
LAST_RATE = 0.1  # share of the learning rate that is left at the last step
DECAY = 0.99  # of the moving average of the weights
BETAS = (0.9, 0.99)


def pretrain(
    x: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    base: Base,
    architecture: Architecture,
    settings: PretrainSettings,
    seed: bytes,
    device: torch.device,
    on_step: Callable[[], None] = lambda: None,
) -> Arrays:
    """Return the average of the weights over Adam's steps on x (n, d), by parameter name.

    Args:
        x: synthetic records, decoded and encoded again; labels: (n,). base: released, of whatever
            silo. seed: 32 public bytes; a silo's noise key would not do, since others know these.

    Guarantee:
        Post-processing: no record and no key of a silo is an argument or is read from anywhere, and
        equal arguments give equal bits on one machine. What was charged for x and the base pays for
        the result.
    """
    stream, classes = Keystream(seed), architecture.classes
    network = architecture.drawn(stream).to(device)
    adam = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=BETAS)
    average = weights_of(network)
    for step in range(1, settings.steps + 1):
        for group in adam.param_groups:
            group["lr"] = settings.learning_rate * _share_of_rate(step, settings.steps)
        chosen = (stream.words(settings.batch) % np.uint64(len(x))).astype(np.int64)
        highest = architecture.settings.highest_noise
        pieces = noised_pieces(
            x, labels, chosen[:, None], base, stream, highest, at_once=network.rows_at_once
        )
        descend(network, adam, pieces, len(chosen), architecture.settings, classes, device)
        average = averaged(average, network, min(DECAY, step / (step + 10.0)))
        on_step()
    return average


def _share_of_rate(step: int, steps: int) -> float:
    return min(1.0, step / RISE) * (1.0 - (1.0 - LAST_RATE) * step / steps)
