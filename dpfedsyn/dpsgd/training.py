"""Train the residual network with DP-SGD, a block of charged steps at a time.

`train_block` is a pure function of (state, records, key): killed in the middle of a block, a silo
runs the same block again from the last state and gets the same result under the same charge.
Nothing of a block leaves the silo before it is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dpfedsyn.architecture import Architecture, Arrays, averaged, weights_of
from dpfedsyn.base import Base
from dpfedsyn.dpsgd.hooks import RecordGradients
from dpfedsyn.dpsgd.optimizer import PublicRateOptimizer
from dpfedsyn.network import Network, trained
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import drawn_rows
from dpfedsyn.settings import TrainSettings
from dpfedsyn.units import Rows, Units


class Trainable(Protocol):
    """What DP-SGD takes: a network of ours beside its base, or a model that was brought."""

    def with_weights(self, arrays: Mapping[str, NDArray[np.float32]]) -> Network:
        """Return the network with the given weights, by parameter name."""
        ...

    def task(self, base: Any) -> Any:
        """Return what draws noised batches and says each record's loss on them."""
        ...


@dataclass(frozen=True)
class TrainingState:
    """Weights, their moving average and Adam's moments after `step` steps; no random state."""

    step: int
    weights: Arrays
    average: Arrays
    first: Arrays
    second: Arrays

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state as named arrays for a checkpoint."""
        named = {f"{group}/{k}": v for group in _GROUPS for k, v in getattr(self, group).items()}
        return {"step": np.array(self.step), **named}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TrainingState:
        """Return the state that `to_arrays` wrote."""
        groups: dict[str, Arrays] = {group: {} for group in _GROUPS}
        for name, value in arrays.items():
            group, _, key = name.partition("/")
            if key:
                groups[group][key] = value
        return cls(int(arrays["step"]), **groups)


_GROUPS = ("weights", "average", "first", "second")


def initial_state(architecture: Architecture, key: bytes) -> TrainingState:
    """Return the state before the first step; the network is random inside, zero at its output."""
    return state_before(weights_of(architecture.drawn(Keystream(key))))


def state_before(weights: Arrays) -> TrainingState:
    """Return the state before the first step from given weights, as of `dpfedsyn.pretrain`."""
    zeros = {name: np.zeros_like(value) for name, value in weights.items()}
    return TrainingState(0, weights, weights, zeros, zeros)


def train_block(
    state: TrainingState,
    steps: int,
    *,
    x: Rows,
    labels: NDArray[np.int64],
    base: Base | None,
    noise_multiplier: float,
    expected_batch_size: float,
    architecture: Trainable,
    settings: TrainSettings,
    key: bytes,
    device: torch.device,
    on_step: Callable[[], None] = lambda: None,
    units: Units | None = None,
) -> TrainingState:
    """Take `steps` DP-SGD steps whose charge is already in the ledger.

    Args:
        x: (n, d) encoded records.
        labels: (n,).
        expected_batch_size: sampling rate times the public reference size, fractional; never the
            record count.
        key: the block's noise key.
        base: beneath the network; None: beneath a brought model there is none.
        units: whose rows they are; None: every record is its own unit.

    Guarantee:
        Each step is one Poisson-subsampled Gaussian mechanism with the given noise multiplier:
        the sample is drawn from cryptographic bits at the public rate, several (t, noise) draws
        are averaged inside a record's gradient before it is clipped once, and nothing else about
        the records (their number included) enters the update. Of a unit with several records each
        draw is of one of them: the unit is sampled, and has one gradient, clipped once.
    """
    network = architecture.with_weights(state.weights).to(device)
    module = RecordGradients(network)
    adam = torch.optim.Adam(trained(network).values(), lr=settings.learning_rate)
    _load_adam(adam, network, state, device)
    optimizer = PublicRateOptimizer(
        adam,
        noise_multiplier=noise_multiplier,
        clip=settings.clip,
        expected_batch_size=expected_batch_size,
    )
    stream, task = Keystream(key), architecture.task(base)
    optimizer.use(stream)
    average, count = state.average, len(x) if units is None else units.count
    for step in range(state.step + 1, state.step + steps + 1):
        chosen = stream.bernoulli(count, settings.sampling_rate)
        _set_rate(adam, settings, step)
        rows = drawn_rows(units, chosen, settings.draws, stream)
        pieces = task.pieces(x, labels, rows, stream, at_once=network.rows_at_once)
        for piece, last in pieces:
            optimizer.zero_grad(set_to_none=True)  # keeps the sum of the batch's earlier pieces
            if len(piece):
                module.backward(task.losses(module, piece, device))
            else:
                for parameter in trained(network).values():
                    nothing = torch.zeros((0, *parameter.shape), device=device)
                    setattr(parameter, "grad_sample", nothing)  # noqa: B010  (of Opacus)
            optimizer.signal_skip_step(not last)
            optimizer.step()
        # Post-processing of the noisy steps, as all that follows.
        average = averaged(average, network, min(settings.ema, step / (step + 10.0)))
        on_step()
    module.remove_hooks()
    first, second = _adam_moments(adam, network)
    after = replace(state, step=state.step + steps, weights=weights_of(network), average=average)
    return replace(after, first=first, second=second)


def _set_rate(adam: torch.optim.Adam, settings: TrainSettings, step: int) -> None:
    """Let the rate fall evenly, from the first of all steps to `last_rate` of it at the last."""
    done = min(1.0, (step - 1) / max(1, settings.steps - 1))
    for group in adam.param_groups:
        group["lr"] = settings.learning_rate * (1.0 - done * (1.0 - settings.last_rate))


def _load_adam(
    adam: torch.optim.Adam, network: Network, state: TrainingState, device: torch.device
) -> None:
    if state.step == 0:
        return
    for name, parameter in trained(network).items():
        adam.state[parameter] = {
            "step": torch.tensor(float(state.step)),
            "exp_avg": torch.from_numpy(state.first[name]).clone().to(device),
            "exp_avg_sq": torch.from_numpy(state.second[name]).clone().to(device),
        }


def _adam_moments(adam: torch.optim.Adam, network: Network) -> tuple[Arrays, Arrays]:
    states = {name: adam.state[parameter] for name, parameter in trained(network).items()}
    first = {name: s["exp_avg"].cpu().numpy().copy() for name, s in states.items()}
    second = {name: s["exp_avg_sq"].cpu().numpy().copy() for name, s in states.items()}
    return first, second
