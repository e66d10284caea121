"""The training loss of a silo's network: denoise what the base leaves, averaged per record."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpfedsyn.base import Base
from dpfedsyn.diffusion import signal_shares
from dpfedsyn.network import Network, features, residual_scale
from dpfedsyn.noise import Keystream
from dpfedsyn.settings import NetworkSettings
from dpfedsyn.units import Units


@dataclass(frozen=True)
class NoisedBatch:
    """M draws of each of B units: x_t (B, M, d), abar (B, M, 1), D_base, x_0 - D_base, labels.

    A unit is a record, or a person with several.
    """

    noisy: Tensor
    signal: Tensor
    guess: Tensor
    residual: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def pieces(self, rows: int) -> Iterator[tuple[NoisedBatch, bool]]:
        """Yield (piece, whether it is the last): whole records, about `rows` rows of draws each.

        A batch without records is one piece without records.
        """
        count, draws = self.labels.shape
        size = max(1, rows // draws)
        for start in range(0, max(count, 1), size):
            parts = (self.noisy, self.signal, self.guess, self.residual, self.labels)
            cut = (part[start : start + size] for part in parts)
            yield NoisedBatch(*cut), start + size >= count


@dataclass(frozen=True, eq=False)
class Residuals:
    """The task of a silo's own network: what the base leaves, in units of its spread."""

    base: Base
    settings: NetworkSettings

    def noised(
        self,
        x: NDArray[np.float64],
        labels: NDArray[np.int64],
        rows: NDArray[np.int64],
        stream: Keystream,
    ) -> NoisedBatch:
        """Noise the rows of x at these places: see `noised_draws`."""
        return noised_draws(x, labels, rows, self.base, stream, self.settings.highest_noise)

    def losses(
        self, network: Callable[[Tensor], Tensor], batch: NoisedBatch, device: torch.device
    ) -> Tensor:
        """Return each record's loss: see `record_losses`."""
        return record_losses(network, batch, self.settings, len(self.base.means), device)


def noised(
    x: NDArray[np.float64],
    labels: NDArray[np.int64],
    base: Base,
    draws: int,
    stream: Keystream,
    highest_noise: float = math.inf,
) -> NoisedBatch:
    """Noise every record of x (B, d) with labels (B,) `draws` times: see `noised_draws`."""
    rows = np.repeat(np.arange(len(x))[:, None], draws, axis=1)
    return noised_draws(x, labels, rows, base, stream, highest_noise)


def drawn_rows(
    units: Units | None, chosen: NDArray[np.bool_], draws: int, stream: Keystream
) -> NDArray[np.int64]:
    """Return positions (B, M): the row of each of M draws of every chosen unit.

    Args:
        chosen: (count of units,). units: None: every row is its own, and is drawn M times.
    """
    if units is None:
        return np.repeat(np.flatnonzero(chosen)[:, None], draws, axis=1)
    count = int(np.count_nonzero(chosen))
    return units.picked(chosen, stream.words(count * draws).reshape(count, draws))


def noised_draws(
    x: NDArray[np.float64],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    base: Base,
    stream: Keystream,
    highest_noise: float = math.inf,
) -> NoisedBatch:
    """Noise rows of x (n, d), one at each place of `rows` (B, M), and take off the base's guess.

    At uniform t among those whose noise sqrt((1 - abar) / abar) is at most `highest_noise`.
    """
    (count, draws), dimension = rows.shape, x.shape[1]
    signals = np.asarray(signal_shares())
    steps = np.count_nonzero(1.0 - signals <= highest_noise**2 * signals)
    t = (stream.words(count * draws) % np.uint64(steps)).astype(np.int64)
    signal = signals[t][:, None]
    clean, own = x[rows.ravel()], labels[rows.ravel()]
    noise = stream.normal(clean.shape)
    noisy = np.sqrt(signal) * clean + np.sqrt(1.0 - signal) * noise
    guess = base.denoise(noisy, signal, own)

    def shaped(array: NDArray[np.float64], width: int) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).reshape(count, draws, width)

    return NoisedBatch(
        shaped(noisy, dimension),
        shaped(signal, 1),
        shaped(guess, dimension),
        shaped(clean - guess, dimension),
        torch.from_numpy(own).reshape(count, draws),
    )


def descend(
    network: Network,
    adam: torch.optim.Optimizer,
    batch: NoisedBatch,
    settings: NetworkSettings,
    classes: int,
    device: torch.device,
) -> None:
    """Take one step down the mean loss of a batch, a piece at a time, without clipping or noise."""
    adam.zero_grad()
    for piece, _ in batch.pieces(network.rows_at_once):
        losses = record_losses(network, piece, settings, classes, device)
        torch.autograd.backward(losses.sum() / len(batch.labels))
    adam.step()


def record_losses(
    network: Callable[[Tensor], Tensor],
    batch: NoisedBatch,
    settings: NetworkSettings,
    classes: int,
    device: torch.device,
) -> Tensor:
    """Loss (3) of the paper in EDM's weighting, averaged over a record's draws: shape (B,)."""
    signal = batch.signal.to(device)
    guess, noisy, labels = (part.to(device) for part in (batch.guess, batch.noisy, batch.labels))
    inputs = features(guess, noisy, signal, labels, classes, settings.data_std)
    # Opacus hooks into the backward pass of the first layer, whose input must take part in it.
    inputs.requires_grad_(True)
    target = batch.residual.to(device) / residual_scale(signal, settings.data_std)
    losses: Tensor = (network(inputs) - target).square().mean(dim=(1, 2))
    return losses
