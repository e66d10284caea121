"""What the collaboration has to beat: each silo alone, the union of local generators, the base.

Everything here is post-processing of models and noisy counts inside the federation; no record is
read. Local generation needs no answer noise, because nothing of it leaves the silo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import sampler, schedule
from dpfedsyn.round_settings import PRESETS
from dpfedsyn.silo import Model

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MeanModel:
    """The mean prediction of an ensemble's members; of a single model, that model."""

    members: Sequence[Model]

    def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
        """Return the mean of the members' predicted noise, shape (N, d)."""
        predictions = [member.predict_noise(x, signal, labels) for member in self.members]
        mean: Array = np.mean(predictions, axis=0)
        return mean


def local_samples(
    model: Model, labels: NDArray[np.int64], dimension: int, rng: np.random.Generator
) -> Array:
    """Return one silo's own samples (N, d) for labels (N,), by the steps of preset `best`."""
    x = rng.standard_normal((len(labels), dimension))
    clean: NDArray[np.floating] = np.zeros_like(x)
    for kernel in schedule.kernels(PRESETS["best"]):
        noise = model.predict_noise(x, kernel.signal, labels)
        mean = kernel.mean(x, noise, clean)
        clean = sampler.clean_estimate(x, noise, kernel.signal)
        x = mean + np.sqrt(kernel.variance) * rng.standard_normal(x.shape)
    return x


def union(
    models: Mapping[str, Model],
    silo: NDArray[np.int64],
    labels: NDArray[np.int64],
    dimension: int,
    rng: np.random.Generator,
) -> Array:
    """Return the union baseline: row n comes from silo silo[n]'s own generator (N, d)."""
    x = np.zeros((len(labels), dimension))
    for k, model in enumerate(models.values()):
        rows = silo == k
        if rows.any():
            x[rows] = local_samples(model, labels[rows], dimension, rng)
    return x


def denoising_error(
    model: Model, x: Array, labels: NDArray[np.int64], signal: float, noise: Array
) -> float:
    """Return the mean squared error per coordinate of x (N, d), noised to abar_t and denoised."""
    noisy = np.sqrt(signal) * x + np.sqrt(1.0 - signal) * noise
    predicted = model.predict_noise(noisy, signal, labels)
    clean = (noisy - np.sqrt(1.0 - signal) * predicted) / np.sqrt(signal)
    return float(((clean - x) ** 2).mean())
