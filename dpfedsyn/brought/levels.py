"""A brought model's own noise levels, and which of them a query's level is.

Models are trained on the process of `dpfedsyn.diffusion` with betas of their own: at step t a
sample is sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise. Betas are computed as `diffusers` does, in
float32, so that a model's own abar_t come out to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpfedsyn.errors import ModelError

KEYS = (
    *("prediction_type", "num_train_timesteps", "beta_schedule", "beta_start", "beta_end"),
    *("trained_betas", "rescale_betas_zero_snr"),
)
PREDICTIONS = ("epsilon", "v_prediction", "sample")
MOST_STEPS = 100_000
_LOWEST, _HIGHEST = 1e-300, 1.0 - 2.0**-53  # beyond every abar_t of float32


@dataclass(frozen=True, eq=False)
class Levels:
    """The levels that a model knows.

    Args:
        shares: (T,) float32 abar_t, falling. prediction: one of `PREDICTIONS`, what it returns.
    """

    shares: Tensor
    prediction: str

    @cached_property
    def _log_snr(self) -> NDArray[np.float64]:
        shares = self.shares.numpy().astype(np.float64)
        with np.errstate(divide="ignore"):
            found: NDArray[np.float64] = np.log(shares) - np.log1p(-shares)
        return found

    def nearest(self, signal: float) -> int:
        """Return the step t whose abar_t is nearest to a level, by log signal-to-noise ratio.

        The step itself where the model has that very level. Beyond the model's range it is the
        first or the last step, at levels that are all signal or all noise too.
        """
        signal = min(max(signal, _LOWEST), _HIGHEST)
        wanted = math.log(signal) - math.log1p(-signal)
        return int(np.abs(self._log_snr - wanted).argmin())

    def noise(self, predicted: Tensor, sample: Tensor, t: int) -> Tensor:
        """Return the noise in a sample (N, ...) that the model's output at step t stands for.

        With a = abar_t: the output itself; sqrt(a) v + sqrt(1 - a) x of a velocity (Salimans and Ho
        2022); (x - sqrt(a) x_0) / sqrt(1 - a) of a clean sample. In the order of operations of
        `diffusers`' DDIM scheduler, whose bits these are.
        """
        share = self.shares[t].to(sample)
        if self.prediction == "epsilon":
            return predicted
        if self.prediction == "v_prediction":
            found: Tensor = (share**0.5) * predicted + ((1 - share) ** 0.5) * sample
        else:
            found = (sample - share**0.5 * predicted) / (1 - share) ** 0.5
        return found


def of_scheduler(content: Mapping[str, Any], where: str) -> Levels:
    """Return the levels of a scheduler's configuration, as `diffusers` writes it.

    Args:
        where: its file, for messages.

    Raises:
        ModelError: names the key, what it holds, and what is understood.
    """
    prediction = content.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise _unknown(where, "prediction_type", prediction, PREDICTIONS)
    steps = content.get("num_train_timesteps", 1000)
    if type(steps) is not int or not 1 <= steps <= MOST_STEPS:
        raise ModelError(
            f"{where}: num_train_timesteps = {steps!r}, so there is no schedule; nothing was "
            f"loaded. Give the whole number of steps that it was trained on, 1 to {MOST_STEPS}."
        )
    betas = _betas(content, steps, where)
    shares = torch.cumprod(1.0 - betas, dim=0)
    if content.get("rescale_betas_zero_snr", False):
        raise ModelError(
            f"{where}: rescale_betas_zero_snr = true: the last step has no signal, and no noise "
            "follows from a clean sample's prediction there; nothing was loaded. Bring a model "
            "trained without it."
        )
    if not (bool((shares > 0).all()) and bool((shares < 1).all())):
        raise ModelError(
            f"{where}: its betas make abar_t from {float(shares[0]):g} to {float(shares[-1]):g}, "
            "which must lie between 0 and 1; nothing was loaded. Give the betas that the model was "
            "trained with."
        )
    return Levels(shares, prediction)


def _betas(content: Mapping[str, Any], steps: int, where: str) -> Tensor:
    trained = content.get("trained_betas")
    if trained is not None:
        return _trained(trained, steps, where)
    kind = content.get("beta_schedule", "linear")
    if not isinstance(kind, str) or kind not in _SCHEDULES:
        raise _unknown(where, "beta_schedule", kind, (*_SCHEDULES, "trained_betas"))
    ends = [content.get(key, value) for key, value in (("beta_start", 1e-4), ("beta_end", 0.02))]
    if not all(isinstance(end, int | float) and 0.0 < end < 1.0 for end in ends):
        raise ModelError(
            f"{where}: beta_start = {ends[0]!r}, beta_end = {ends[1]!r}, so there is no schedule; "
            "nothing was loaded. Give two numbers between 0 and 1."
        )
    return _SCHEDULES[kind](float(ends[0]), float(ends[1]), steps)


def _trained(trained: Any, steps: int, where: str) -> Tensor:
    numbers = isinstance(trained, list) and all(
        isinstance(beta, int | float) and 0.0 < beta < 1.0 for beta in trained
    )
    if not numbers or len(trained) != steps:
        held = f"{len(trained)} values" if isinstance(trained, list) else type(trained).__name__
        raise ModelError(
            f"{where}: trained_betas holds {held}, but num_train_timesteps = {steps} betas between "
            "0 and 1 make a schedule; nothing was loaded. Give one beta per step."
        )
    return torch.tensor(trained, dtype=torch.float32)


def _linear(first: float, last: float, steps: int) -> Tensor:
    return torch.linspace(first, last, steps, dtype=torch.float32)


def _scaled_linear(first: float, last: float, steps: int) -> Tensor:
    return torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float32) ** 2


def _cosine(_first: float, _last: float, steps: int) -> Tensor:
    """The squared cosine of Nichol and Dhariwal (2021), betas at most 0.999."""

    def share(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - share((t + 1) / steps) / share(t / steps), 0.999) for t in range(steps)]
    return torch.tensor(betas, dtype=torch.float32)


_SCHEDULES: dict[str, Callable[[float, float, int], Tensor]] = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "squaredcos_cap_v2": _cosine,
}


def _unknown(where: str, key: str, value: object, known: tuple[str, ...]) -> ModelError:
    return ModelError(
        f"{where}: {key} = {value!r} is not understood, so what the model returns at which noise "
        f"is not known; nothing was loaded. Understood are {', '.join(known)}."
    )
