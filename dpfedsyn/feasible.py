"""Whether a budget lets a silo of a public size say anything, and what would.

Public settings alone: reference sizes, bounds, schema. The noise of counts and means is compared
with what a silo of that size can count and average.
"""

from __future__ import annotations

import math
from dataclasses import replace

from accountants import Adjacency, gaussian
from dpfedsyn.budget import solve
from dpfedsyn.counts import counts_sensitivity
from dpfedsyn.errors import BudgetExhausted
from dpfedsyn.moments import query_of
from dpfedsyn.settings import Config, PrivacySettings, SiloSettings
from dpfedsyn.shares import moments_share

# A budget is too small for a silo when its noise drowns what a silo of that public size can say:
# a label count lost in its own noise, or a mean that is noise four times over.
LEAST_COUNT_TO_NOISE = 2.0
MOST_NOISE_TO_SPREAD = 4.0
LEAST_PER_PART = 2.0  # records or persons in one part of an ensemble
LEAST_TRAINING_SHARE = 0.05  # of mu^2: below it DP-SGD would train on noise
ROUND_UP = 1.0 + 1e-9  # of a share that is just enough


def faults(config: Config, silo: SiloSettings, dimension: int, classes: int) -> list[str]:
    """Say why a budget is too small for a silo of this public size, and what would work."""
    if config.train.method == "not-private":
        return []
    if silo.brings:
        return []  # no noise but that of its answers
    if config.train.method == "ensemble":
        return _too_many_parts(config, silo)
    wanted = config.epsilon(silo)
    if _noise_excess(config, silo, wanted, dimension, classes) <= 1.0:
        return []
    low, high = wanted, wanted
    while _noise_excess(config, silo, high, dimension, classes) > 1.0:
        low, high = high, 2.0 * high
    for _ in range(40):
        middle = 0.5 * (low + high)
        if _noise_excess(config, silo, middle, dimension, classes) > 1.0:
            low = middle
        else:
            high = middle
    size = silo.reference_size * _noise_excess(config, silo, wanted, dimension, classes)
    works = f"epsilon >= {_round_up(high)}"
    if _solvable(config, silo):
        works += f", or a silo of {math.ceil(size)} {config.privacy.unit}s"
    return [
        f"{silo.name}: epsilon = {wanted:g} is too small for a silo of reference size "
        f"{silo.reference_size:g} (delta {config.privacy.delta:g}, unit {config.privacy.unit}, "
        f"{config.privacy.adjacency}): the noise would drown its counts or means. What would work: "
        f"{works}."
    ]


def split(config: Config, dimension: int, classes: int) -> PrivacySettings:
    """Return the training split that the smallest silo can live with.

    The configured shares of counts and moments, each raised to the least with which no silo's
    counts or means drown; DP-SGD gets the rest. Where less than `LEAST_TRAINING_SHARE` would be
    left, the configured split stays, and `faults` says what would work.
    """
    privacy = config.privacy
    if config.train.method != "dp-sgd" or config.network.kind == "none":
        return privacy
    training = [silo for silo in config.silos if not silo.brings]
    if not training:
        return privacy
    found = [_excesses(config, s, config.epsilon(s), dimension, classes) for s in training]
    counts, moments = (max(excess) for excess in zip(*found, strict=True))
    counts_share = privacy.counts_share * max(1.0, counts * ROUND_UP) ** 2
    moments_share = privacy.moments_share * max(1.0, moments * ROUND_UP) ** 2
    if counts_share + moments_share > 1.0 - LEAST_TRAINING_SHARE:
        return privacy
    return replace(privacy, counts_share=counts_share, moments_share=moments_share)


def _too_many_parts(config: Config, silo: SiloSettings) -> list[str]:
    """Say why an ensemble's parts would be all but empty, and what would work."""
    per_part = silo.reference_size / config.train.parts
    if per_part >= LEAST_PER_PART:
        return []
    works = math.floor(silo.reference_size / LEAST_PER_PART)
    noun = f"{config.privacy.unit}s"
    mend = f"train.parts <= {works}" if works else f"a silo of more {noun}"
    return [
        f"{silo.name}: {config.train.parts} parts of a silo of reference size "
        f"{silo.reference_size:g} hold {per_part:.2g} {noun} each; their models would know "
        f"nothing. What would work: {mend}."
    ]


def _solvable(config: Config, silo: SiloSettings) -> bool:
    try:
        solve(config, silo)
    except BudgetExhausted:
        return False
    return True


def _noise_excess(
    config: Config, silo: SiloSettings, wanted: float, dimension: int, classes: int
) -> float:
    """Return how many times too much noise this epsilon brings (<= 1: it works)."""
    return max(_excesses(config, silo, wanted, dimension, classes))


def _excesses(
    config: Config, silo: SiloSettings, wanted: float, dimension: int, classes: int
) -> tuple[float, float]:
    """Return the same for the counts and for the means; each falls with the root of its share."""
    privacy, base = config.privacy, config.base
    adjacency = Adjacency(privacy.adjacency)
    mu = gaussian.mu(wanted, privacy.delta)
    query = query_of(dimension, classes, base)
    counts_std = counts_sensitivity(adjacency) / (mu * math.sqrt(privacy.counts_share))
    share = moments_share(config) * (base.means_share if base.residual_radius else 1.0)
    means_std = query.sensitivity(adjacency) / (mu * math.sqrt(share))
    per_label = silo.reference_size / classes
    return (
        LEAST_COUNT_TO_NOISE * counts_std / per_label,
        query.mean_noise(means_std) / per_label / (MOST_NOISE_TO_SPREAD * base.mean_spread),
    )


def _round_up(value: float) -> str:
    """Two significant digits, never below the value."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / unit) * unit:g}"
