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
from dpfedsyn.diffusion import drawn_levels, signal_shares
from dpfedsyn.network import Network, features, residual_scale
from dpfedsyn.noise import Keystream
from dpfedsyn.settings import NetworkSettings
from dpfedsyn.units import Rows, Units


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


@dataclass(frozen=True, eq=False)
class Residuals:
    """The task of a silo's own network: what the base leaves, in units of its spread."""

    base: Base
    settings: NetworkSettings

    def pieces(
        self,
        x: Rows,
        labels: NDArray[np.int64],
        rows: NDArray[np.int64],
        stream: Keystream,
        *,
        at_once: int,
    ) -> Iterator[tuple[NoisedBatch, bool]]:
        """Noise the rows of x at these places: see `noised_pieces`."""
        highest = self.settings.highest_noise
        return noised_pieces(x, labels, rows, self.base, stream, highest, at_once=at_once)

    def losses(
        self, network: Callable[[Tensor], Tensor], batch: NoisedBatch, device: torch.device
    ) -> Tensor:
        """Return each record's loss: see `record_losses`."""
        return record_losses(network, batch, self.settings, len(self.base.means), device)


def noised(
    x: Rows,
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
    x: Rows,
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    base: Base,
    stream: Keystream,
    highest_noise: float = math.inf,
) -> NoisedBatch:
    """Noise all draws of a batch at once: the one piece of `noised_pieces`."""
    ((batch, _),) = noised_pieces(
        x, labels, rows, base, stream, highest_noise, at_once=max(1, rows.size)
    )
    return batch


def noised_pieces(
    x: Rows,
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    base: Base,
    stream: Keystream,
    highest_noise: float = math.inf,
    *,
    at_once: int,
) -> Iterator[tuple[NoisedBatch, bool]]:
    """Noise rows of x (n, d), one at each place of `rows` (B, M), and take off the base's guess.

    At uniform t among those whose noise sqrt((1 - abar) / abar) is at most `highest_noise`. Yields
    (piece, whether it is the last), whole units each, about `at_once` draws: memory is that of one
    piece, however large the batch. All draw the same words of the stream, whatever the pieces. A
    batch without units is one piece without units.
    """
    signals = np.asarray(signal_shares())
    levels = int(np.count_nonzero(1.0 - signals <= highest_noise**2 * signals))
    for own, t, last in drawn_levels(rows, stream.words(rows.size), levels, at_once):
        yield _noised(x, labels, own, signals[t], base, stream), last


def _noised(
    x: Rows,
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    signals: NDArray[np.float64],
    base: Base,
    stream: Keystream,
) -> NoisedBatch:
    """Noise the rows at these places (B, M), each at its own abar (B, M)."""
    (count, draws), dimension = rows.shape, x.shape[1]
    signal = signals.reshape(-1, 1)
    clean, own = x[rows.ravel()].astype(np.float64), labels[rows.ravel()]
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
    pieces: Iterator[tuple[NoisedBatch, bool]],
    count: int,
    settings: NetworkSettings,
    classes: int,
    device: torch.device,
) -> None:
    """Take one step down the mean loss of a batch, without clipping or noise.

    Args:
        pieces: of `noised_pieces`. count: units in the batch.
    """
    adam.zero_grad()
    for piece, _ in pieces:
        losses = record_losses(network, piece, settings, classes, device)
        torch.autograd.backward(losses.sum() / count)
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
