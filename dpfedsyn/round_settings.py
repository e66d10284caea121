"""The public settings of a round: what silos answer, how the server steps, who may be missing."""

from __future__ import annotations

from dataclasses import dataclass

from dpfedsyn.allowed_values import COUNT, POSITIVE, SHARE, one_of, setting, within


@dataclass(frozen=True)
class AnswersSettings:
    """What a silo answers, and how much noise it adds."""

    rows: int = setting(3000, COUNT)  # synthetic rows, all asked about in every round
    clip: float = setting(6.0, POSITIVE)  # L2 bound on one predicted noise vector
    energy_bound: float = setting(18.0, POSITIVE)  # energies are clipped to [0, this]
    mu: float = setting(6000.0, POSITIVE)  # sqrt of the sum of mu_t^2 over all planned answers
    # Of mu^2, beside it in the cap: for `dpfedsyn sample`. An ensemble's is what mu leaves.
    reserve: float = setting(0.2, within(0, 100))
    energy_share: float = setting(0.2, SHARE)  # of mu_t^2, where energies are released
    best_share: float = setting(0.2, within(0, 1, open_high=True))  # of mu^2, for the extra pass
    keep_replies: int = setting(3, within(2, 1000))  # rounds for which a reply can be redelivered
    allow_partial: bool = False  # start although the caps end the run early


@dataclass(frozen=True)
class SamplerSettings:
    """How the server moves its samples; a preset fills these, the file overrides them."""

    kernel: str = setting("ula", one_of("ula", "ancestral"))  # Langevin, or DDPM's own steps
    # What weighs silos beside the prior: their noised energies, 1/2 |answer|^2, the path, nothing.
    energy: str = setting("released", one_of("released", "l2", "path", "uniform"))
    # A row follows the answers' average, one silo drawn anew in each round, or one silo throughout.
    step: str = setting("blend", one_of("blend", "mix", "anchored"))
    prior: str = setting("labels", one_of("labels", "uniform"))  # w_i(y) by label, or 1/K
    levels: int = setting(25, within(1, 1000))  # of noise, from 1,000 of the schedule
    spacing: float = setting(1.0, within(1, 10))  # ancestral: > 1, more levels near clean samples
    eta: float = setting(1.0, within(0, 1))  # ancestral: 1 draws all noise (DDPM), 0 none (DDIM)
    order: int = setting(1, within(1, 2))  # ancestral: 2 extrapolates from the last two answers
    steps_per_level: int = setting(4, within(1, 1000))  # ULA only
    step_size: float = setting(0.5, within(0, 1, open_low=True))  # c in eta = c (1 - abar)^p
    power: float = setting(1.0, within(1, 10))  # p in the same
    score_scale: float = setting(1.0, POSITIVE)  # lambda of the score, equation (11)
    temperature: float = setting(1.0, POSITIVE)  # lambda of the weights, equation (9)
    absorb: bool = True  # inject only the noise that the silos have not added already
    seed: int = setting(1, within(0, 2**63 - 1))  # public: the server's randomness is no secret


@dataclass(frozen=True)
class ParticipationSettings:
    """What happens where silos do not answer; the last four make simulated silos miss rounds."""

    quorum: float = setting(0.5, within(0, 1, open_low=True))  # share of silos that a round needs
    patience: int = setting(3, within(0, 10_000))  # rounds missed in a row before others take over
    timeout: float = setting(0.0, within(0, 1e6))  # seconds for a round's answers; 0: no limit
    attempts: int = setting(3, within(1, 1000))  # a round below its quorum is asked so many times
    absence: float = setting(0.0, within(0, 1))  # chance that a silo gets no question in a round
    lateness: float = setting(0.0, within(0, 1))  # chance that its answer, charged, comes too late
    away: tuple[str, ...] = ()  # "NAME FIRST-LAST": rounds of the run, from 1, without the silo
    seed: int = setting(1, within(0, 2**63 - 1))  # of the chances


PRESETS: dict[str, SamplerSettings] = {
    "default": SamplerSettings(),
    "paper": SamplerSettings(
        energy="l2",
        prior="uniform",
        levels=1000,
        steps_per_level=1,
        step_size=0.1,
        score_scale=2.0,
        temperature=2.0,
        absorb=False,
    ),
    "best": SamplerSettings(
        kernel="ancestral", energy="path", step="anchored", levels=25, spacing=3.0, order=2
    ),
}
