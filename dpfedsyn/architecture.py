"""Which residual network a silo trains: built from public settings and the shape of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dpfedsyn.base import Base
from dpfedsyn.images import Geometry
from dpfedsyn.network import Network, NoNetwork, ResidualNetwork, trained
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import Residuals
from dpfedsyn.settings import NetworkSettings
from dpfedsyn.unet import UNet

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Architecture:
    """All that the network's shape depends on; nothing of it comes from records.

    Args:
        dimension: coordinates d of a record. classes: public labels.
        geometry: how coordinates make an image; None for tables, which have no U-Net.
    """

    settings: NetworkSettings
    dimension: int
    classes: int
    geometry: Geometry | None = None

    def drawn(self, stream: Keystream) -> Network:
        """Return a network before its first step: random inside, zero at its output."""
        network = self._built()
        network.draw(stream)
        return network

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self._built().parameters())

    def with_weights(self, arrays: Mapping[str, NDArray[np.float32]]) -> Network:
        """Return the network with the given weights, by parameter name."""
        network = self._built()
        network.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
        return network

    def task(self, base: Base) -> Residuals:
        """Return what the network is trained for above a base."""
        return Residuals(base, self.settings)

    def _built(self) -> Network:
        if self.settings.kind == "mlp":
            return ResidualNetwork(self.dimension, self.classes, self.settings.hidden)
        if self.settings.kind == "none":
            return NoNetwork(self.dimension)
        if self.geometry is None:
            raise AssertionError("the plan lets no table reach a U-Net")
        return UNet(self.geometry, self.classes, self.settings.channels)


def weights_of(network: Network) -> Arrays:
    """Return a copy of the weights that are trained, by name; `with_weights` is the inverse."""
    named = trained(network).items()
    return {name: parameter.detach().cpu().numpy().copy() for name, parameter in named}


def averaged(average: Arrays, network: Network, decay: float) -> Arrays:
    """Return decay * average + (1 - decay) * weights: one step of a moving average (EMA)."""
    left, share = np.float32(decay), np.float32(1.0 - decay)
    return {name: left * average[name] + share * w for name, w in weights_of(network).items()}
