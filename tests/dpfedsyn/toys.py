"""Toys with exact answers: Gaussian silos, whose noise predictions and log-densities are known."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import sampler, weights
from dpfedsyn.diffusion import Kernel
from dpfedsyn.round_settings import SamplerSettings
from dpfedsyn.sampler import ChainState, RoundAnswers, StepInfo

Array = NDArray[np.float64]
AnswerNoise = Callable[[Kernel], float]


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Silo i holds N(m_i, s_i^2 I); the target is sum_i w_i N(m_i, s_i^2 I)."""

    means: Array  # (K, d)
    stds: Array  # (K,)
    weights: Array  # (K,)

    def variances(self, signal: float) -> Array:
        """Variance per silo of the noised law at abar_t = signal."""
        return signal * self.stds**2 + 1.0 - signal

    def centred(self, x: Array, signal: float) -> Array:
        """x less each silo's noised mean, (K, N, d)."""
        return x[None] - math.sqrt(signal) * self.means[:, None]

    def noise(self, x: Array, signal: float) -> Array:
        """The exact noise predictions E[noise | x_t = x] = sqrt(1 - a) (x - sqrt(a) m) / v."""
        factor = math.sqrt(1.0 - signal) / self.variances(signal)
        return factor[:, None, None] * self.centred(x, signal)

    def energies(self, x: Array, signal: float) -> Array:
        """-log p_i(x) of the noised laws, up to one common constant, (K, N)."""
        v = self.variances(signal)[:, None]
        squares = (self.centred(x, signal) ** 2).sum(axis=2)
        return squares / (2.0 * v) + 0.5 * x.shape[1] * np.log(v)

    def log_density(self, x: Array, signal: float) -> Array:
        """log p(x) of the noised mixture, (N,)."""
        logs = np.log(self.weights)[:, None] - self.energies(x, signal)
        constant = 0.5 * x.shape[1] * math.log(2.0 * math.pi)
        top = logs.max(axis=0)
        return np.log(np.exp(logs - top).sum(axis=0)) + top - constant

    def shares(self, x: Array) -> Array:
        """Which share of clean samples belongs most likely to each silo, (K,)."""
        logs = np.log(self.weights)[:, None] - self.energies(x, 1.0 - 1e-12)
        return np.bincount(logs.argmax(axis=0), minlength=len(self.weights)) / len(x)


def three_silos() -> Gaussians:
    """d = 8, unequal widths, mixing weights .60 / .30 / .10; the modes lie far apart."""
    rng = np.random.default_rng(0)
    means = 1.5 * rng.standard_normal((3, 8))
    return Gaussians(means, np.array([0.15, 0.5, 0.9]), np.array([0.6, 0.3, 0.1]))


def walk(
    silos: Gaussians,
    kernels: tuple[Kernel, ...],
    settings: SamplerSettings,
    *,
    rows: int,
    seed: int,
    answer_std: AnswerNoise = lambda kernel: 0.0,
    begin: Array | None = None,
) -> Iterator[tuple[ChainState, StepInfo]]:
    """Yield the state after each of the product's own steps on the toy's exact answers.

    `released` energies are the exact -log p_i(x): the step is then ULA on the exact mixture.
    """
    rng = np.random.default_rng(seed)
    count, dimension = silos.means.shape
    labels = np.zeros(rows, dtype=np.int64)
    state = sampler.start(rows, dimension, count, labels, rng)
    anchor = weights.draw_silos(silos.weights[:, None], labels, rng)
    x = state.x if begin is None else begin.astype(np.float32)
    state = replace(state, x=x, silo=anchor)
    prior = np.repeat(silos.weights[:, None], rows, axis=1)
    for kernel in kernels:
        position = state.x.astype(np.float64)
        noise, std = silos.noise(position, kernel.signal), answer_std(kernel)
        if std > 0.0:
            noise = noise + std * rng.standard_normal(noise.shape)
        exact = silos.energies(position, kernel.signal) if settings.energy == "released" else None
        answers = RoundAnswers(noise, exact, np.full(count, std))
        state, info = sampler.step(state, answers, kernel, prior, settings, rng)
        yield state, info


def finish(steps: Iterator[tuple[ChainState, StepInfo]]) -> ChainState:
    """Return the last state."""
    *_, (state, _) = steps
    return state


def mean_responsibilities(silos: Gaussians, state: ChainState) -> Array:
    """Mean over the rows of softmax_i(log w_i - F_i), (K,)."""
    logits = np.log(silos.weights)[:, None] - state.path
    return sampler.softmax(logits).mean(axis=1)
