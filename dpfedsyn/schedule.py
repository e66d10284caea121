"""Calibrate the answers' noise: a cap on mu^2, shared out over rounds and over both outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpfedsyn.diffusion import Kernel, reverse_kernels, ula_kernels
from dpfedsyn.round_settings import AnswersSettings, SamplerSettings

# The last ancestral steps have little variance of their own and absorb next to nothing; there the
# clean sample may carry this much noise per coordinate (encoded units: two values lie 2 apart).
LAST_STEP_TOLERANCE = 0.05

# The filter rounds every cost up; the schedule leaves it that much room.
ROOM = 1.0 - 1e-9


@dataclass(frozen=True)
class AnswerNoise:
    """Noise of one round: per coordinate of a predicted noise vector, and per energy."""

    score_std: float
    energy_std: float | None


def kernels(settings: SamplerSettings) -> tuple[Kernel, ...]:
    """Return the sampler's steps, one query round each."""
    if settings.kernel == "ancestral":
        return reverse_kernels(
            settings.levels, spacing=settings.spacing, eta=settings.eta, order=settings.order
        )
    return ula_kernels(
        settings.levels,
        settings.steps_per_level,
        step=settings.step_size,
        power=settings.power,
        score_scale=settings.score_scale,
    )


def calibrate(
    settings: SamplerSettings, answers: AnswersSettings, *, mu: float, rows: int
) -> tuple[AnswerNoise, ...]:
    """Return each round's noise such that all rounds together cost mu^2 (two-point bound).

    Args:
        mu: Gaussian-DP parameter of all rounds together.
        rows: rows asked of the silo per round.

    Scores and energies are calibrated jointly: of each round's mu_t^2, `energy_share` pays for
    the energies where they are released. Over the rounds sigma_t follows what the sampler absorbs:
    mu_t^2 is in proportion to 1 / tolerance_t^2, which for ULA with p = 1 is the same every round.
    """
    tolerances = [tolerance(kernel, settings) for kernel in kernels(settings)]
    total = math.fsum(1.0 / tolerated**2 for tolerated in tolerances)
    released = settings.energy == "released"
    energy_share = answers.energy_share if released else 0.0
    noise = []
    for tolerated in tolerances:
        mu_t = mu * ROOM * math.sqrt(1.0 / (tolerated**2 * total))
        root = math.sqrt(rows) / mu_t
        score_std = 2.0 * answers.clip * root / math.sqrt(1.0 - energy_share)
        energy_std = answers.energy_bound * root / math.sqrt(energy_share) if released else None
        noise.append(AnswerNoise(score_std, energy_std))
    return tuple(noise)


def tolerance(kernel: Kernel, settings: SamplerSettings) -> float:
    """Return the answer noise (std per coordinate) that a step takes: what it absorbs, and in the
    last ancestral steps at least `LAST_STEP_TOLERANCE` in the clean sample."""
    if settings.kernel == "ancestral":
        return max(kernel.tolerance, LAST_STEP_TOLERANCE / kernel.gain)
    return kernel.tolerance
