"""What a sampler makes of the answers' noise: how much it absorbs, and how wide its rows become.

The server injects only what the silos' noise has not brought already. So noise within a step's own
variance changes nothing of that step, given its weights, and noise beyond it widens every row.
Whether the whole chain is unchanged depends on the weights: see `dpfedsyn.sampler`. Public settings
alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dpfedsyn import schedule
from dpfedsyn.diffusion import response
from dpfedsyn.round_settings import AnswersSettings, SamplerSettings
from dpfedsyn.schedule import AnswerNoise
from dpfedsyn.settings import Config

MOST_SPREAD = 1.25  # and its inverse: a sampler with fewer rounds than that does not hold


def concentration(config: Config) -> float:
    """Return the largest sum of w_i^2 that a step may have: the noise of a mixture is that times
    a silo's.

    1, a single silo, but where the weights are public and alike for every row: averaged answers.
    """
    sampler = config.sampler
    if sampler.step != "blend" or sampler.energy != "uniform":
        return 1.0
    if sampler.prior == "uniform":
        return 1.0 / len(config.silos)
    if config.weights.source != "public":
        return 1.0
    total = math.fsum(silo.weight for silo in config.silos)
    return math.fsum((silo.weight / total) ** 2 for silo in config.silos)


def excess(
    settings: SamplerSettings,
    answers: AnswersSettings,
    *,
    mu: float,
    rows: int,
    concentration: float,
) -> float:
    """Return the answers' noise (std) in units of what the sampler tolerates; the same every round.

    It grows as sqrt(rows) / mu: up to 1 all of it is absorbed, or small in the finished row.
    """
    noise = schedule.calibrate(settings, answers, mu=mu, rows=rows)
    stds = zip(noise, schedule.kernels(settings), strict=True)
    each = (n.score_std / schedule.tolerance(kernel, settings) for n, kernel in stds)
    return math.sqrt(concentration) * max(each)


def absorbed(
    settings: SamplerSettings, noise: Sequence[AnswerNoise], concentration: float
) -> float:
    """Return the share of the answers' noise (variance, mean over the rounds) that is absorbed."""
    shares = []
    for kernel, answer in zip(schedule.kernels(settings), noise, strict=True):
        brought = concentration * (kernel.gain * answer.score_std) ** 2
        shares.append(min(1.0, kernel.variance / brought))
    return math.fsum(shares) / len(shares)


def spread(
    settings: SamplerSettings,
    noise: Sequence[AnswerNoise] | None,
    *,
    data_std: float,
    concentration: float,
) -> float:
    """Return how wide finished rows are, over how wide they should be (1: right).

    Exact for Gaussian data of std `data_std` per coordinate, whose perfect denoiser is linear: the
    noise that it predicts is k x with k = sqrt(1 - abar) / (abar data_std^2 + 1 - abar), so the
    covariance of a row and its last clean estimate follows a linear recursion from (1, 0). Without
    `noise`: what few rounds alone do.
    """
    covariance, before = np.diag([1.0, 0.0]), np.zeros(1)
    for place, kernel in enumerate(schedule.kernels(settings)):
        answered = 0.0 if noise is None else concentration * noise[place].score_std ** 2
        k = response(kernel.signal, data_std)
        noisy, clean = math.sqrt(1.0 - kernel.signal), math.sqrt(kernel.signal)
        moved = np.array(
            [
                [kernel.scale - kernel.gain * k, -kernel.memory],
                [(1.0 - noisy * k) / clean, 0.0],
            ]
        )
        brought = np.array([kernel.gain, noisy / clean])
        covariance = moved @ covariance @ moved.T + answered * np.outer(brought, brought)
        heard = np.full(1, answered)
        covariance[0, 0] += kernel.injected(heard, before)[0]
        before = kernel.absorbed(heard)
    return math.sqrt(covariance[0, 0]) / data_std
