"""Training a brought model further with DP-SGD: its own loss, at its own levels, on records.

The loss is the one that such models are trained with (Ho et al. 2020, equation 14): the squared
error of what the model predicts, at a level drawn evenly, averaged over draws and coordinates.
Labels take no part: the hooks that take records' gradients follow what depends on the samples.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpfedsyn.brought.levels import Levels
from dpfedsyn.brought.model import BroughtModel
from dpfedsyn.diffusion import drawn_levels
from dpfedsyn.network import Network, trained
from dpfedsyn.noise import Keystream
from dpfedsyn.units import Rows

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[np.float32]]
NUMBERS_AT_ONCE = 2**26  # of per-record gradients: a quarter of a gigabyte


class Tuned(Network):
    """A copy of a brought module on features (..., d + 1): a sample of its own, and the step.

    It is in evaluation while it is trained: dropout, in a layer or as a function that is told
    `self.training`, is off. Its draws would be torch's own, and no key would determine a training.
    Trained are the parameters of floating point that the model does not hold fixed.
    """

    def __init__(self, model: BroughtModel) -> None:
        super().__init__()
        self.module = copy.deepcopy(model.module).eval()
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(parameter.is_floating_point() and name not in model.fixed)
        self.model, self.shape = [model], model.coordinates.shape  # a list: no part of the weights
        self.rows_at_once = max(1, NUMBERS_AT_ONCE // max(1, model.parameters))

    def draw(self, stream: Keystream) -> None:
        """Draw nothing: the weights were brought."""

    def forward(self, features: Tensor) -> Tensor:
        """Map features (..., d + 1) to what the model predicts (..., d)."""
        rows = features.flatten(0, -2)
        samples, steps = rows[:, :-1].reshape(-1, *self.shape), rows[:, -1]
        nothing = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        predicted = self.model[0].call(self.module, samples, steps, nothing)
        return predicted.reshape(*features.shape[:-1], math.prod(self.shape))


@dataclass(frozen=True)
class TunedBatch:
    """M draws of each of B units: features (B, M, d + 1), and what is to be predicted (B, M, d)."""

    features: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, eq=False)
class Tuning:
    """What DP-SGD needs of a brought model, in place of an architecture of ours."""

    model: BroughtModel

    @property
    def start(self) -> Arrays:
        """The weights that are trained, as they were brought, by parameter name."""
        named = trained(Tuned(self.model)).items()
        return {name: value.detach().cpu().numpy().copy() for name, value in named}

    @property
    def size(self) -> int:
        """Number of parameters that are trained."""
        return sum(parameter.numel() for parameter in trained(Tuned(self.model)).values())

    def with_weights(self, arrays: Mapping[str, NDArray[np.float32]]) -> Network:
        """Return the network with the given weights, by parameter name; the others as brought."""
        network = Tuned(self.model)
        own = dict(network.named_parameters())
        with torch.no_grad():
            for name, array in arrays.items():
                own[name].copy_(torch.from_numpy(array))
        return network

    def tuned(self, arrays: Mapping[str, NDArray[np.float32]]) -> BroughtModel:
        """Return the brought model with these weights."""
        network = self.with_weights(arrays)
        assert isinstance(network, Tuned)
        module: nn.Module = network.module.requires_grad_(False).to(self.model.device)
        return replace(self.model, module=module)

    def task(self, base: None) -> Tuning:
        """Return the task; there is no base beneath a brought model."""
        return self

    def pieces(
        self,
        x: Rows,
        labels: NDArray[np.int64],
        rows: NDArray[np.int64],
        stream: Keystream,
        *,
        at_once: int,
    ) -> Iterator[tuple[TunedBatch, bool]]:
        """Noise rows of x (n, d), one at each place of `rows` (B, M), at levels drawn evenly.

        Yields (piece, whether it is the last) as `dpfedsyn.objective.noised_pieces` does.
        """
        levels = len(self.model.levels.shares)
        for own, t, last in drawn_levels(rows, stream.words(rows.size), levels, at_once):
            yield self._noised(x, own, t, stream), last

    def _noised(
        self, x: Rows, rows: NDArray[np.int64], steps: NDArray[np.int64], stream: Keystream
    ) -> TunedBatch:
        levels, (count, draws), t = self.model.levels, rows.shape, steps.ravel()
        share = levels.shares.numpy().astype(np.float64)[t][:, None]
        clean = self.model.coordinates.clean(x[rows.ravel()].astype(np.float64))
        noise = stream.normal(clean.shape)
        sample = np.sqrt(share) * clean + np.sqrt(1.0 - share) * noise
        target = _target(levels, share, clean, noise)

        def shaped(array: Array) -> Tensor:
            return torch.from_numpy(array.astype(np.float32)).reshape(count, draws, -1)

        if not count:
            width = clean.shape[1]
            return TunedBatch(torch.zeros(0, draws, width + 1), torch.zeros(0, draws, width))
        return TunedBatch(shaped(np.hstack([sample, t[:, None]])), shaped(target))

    def losses(self, network: nn.Module, batch: TunedBatch, device: torch.device) -> Tensor:
        """Squared error averaged over a record's draws and coordinates: shape (B,)."""
        features = batch.features.to(device).requires_grad_(True)
        error: Tensor = network(features) - batch.target.to(device)
        return error.square().mean(dim=(1, 2))


def _target(levels: Levels, share: Array, clean: Array, noise: Array) -> Array:
    if levels.prediction == "epsilon":
        return noise
    if levels.prediction == "sample":
        return clean
    velocity: Array = np.sqrt(share) * noise - np.sqrt(1.0 - share) * clean
    return velocity
