"""Train one member of an ensemble without privacy: only the noise of its answers protects it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dpfedsyn.base import AnalyticBase
from dpfedsyn.network import ResidualNetwork, initialise
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import noised, record_losses
from dpfedsyn.settings import NetworkSettings, TrainSettings


def train(
    x: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    base: AnalyticBase,
    network_settings: NetworkSettings,
    settings: TrainSettings,
    key: bytes,
    device: torch.device,
) -> ResidualNetwork:
    """Return a network trained on x (n, d) by full-batch Adam; no records: the zero network.

    Guarantee:
        None: the result depends on the records without noise and must stay in the silo, behind
        the answer mechanism of an ensemble.
    """
    stream = Keystream(key)
    network = ResidualNetwork(x.shape[1], len(base.means), network_settings.hidden)
    initialise(network, stream.normal((network_settings.hidden, network.hidden.in_features + 1)))
    network = network.to(device)
    if len(x) == 0:
        return network
    adam = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    for _ in range(settings.steps):
        batch = noised(x, labels, base, settings.draws, stream)
        adam.zero_grad()
        losses = record_losses(network, batch, network_settings, len(base.means), device)
        torch.autograd.backward(losses.mean())
        adam.step()
    return network
