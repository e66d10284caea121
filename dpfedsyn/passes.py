"""What a run asks of its silos, pass by pass, and the mechanism through which each answers."""

from __future__ import annotations

from dataclasses import dataclass

from dpfedsyn import schedule
from dpfedsyn.budget import Budget
from dpfedsyn.diffusion import Kernel
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.round_settings import SamplerSettings
from dpfedsyn.settings import Config


@dataclass(frozen=True)
class PassPlan:
    """One sampling pass: how many rows, and its cost in units of the planned answers' mu^2."""

    name: str
    settings: SamplerSettings
    share: float
    first_round: int
    rows: int

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The pass's steps, one query round each."""
        return schedule.kernels(self.settings)


def planned_passes(config: Config) -> tuple[PassPlan, ...]:
    """Return the pass that was asked for and, with a budget share of its own, one by [best]."""
    extra = config.preset != "best" and config.answers.best_share > 0.0
    share = 1.0 - config.answers.best_share if extra else 1.0
    rows = config.answers.rows
    main = PassPlan(config.preset, config.sampler, share, 0, rows)
    if not extra:
        return (main,)
    best = PassPlan("best", config.best, config.answers.best_share, len(main.kernels), rows)
    return (main, best)


def mechanism(config: Config) -> AnswerMechanism:
    """Return the answer mechanism that every silo uses."""
    parts = config.train.parts if config.train.method == "ensemble" else 1
    return AnswerMechanism(config.answers.clip, config.answers.energy_bound, parts)


def moved_parts(config: Config, budget: Budget | None = None) -> int | None:
    """Return how many parts of the models one record can move; None where their training protects.

    Args:
        budget: of a silo; None: as the configuration's training has it.
    """
    if budget is not None and budget.record_mu is not None and config.train.method != "ensemble":
        return 1  # a brought model, which may be another one altogether
    if config.train.method != "ensemble":
        return None
    return 2 if config.privacy.adjacency == "replace" else 1


def planned_mu(config: Config) -> float:
    """Return the mu, between any two models, that all planned rounds cost together.

    `answers.mu` speaks of what the answers alone promise: two models for DP-SGD, one record for an
    ensemble, where moving one of M parts is 1/M of that.
    """
    moved = moved_parts(config)
    return config.answers.mu * (config.train.parts / moved if moved else 1.0)
