"""The forward process, and the two kernels by which the server moves a sample back.

x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise,  abar_t = prod_{s <= t} (1 - beta_s)

Every kernel that the server uses is affine in the predicted noise,
x' ~ N(scale * x - gain * noise, variance), which is what path energies and noise absorption need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

TRAINING_STEPS = 1000
BETA_FIRST, BETA_LAST = 1e-4, 0.02


@cache
def signal_shares() -> tuple[float, ...]:
    """Return abar_t for t = 0 ... T - 1: the share of variance that is signal (Ho et al. 2020)."""
    betas = np.linspace(BETA_FIRST, BETA_LAST, TRAINING_STEPS)
    return tuple(float(share) for share in np.cumprod(1.0 - betas))


def levels(count: int) -> tuple[int, ...]:
    """Return `count` time steps from the noisiest to the cleanest, evenly spread."""
    spread = np.linspace(TRAINING_STEPS - 1, 0, count).round().astype(int)
    return tuple(int(t) for t in dict.fromkeys(spread))


@dataclass(frozen=True)
class Kernel:
    """One step of the sampler at time t: x' ~ N(scale * x - gain * noise, variance)."""

    t: int
    signal: float  # abar_t
    scale: float
    gain: float
    variance: float

    def mean(self, x: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the kernel's mean for samples x (..., N, d) and predicted noise of that shape."""
        return self.scale * x - self.gain * noise

    @property
    def tolerance(self) -> float:
        """Answer noise (std per coordinate) that a one-hot mixture absorbs exactly at this step."""
        return math.sqrt(self.variance) / self.gain


def ula_kernels(
    count: int, per_level: int, *, step: float, power: float, score_scale: float
) -> tuple[Kernel, ...]:
    """Return the unadjusted Langevin steps, `per_level` at each of `count` annealed levels.

    x' = x + eta grad log p(x) + sqrt(2 eta) z with eta = step * (1 - abar)^power <= 1/2 and
    grad log p = -(score_scale / sqrt(1 - abar)) * noise: equations (8) and (11), Lemma 4.4.
    """
    kernels = []
    for t in levels(count):
        signal = signal_shares()[t]
        eta = min(0.5, step * (1.0 - signal) ** power)
        gain = eta * score_scale / math.sqrt(1.0 - signal)
        kernels += [Kernel(t, signal, 1.0, gain, 2.0 * eta)] * per_level
    return tuple(kernels)


def ancestral_kernels(count: int) -> tuple[Kernel, ...]:
    """Return the `count` reverse-diffusion steps over evenly spread levels (Ho et al. 2020, eq. 7).

    Between neighbouring levels alpha = abar_t / abar_next; the last step has no variance and
    returns the predicted clean sample.
    """
    kernels = []
    times = levels(count)
    # Beyond the cleanest level lies the clean sample itself, abar = 1.
    signals = (*(signal_shares()[t] for t in times), 1.0)
    for t, (signal, cleaner) in zip(times, pairwise(signals), strict=True):
        alpha = signal / cleaner
        gain = (1.0 - alpha) / math.sqrt((1.0 - signal) * alpha)
        variance = (1.0 - alpha) * (1.0 - cleaner) / (1.0 - signal)
        kernels.append(Kernel(t, signal, 1.0 / math.sqrt(alpha), gain, variance))
    return tuple(kernels)
