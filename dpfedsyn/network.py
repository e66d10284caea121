"""The silo's denoiser: an analytic base plus a network for what the base leaves.

D(x; t, y) = D_base(x; t, y) + fade(t) c_out(t) F(D_base(x; t, y), c_in(t) x, t, y), preconditioned
as in EDM (Karras et al. 2022, section 5): a network of zeros *is* the base. All factors are public
functions of t. Where noise hides all but the mean and the covariance the base cannot be beaten, so
that the network fades out there.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpfedsyn.base import Base
from dpfedsyn.noise import Keystream
from dpfedsyn.parameters import TIME_FEATURES
from dpfedsyn.settings import NetworkSettings


class Network(nn.Module, ABC):
    """F: maps features (..., 2 d + 2 * TIME_FEATURES + classes) to residuals (..., d).

    Attributes:
        rows_at_once: how many rows one pass may take; bounds memory, changes no result.
    """

    rows_at_once: int

    @abstractmethod
    def draw(self, stream: Keystream) -> None:
        """Set the initial weights from the stream; the output stays zero."""


def trained(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name; the others keep their values."""
    named = network.named_parameters()
    return {name: parameter for name, parameter in named if parameter.requires_grad}


class ResidualNetwork(Network):
    """One wide hidden layer on all features but the base's guess; the output starts at zero."""

    rows_at_once = 8192

    def __init__(self, dimension: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dimension + 2 * TIME_FEATURES + classes, hidden)
        self.output = nn.Linear(hidden, dimension)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def draw(self, stream: Keystream) -> None:
        """Set the hidden layer from the stream; see `initialise`."""
        initialise(self, stream.normal((len(self.hidden.bias), self.hidden.in_features + 1)))

    def forward(self, features: Tensor) -> Tensor:
        """Map features (..., 2 d + 2 * TIME_FEATURES + classes) to residuals (..., d)."""
        seen = features[..., self.output.out_features :]
        residual: Tensor = self.output(torch.nn.functional.silu(self.hidden(seen)))
        return residual


class NoNetwork(Network):
    """Zero everywhere, without a parameter."""

    rows_at_once = 2**20

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def draw(self, stream: Keystream) -> None:
        """Draw nothing."""

    def forward(self, features: Tensor) -> Tensor:
        """Map features (..., n) to zeros (..., d)."""
        return features.new_zeros((*features.shape[:-1], self.dimension))


def initialise(network: ResidualNetwork, words: NDArray[np.float64]) -> None:
    """Set the hidden layer from N(0, 1) draws (hidden, inputs + 1), scaled by 1 / sqrt(inputs)."""
    with torch.no_grad():
        inputs = network.hidden.in_features
        network.hidden.weight.copy_(torch.from_numpy(words[:, :-1] / math.sqrt(inputs)))
        network.hidden.bias.copy_(torch.from_numpy(words[:, -1]))


def features(
    guess: Tensor, x: Tensor, signal: Tensor, labels: Tensor, classes: int, data_std: float
) -> Tensor:
    """Return the network's input (..., 2 d + 2 * TIME_FEATURES + classes).

    Args:
        guess: (..., d) of the base. x: (..., d) noisy samples. signal: (..., 1) abar_t.
        labels: (...) integers.
    """
    scaled = x / torch.sqrt(signal * data_std**2 + 1.0 - signal)
    log_snr = 0.25 * torch.log(signal / (1.0 - signal))
    frequencies = torch.arange(1, TIME_FEATURES + 1, device=x.device) * (math.pi / 8.0)
    angles = log_snr * frequencies
    time = torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1).expand(*x.shape[:-1], -1)
    one_hot = torch.nn.functional.one_hot(labels, classes).to(x.dtype)
    return torch.cat([guess / data_std, scaled, time, one_hot], dim=-1)


def residual_scale(signal: Tensor, data_std: float) -> Tensor:
    """Return c_out(t): the std of x_0 given x_t for data of std `data_std` (EDM, table 1)."""
    noise = (1.0 - signal) / signal
    return data_std * torch.sqrt(noise / (noise + data_std**2))


def fade(signal: float, highest_noise: float) -> float:
    """Return how much of the residual counts at abar_t = signal: 1 in most of training's range.

    From half of `highest_noise`, sqrt((1 - abar) / abar) of the noisiest sample that the network is
    trained on, it falls to 0 there, evenly in the logarithm; beyond, the base is alone.
    """
    noise = math.sqrt((1.0 - signal) / signal)
    return min(1.0, max(0.0, math.log2(highest_noise / noise)))


class Denoiser:
    """Base and network together, as one function from (x, t, y) to the predicted noise."""

    def __init__(
        self,
        base: Base,
        network: Network,
        settings: NetworkSettings,
        device: torch.device,
    ) -> None:
        self.base = base
        self.network = network.to(device)
        self.settings = settings
        self.device = device

    @property
    def parameters(self) -> int:
        """dim(theta): how many numbers parameter averaging would send."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def denoise(
        self, x: NDArray[np.float64], signal: float, labels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the predicted clean samples, shape (N, d), for noisy x (N, d) at abar_t."""
        clean: NDArray[np.float64] = np.array(
            self.base.denoise(np.asarray(x, dtype=np.float64), signal, labels)
        )
        counting, size = fade(signal, self.settings.highest_noise), self.network.rows_at_once
        for start in range(0, len(x) if counting else 0, size):
            piece = slice(start, start + size)
            clean[piece] += counting * self._residual(clean[piece], x[piece], signal, labels[piece])
        return clean

    def _residual(
        self,
        guess: NDArray[np.float64],
        x: NDArray[np.float64],
        signal: float,
        labels: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        with torch.inference_mode():
            start, noisy = (
                torch.as_tensor(rows, dtype=torch.float32, device=self.device)
                for rows in (guess, x)
            )
            level = torch.full((1, 1), signal, dtype=torch.float32, device=self.device)
            target = torch.as_tensor(labels, device=self.device)
            classes, data_std = len(self.base.means), self.settings.data_std
            inputs = features(start, noisy, level, target, classes, data_std)
            residual = residual_scale(level, data_std) * self.network(inputs)
        scaled: NDArray[np.float64] = residual.cpu().numpy().astype(np.float64)
        return scaled

    def predict_noise(
        self, x: NDArray[np.float64], signal: float, labels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the predicted noise (x - sqrt(a) D(x)) / sqrt(1 - a), shape (N, d)."""
        clean = self.denoise(x, signal, labels)
        noise: NDArray[np.float64] = (x - math.sqrt(signal) * clean) / math.sqrt(1.0 - signal)
        return noise


def base_alone(model: Denoiser) -> Denoiser:
    """Return the analytic base alone: the same denoiser with nothing for a network."""
    nothing = NoNetwork(model.base.means.shape[1])
    return Denoiser(model.base, nothing, model.settings, model.device)
