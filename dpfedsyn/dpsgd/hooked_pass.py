"""Passes of DP-SGD over synthetic records, made as training makes them, and what they leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dpfedsyn.brought.tuning import Arrays, Tuned, TunedBatch, Tuning
from dpfedsyn.dpsgd.gradients import Factored, Gradients, gradients_of
from dpfedsyn.dpsgd.hooks import RecordGradients
from dpfedsyn.dpsgd.watch import Event, watching
from dpfedsyn.errors import ModelError
from dpfedsyn.network import Network, trained
from dpfedsyn.noise import Keystream

MOVED, LEAST = 0.1, 0.02  # how far weights are moved: of their root mean square, and at least
SHOWN = 160  # characters of another's error


@dataclass(frozen=True, eq=False)
class HookedPass:
    """One pass forward and backward.

    Args:
        losses: (B,). gradients: of the parameters that got any, by name. drawn: whether torch's
            generators moved.
    """

    losses: Tensor
    gradients: Mapping[str, Gradients]
    events: list[Event]
    drawn: bool

    def of(self, record: int) -> list[Tensor]:
        """Everything of a record that reaches the optimizer, and its loss."""
        parts = [part for gradients in self.gradients.values() for part in gradients.parts]
        return [self.losses[record], *(part[record] for part in parts)]


@dataclass(frozen=True, eq=False)
class Trial:
    """A model with weights of its own under the hooks of DP-SGD."""

    tuning: Tuning
    network: Network
    hooked: RecordGradients

    @classmethod
    def of(cls, tuning: Tuning, weights: Arrays) -> Trial:
        """Set the weights and the hooks.

        Raises:
            ModelError: the hooks refuse the module.
        """
        network = tuning.with_weights(weights).to(tuning.model.device)
        try:
            return cls(tuning, network, RecordGradients(network))
        except RuntimeError as error:  # Opacus has one of its subclasses
            raise ModelError(f"the module: Opacus refuses it ({words(error)}).") from error

    def run(self, batch: TunedBatch) -> HookedPass:
        """Make a pass over a batch.

        Raises:
            ModelError: it fails; a sentence that says where.
        """
        assert isinstance(self.network, Tuned)
        device, named = self.tuning.model.device, trained(self.network)
        parameter: Any
        for parameter in named.values():
            parameter.grad_sample, parameter._forward_counter = None, 0
        with watching(self.network.module, device) as watch:
            try:
                losses = self.tuning.losses(self.hooked, batch, device)
                self.hooked.backward(losses)
            except ModelError as error:  # of the hooks, which know the layer
                raise ModelError(str(error).removeprefix("module.")) from error
            except Exception as error:  # of somebody else's code
                raise ModelError(_failed(watch.innermost, words(error))) from error
        samples: dict[str, Any] = {k: getattr(p, "grad_sample", None) for k, p in named.items()}
        found = {k: gradients_of(sample) for k, sample in samples.items() if sample is not None}
        return HookedPass(losses.detach(), found, watch.events, watch.drawn)


def alone(tuning: Tuning, weights: Arrays, batch: TunedBatch, record: int) -> dict[str, Tensor]:
    """Return autograd's gradient of one record, without hooks and without the other records."""
    network, piece = tuning.with_weights(weights).to(tuning.model.device), slice(record, record + 1)
    own = TunedBatch(batch.features[piece], batch.target[piece])
    loss, named = tuning.losses(network, own, tuning.model.device).sum(), trained(network)
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    pairs = zip(named.items(), found, strict=True)
    return {name: torch.zeros_like(p) if own is None else own for (name, p), own in pairs}


def formed(gradients: Gradients, record: int) -> Tensor:
    """Return one record's gradient, in float64."""
    if isinstance(gradients, Factored):
        return gradients.backprops[record].double().T @ gradients.activations[record].double()
    return gradients.rows[record].double()


def batch_of(tuning: Tuning, units: int, draws: int, scale: float, name: bytes) -> TunedBatch:
    """Return synthetic records, normal of this scale, as training would draw and noise them."""
    stream = _stream(name)
    x = scale * stream.normal((units, math.prod(tuning.model.coordinates.shape)))
    rows = np.repeat(np.arange(units)[:, None], draws, axis=1)
    nobody = np.zeros(units, dtype=np.int64)
    ((batch, _),) = tuning.pieces(x, nobody, rows, stream, at_once=rows.size)
    return batch


def changed(batch: TunedBatch, other: TunedBatch, record: int) -> TunedBatch:
    """Return the batch with one record, its draws, steps and noise, taken from another batch."""
    features, target = batch.features.clone(), batch.target.clone()
    features[record], target[record] = other.features[record], other.target[record]
    return replace(batch, features=features, target=target)


def moved(weights: Arrays) -> Arrays:
    """Return the weights with noise of their own size: none of them is zero, none alike."""
    stream = _stream(b"weights")
    found = {}
    for name, value in weights.items():
        size = MOVED * float(np.sqrt(np.square(value.astype(np.float64)).mean())) + LEAST
        found[name] = (value + size * stream.normal(value.shape)).astype(value.dtype)
    return found


def _stream(name: bytes) -> Keystream:
    """Public numbers: nothing private is tried."""
    return Keystream(b"trial " + name.ljust(26))


def words(error: Exception) -> str:
    """What another's error says, on one line."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return said if len(said) <= SHOWN else f"{said[:SHOWN]}..."


def _failed(where: str, said: str) -> str:
    mend = (
        "it changes a layer's output in place; write relu for relu_, and inplace=False"
        if "inplace" in said or "in-place" in said
        else "make it run on samples (rows, ...) and steps (rows,) of floating point"
    )
    return f"{where}: a pass over synthetic records fails ({said}); {mend}."
