"""A model that was trained elsewhere, answering as one of ours: noise in a query's coordinates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpfedsyn.brought.coordinates import Coordinates
from dpfedsyn.brought.levels import Levels

Array = NDArray[np.float64]
Call = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""From (module, samples (N, *shape), steps (N,), labels (N,)) to what it predicts (N, *shape)."""

ROWS_AT_ONCE = 1024  # bounds memory


@dataclass(frozen=True, eq=False)
class BroughtModel:
    """A module with its own levels and coordinates.

    Args:
        module: in evaluation, on `device`.
        call: how it is called.
        labelled: whether it takes labels.
        fixed: names of parameters that its own code does not train; see `fixed_of`.
        digest: SHA-256 (hex) of its weights' file; it depends on what the model was trained on, and
            stays in the silo.
    """

    module: nn.Module
    call: Call
    levels: Levels
    coordinates: Coordinates
    digest: str
    device: torch.device
    labelled: bool = False
    fixed: frozenset[str] = frozenset()

    @property
    def parameters(self) -> int:
        """dim(theta): how many numbers parameter averaging would send."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
        """Return the predicted noise (N, d) for samples x (N, d) at abar_t = signal.

        At the model's own level that is nearest to the query's.
        """
        t = self.levels.nearest(self.coordinates.level(signal))
        samples = self.coordinates.entered(np.asarray(x, dtype=np.float64), signal)
        noise = np.empty(samples.shape)
        for start in range(0, len(x), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            noise[piece] = self._noise(samples[piece], t, labels[piece])
        return self.coordinates.left(noise)

    def _noise(self, samples: Array, t: int, labels: NDArray[np.int64]) -> Array:
        with torch.inference_mode():
            entered = torch.as_tensor(samples, dtype=torch.float32, device=self.device)
            steps = torch.full((len(entered),), t, dtype=torch.int64, device=self.device)
            known = torch.as_tensor(labels, device=self.device)
            predicted = self.call(self.module, entered, steps, known)
            noise = self.levels.noise(predicted, entered, t)
        found: Array = noise.cpu().numpy().astype(np.float64)
        return found


def fixed_of(module: nn.Module) -> frozenset[str]:
    """Return the names of a module's parameters that need no gradient, before all are set so."""
    named = module.named_parameters()
    return frozenset(name for name, parameter in named if not parameter.requires_grad)
