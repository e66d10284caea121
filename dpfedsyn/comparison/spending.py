"""What each baseline takes from a silo's budget: mechanisms that a real deployment would charge.

A baseline's models are used without noise of their own (averaged, or sampled from freely), so the
claim is the plain composition of everything that was made of records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from accountants import (
    Adjacency,
    Composed,
    Event,
    Gaussian,
    PoissonSampled,
    Repeated,
    calibrate,
    gaussian,
)
from dpfedsyn.budget import NOISE_MULTIPLIERS, ROUND_DOWN, Budget, solve
from dpfedsyn.settings import Config, SiloSettings
from dpfedsyn.shares import moments_share


@dataclass(frozen=True)
class Spending:
    """One baseline's mechanisms on one silo's records; None: not used, or used without noise."""

    counts: Gaussian | None = None
    origin: Gaussian | None = None
    means: Gaussian | None = None
    moments: Gaussian | None = None
    training: Repeated | None = None
    clusters: tuple[Gaussian, ...] = ()
    embedding: Gaussian | None = None

    def claim(self) -> Composed:
        """The record-level claim."""
        sums = (self.counts, self.origin, self.means, self.moments, *self.clusters, self.embedding)
        events: tuple[Event | None, ...] = (*sums, self.training)
        return Composed(tuple(event for event in events if event is not None))

    @property
    def noise_multiplier(self) -> float:
        """Noise multiplier of one DP-SGD step; 0 where there is no noise."""
        match self.training:
            case Repeated(PoissonSampled(Gaussian(multiplier), _), _):
                return multiplier
        return 0.0


NO_NOISE = Spending()


def own_model(run: Budget) -> Spending:
    """What made a silo's model in the run, were it used without noise on its answers."""
    return replace(_sums(run), training=run.training)


def own_base(run: Budget) -> Spending:
    """The same without a network."""
    return replace(own_model(run), training=None)


def possible(config: Config) -> bool:
    """Whether the baselines' training can be accounted for under the run's adjacency."""
    private = config.train.method != "not-private"
    return not private or config.privacy.adjacency != Adjacency.REPLACE


def class_gaussians(config: Config, silo: SiloSettings, run: Budget) -> Spending:
    """Counts as in the run; the moments get all that the run has for anything else."""
    if config.train.method == "not-private":
        return NO_NOISE
    own = _of_run(config, silo, run)
    shares = moments_share(config) / (1.0 - config.privacy.counts_share)

    def scaled(event: Gaussian | None) -> Gaussian | None:
        return event and Gaussian(event.noise_multiplier * math.sqrt(shares))

    origin, means, moments = (scaled(event) for event in (own.origin, own.means, own.moments))
    return replace(own, origin=origin, means=means, moments=moments, clusters=())


def pooled(config: Config, run: Mapping[str, Budget]) -> Spending:
    """One silo that holds all records: every record's promise is kept, so the strictest counts."""
    if config.train.method == "not-private":
        return NO_NOISE
    strictest = min(config.silos, key=config.epsilon)
    own = _of_run(config, strictest, run[strictest.name])
    return own if config.network.kind == "none" else _trained(config, strictest, own)


def fedavg(config: Config, silo: SiloSettings, run: Budget) -> Spending:
    """Counts as in the run, and DP-SGD with all that is left."""
    if config.train.method == "not-private":
        return NO_NOISE
    return _trained(config, silo, Spending(counts=_of_run(config, silo, run).counts))


def literal_paper(config: Config, silo: SiloSettings) -> Spending:
    """DP-SGD with the whole budget: no counts, no moments."""
    if config.train.method == "not-private":
        return NO_NOISE
    return _trained(config, silo, Spending())


def embedding(config: Config, silo: SiloSettings, run: Budget) -> Spending:
    """Counts as in the run; one Gaussian mechanism, of sensitivity 1, with all that is left."""
    if config.train.method == "not-private":
        return NO_NOISE
    privacy = config.privacy
    mu = gaussian.mu(config.epsilon(silo), privacy.delta) * ROUND_DOWN
    left = mu * math.sqrt(1.0 - privacy.counts_share)
    counts = _of_run(config, silo, run).counts
    return Spending(counts=counts, embedding=Gaussian(1.0 / left))


def _of_run(config: Config, silo: SiloSettings, run: Budget) -> Spending:
    """Counts and moments of the run; an ensemble has none, so those that it would have."""
    if run.counts is None:
        run = solve(replace(config, train=replace(config.train, method="dp-sgd")), silo)
    return _sums(run)


def _sums(run: Budget) -> Spending:
    """What a base is made of."""
    return Spending(run.counts, run.origin, run.means, run.moments, clusters=run.clusters)


def _trained(config: Config, silo: SiloSettings, before: Spending) -> Spending:
    """Add DP-SGD with the least noise with which the whole still meets the silo's epsilon."""
    rate, steps = config.train.sampling_rate, config.train.steps
    multiplier = _noise_multiplier(
        before,
        rate,
        steps,
        config.epsilon(silo),
        config.privacy.delta,
        config.privacy.adjacency,
    )
    return replace(before, training=_steps(multiplier, rate, steps))


def _steps(multiplier: float, rate: float, steps: int) -> Repeated:
    return Repeated(PoissonSampled(Gaussian(multiplier), rate), steps)


@cache
def _noise_multiplier(
    before: Spending, rate: float, steps: int, epsilon: float, delta: float, adjacency: str
) -> float:
    return calibrate(
        lambda noise: replace(before, training=_steps(noise, rate, steps)).claim(),
        epsilon=epsilon,
        delta=delta,
        adjacency=adjacency,
        bracket=NOISE_MULTIPLIERS,
    )
