"""One point of a budget's frontier: rounds, the rows that mu buys there, and their noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from dpfedsyn import absorption, passes, schedule
from dpfedsyn.absorption import MOST_SPREAD
from dpfedsyn.settings import Config

MOST_ROWS = 10_000_000


@dataclass(frozen=True)
class Point:
    """What the budget buys at one number of rounds.

    Attributes:
        levels, rounds: of the sampler. rows: planned, at least one.
        absorbed_rows: the most rows whose noise is absorbed; may be 0.
        mu_of_a_row: of the answers, for one absorbed row.
        excess: the answers' noise in units of what is tolerated. absorbed: share of its variance.
        score_noise, energy_noise: least and largest std over the rounds.
        spread: width of finished rows over the right one. holds: whether so few rounds will do.
    """

    levels: int
    rounds: int
    rows: int
    absorbed_rows: int
    mu_of_a_row: float
    excess: float
    absorbed: float
    score_noise: tuple[float, float]
    energy_noise: tuple[float, float] | None
    spread: float
    holds: bool


def most_rows(config: Config, levels: int) -> Point:
    """Return the most rows whose noise is absorbed at so many levels (or one row)."""
    settings, mu = replace(config.sampler, levels=levels), passes.planned_mu(config)
    concentrated = absorption.concentration(config)
    one = absorption.excess(settings, config.answers, mu=1.0, rows=1, concentration=concentrated)
    rows = min(MOST_ROWS, math.floor((mu / one) ** 2 * (1.0 - 1e-12)))
    alone = absorption.spread(
        settings, None, data_std=config.network.data_std, concentration=concentrated
    )
    point = Point(
        levels=levels,
        rounds=len(schedule.kernels(settings)),
        rows=max(1, rows),
        absorbed_rows=rows,
        mu_of_a_row=one * config.answers.mu / mu,
        excess=0.0,
        absorbed=0.0,
        score_noise=(0.0, 0.0),
        energy_noise=None,
        spread=0.0,
        holds=levels == config.sampler.levels or 1.0 / MOST_SPREAD <= alone <= MOST_SPREAD,
    )
    return measured(config, point)


def measured(config: Config, point: Point) -> Point:
    """Return the point with what its rows' noise does."""
    settings, mu = replace(config.sampler, levels=point.levels), passes.planned_mu(config)
    concentrated = absorption.concentration(config)
    noise = schedule.calibrate(settings, config.answers, mu=mu, rows=point.rows)
    scores = [n.score_std for n in noise]
    energies = [n.energy_std for n in noise if n.energy_std is not None]
    return replace(
        point,
        excess=absorption.excess(
            settings, config.answers, mu=mu, rows=point.rows, concentration=concentrated
        ),
        absorbed=absorption.absorbed(settings, noise, concentrated),
        score_noise=(min(scores), max(scores)),
        energy_noise=(min(energies), max(energies)) if energies else None,
        spread=absorption.spread(
            settings, noise, data_std=config.network.data_std, concentration=concentrated
        ),
    )
