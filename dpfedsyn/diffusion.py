"""The forward process, and the two kernels by which the server moves a sample back.

x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise,  abar_t = prod_{s <= t} (1 - beta_s)

Every kernel that the server uses is affine in the predicted noise,
x' ~ N(scale * x - gain * noise - memory * clean, variance), which is what path energies and noise
absorption need; `clean` is the clean sample that the round before predicted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

TRAINING_STEPS = 1000
BETA_FIRST, BETA_LAST = 1e-4, 0.02
RECORD_STD = 0.5  # public, encoded units; at .5 to 1 rows come out right within a tenth


@cache
def signal_shares() -> tuple[float, ...]:
    """Return abar_t for t = 0 ... T - 1: the share of variance that is signal (Ho et al. 2020)."""
    betas = np.linspace(BETA_FIRST, BETA_LAST, TRAINING_STEPS)
    return tuple(float(share) for share in np.cumprod(1.0 - betas))


def response(signal: float, std: float) -> float:
    """Return k where the best prediction of the noise is k x, for data N(0, std^2) per coordinate:
    k = sqrt(1 - abar) / (abar std^2 + 1 - abar)."""
    return math.sqrt(1.0 - signal) / (signal * std**2 + 1.0 - signal)


def levels(count: int, spacing: float = 1.0) -> tuple[int, ...]:
    """Return `count` time steps from the noisiest to the cleanest, near (T - 1) u^spacing for
    evenly spread u: a spacing above 1 crowds them where there is little noise."""
    wanted = ((TRAINING_STEPS - 1) * np.linspace(1.0, 0.0, count) ** spacing).round()
    times: list[int] = []
    for t in wanted[::-1]:  # from the cleanest: where they crowd, each is at least the next step
        times.append(max(int(t), times[-1] + 1) if times else int(t))
    return tuple(times[::-1])


def drawn_levels(
    rows: NDArray[np.int64], words: NDArray[np.uint64], levels: int, at_once: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], bool]]:
    """Draw a level evenly for every draw (B, M); yield (rows, levels, whether they are the last).

    Whole units at a time, about `at_once` draws; without units one piece without units.

    Args:
        rows: (B, M), the row that each draw is of.
        words: B M random words of 64 bits.
    """
    count, draws = rows.shape
    t = (words % np.uint64(levels)).astype(np.int64).reshape(count, draws)
    size = max(1, at_once // max(draws, 1))
    for start in range(0, max(count, 1), size):
        piece = slice(start, start + size)
        yield rows[piece], t[piece], piece.stop >= count


@dataclass(frozen=True)
class Kernel:
    """One step of the sampler at time t.

    x' ~ N(scale * x - gain * noise - memory * clean, variance)

    `clean` holds the noise of the answer before, which x holds too, the other way round. So some of
    x's variance is taken back: `cancelled` times the variance of that noise, exactly where records
    have the standard deviation `RECORD_STD`.
    """

    t: int
    signal: float  # abar_t
    scale: float
    gain: float
    variance: float
    memory: float = 0.0
    cancelled: float = 0.0

    def mean(
        self, x: NDArray[np.float64], noise: NDArray[np.float64], clean: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Return the kernel's mean for samples x (..., N, d), predicted noise of that shape, and
        the clean samples (N, d) that the round before predicted."""
        mean: NDArray[np.float64] = self.scale * x - self.gain * noise
        return mean - self.memory * clean if self.memory else mean

    def injected(
        self, heard: NDArray[np.float64], before: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the variance less what the answer's own noise brings, and what this step takes
        back of the noise before.

        Args:
            heard: (N,) variance of the noise in this answer.
            before: `absorbed` of the last one.
        """
        missing = self.variance - self.gain**2 * heard + self.cancelled * before
        return np.maximum(missing, 0.0)

    def absorbed(self, heard: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how much of an answer's noise (N,) took the place of the step's own."""
        return np.minimum(heard, self.variance / self.gain**2)

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


def reverse_kernels(
    count: int, *, spacing: float = 1.0, eta: float = 1.0, order: int = 1
) -> tuple[Kernel, ...]:
    """Return `count` reverse-diffusion steps; the last one returns the predicted clean sample.

    With sigma = sqrt((1 - abar) / abar), primes for the next level, and D the predicted clean
    sample, a step is (Song et al. 2021, "Denoising Diffusion Implicit Models", equation 12)

        x' / sqrt(abar') = D + keep * (x / sqrt(abar) - D) + s z,
        s = eta * sigma' sqrt(1 - (sigma' / sigma)^2),  keep = sqrt(sigma'^2 - s^2) / sigma.

    Args:
        eta: 1 is the ancestral step of DDPM (Ho et al. 2020, equation 7), 0 the deterministic one
            of DDIM.
        spacing: see `levels`.
        order: 2 extrapolates D from the last two rounds, D + (D - D_before) h / (2 h_before) with h
            = log(sigma / sigma'), as DPM-Solver++(2M) and its SDE do (Lu et al. 2022). The first
            step and the last are of order 1.
    """
    times = levels(count, spacing)
    # Beyond the cleanest level lies the clean sample itself, abar = 1.
    signals = (*(signal_shares()[t] for t in times), 1.0)
    kernels: list[Kernel] = []
    before, held = math.inf, 0.0
    for t, (signal, cleaner) in zip(times, pairwise(signals), strict=True):
        sigma, after = (math.sqrt(1.0 / share - 1.0) for share in (signal, cleaner))
        variance = (eta * after) ** 2 * (1.0 - (after / sigma) ** 2)
        keep = math.sqrt(max(after**2 - variance, 0.0)) / sigma
        h = math.log(sigma / after) if after else 0.0
        ahead = h / (2.0 * before) if order == 2 else 0.0
        before = h
        of_clean = (1.0 - keep) * (1.0 + ahead)
        scale = math.sqrt(cleaner / signal) * (keep + of_clean)
        gain = math.sqrt(cleaner) * of_clean * sigma
        memory = math.sqrt(cleaner) * (1.0 - keep) * ahead
        # Of one unit of noise in the answer before, x holds -`held` and its clean sample -`seen`.
        last = kernels[-1].signal if kernels else 1.0
        seen = math.sqrt(1.0 / last - 1.0) * memory
        through = held * (scale - gain * response(signal, RECORD_STD))
        cancelled = through**2 - (through - seen) ** 2
        held = gain
        kernels.append(Kernel(t, signal, scale, gain, cleaner * variance, memory, cancelled))
    return tuple(kernels)
