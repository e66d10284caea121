"""How a budget's mu^2 is shared out: counts, sums, training, answers and their reserve."""

from __future__ import annotations

import math

from accountants import (
    Gaussian,
)
from dpfedsyn.settings import Config

MOVING_SHARE = 0.25  # of the cells' mu^2, for all rounds in which centres move


def cap_mu(config: Config) -> float:
    """Return the cap on the mu of all answers between any two models, where no ensemble answers.

    The reserve for rows after the run is in it from the start: a cap that was raised later would
    open a new budget.
    """
    return config.answers.mu * math.sqrt(1.0 + config.answers.reserve)


def base_share(config: Config) -> float:
    """Return the share of mu^2 that all sums but the counts have; without a network, the rest."""
    privacy = config.privacy
    return 1.0 - privacy.counts_share if config.network.kind == "none" else privacy.moments_share


def moments_share(config: Config) -> float:
    """Return the share of mu^2 that origin, means and second moments have."""
    base = config.base
    left = (1.0 - base.marginals_share) * base_share(config)
    return left * (1.0 - base.clusters_share) if base.clusters > 1 else left


def cell_rounds(mu2: float, moving: int) -> tuple[Gaussian, ...]:
    """Share mu^2 between the rounds that move centres and the last one, which counts for most."""
    if moving == 0:
        return (bought(mu2),)
    return (*(bought(mu2 * MOVING_SHARE / moving),) * moving, bought(mu2 * (1.0 - MOVING_SHARE)))


def bought(mu2: float) -> Gaussian:
    """Return the Gaussian mechanism that is mu-GDP: what mu^2 pays for."""
    return Gaussian(1.0 / math.sqrt(mu2))
