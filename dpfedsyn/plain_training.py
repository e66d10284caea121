"""Train one member of an ensemble without privacy: only the noise of its answers protects it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dpfedsyn.architecture import Architecture
from dpfedsyn.base import Base
from dpfedsyn.network import Network
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import descend, drawn_rows, noised_pieces
from dpfedsyn.settings import TrainSettings
from dpfedsyn.units import Rows, Units


def train(
    x: Rows,
    labels: NDArray[np.int64],
    *,
    base: Base,
    architecture: Architecture,
    settings: TrainSettings,
    key: bytes,
    device: torch.device,
    units: Units | None = None,
) -> Network:
    """Return a network trained on x (n, d) by full-batch Adam.

    Args:
        units: whose rows they are; None: every record is its own unit.

    Without records it is the zero network; one without parameters (`kind = "none"`) is returned as
    it is.

    Guarantee:
        None: the result depends on the records without noise and must stay in the silo, behind
        the answer mechanism of an ensemble.
    """
    stream = Keystream(key)
    network = architecture.drawn(stream).to(device)
    if len(x) == 0 or architecture.size == 0:
        return network
    adam = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    classes, highest = len(base.means), architecture.settings.highest_noise
    everybody = np.ones(len(x) if units is None else units.count, dtype=np.bool_)
    for _ in range(settings.steps):
        rows = drawn_rows(units, everybody, settings.draws, stream)
        pieces = noised_pieces(x, labels, rows, base, stream, highest, at_once=network.rows_at_once)
        descend(network, adam, pieces, len(rows), architecture.settings, classes, device)
    return network
