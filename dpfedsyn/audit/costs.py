"""What a run has to charge, derived a second time: formulas of the privacy model in plain code.

Nothing here calls what charged. An error would have to be made twice, differently written, to stay
unseen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import ndtr

from accountants import (
    Cascade,
    Composed,
    Event,
    Gaussian,
    Repeated,
    Unbounded,
    UnsupportedEvent,
)
from accountants import epsilon as bound_of
from accountants.rows import Header
from dpfedsyn.diffusion import Kernel
from dpfedsyn.round_settings import SamplerSettings
from dpfedsyn.settings import BaseSettings, Config, SiloSettings

ROUNDED = 1e-9  # relative: floats of one quantity, derived in two ways
ROOM = (1.0 - 1e-9) ** 2  # of mu^2: what a schedule may leave unused
LAST_STEPS = 0.05  # noise of a clean sample that the last ancestral steps are planned for


def answer_mu2(
    rows: int, clip: float, score_std: float, bound: float, energy_std: float | None
) -> float:
    """mu^2 = N ((2 C / sigma_e)^2 + (B / sigma_f)^2): N rows are N questions, asked jointly."""
    distance = rows * 4.0 * clip * clip / score_std**2
    return distance + (0.0 if energy_std is None else rows * bound * bound / energy_std**2)


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The mu whose Gaussian mechanism is (epsilon, delta)-DP exactly (Balle & Wang 2018)."""

    def excess(mu: float) -> float:
        lost = math.exp(epsilon) * ndtr(-epsilon / mu - mu / 2.0)
        return float(ndtr(-epsilon / mu + mu / 2.0) - lost) - delta

    return float(brentq(excess, 1e-6, math.sqrt(2.0 * epsilon) + 20.0, xtol=1e-14, rtol=1e-14))


def moved(config: Config) -> int:
    """Parts of an ensemble that one record can move."""
    return 2 if config.privacy.adjacency == "replace" else 1


def caps(config: Config, silo: SiloSettings, claimed: bool) -> tuple[float, float | None]:
    """(cap on the answers' mu^2 of two models, at record level or None).

    With a claim that is composed for its model, the answers may have less than their cap: any that
    keeps the whole claim within epsilon. Without one, whatever was signed, the answers are it all.

    Args:
        claimed: whether the ledger composes a claim.
    """
    if silo.brings and not silo.tunes and not claimed:
        mu2 = gaussian_mu(config.epsilon(silo), config.privacy.delta) ** 2
        mu2 *= 1.0 - (config.privacy.counts_share if config.weights.source == "counts" else 0.0)
        return mu2, mu2
    if config.train.method != "ensemble":
        return config.answers.mu**2 * (1.0 + config.answers.reserve), None
    mu2 = gaussian_mu(config.epsilon(silo), config.privacy.delta) ** 2
    return mu2 * (config.train.parts / moved(config)) ** 2, mu2


BASE = ("origin", "means", "moments", "centres", "clusters")
"""Kinds of sums that an analytic base is made of, beside the counts."""


def multipliers(config: Config, silo: SiloSettings) -> dict[str, float]:
    """Noise multipliers of counts and all sums: each has its share of the budget's mu^2."""
    if config.train.method != "dp-sgd":
        return {}
    privacy, base = config.privacy, config.base
    mu2 = gaussian_mu(config.epsilon(silo), privacy.delta) ** 2
    if silo.brings:
        counted = config.weights.source == "counts"
        return {"counts": 1.0 / math.sqrt(mu2 * privacy.counts_share)} if counted else {}
    sums = privacy.moments_share
    if config.network.kind == "none":
        sums = 1.0 - privacy.counts_share
    shares = {"counts": privacy.counts_share}
    if base.marginals_share:
        shares["marginals"] = sums * base.marginals_share
        sums *= 1.0 - base.marginals_share
    if base.clusters > 1:
        cells, sums = sums * base.clusters_share, sums * (1.0 - base.clusters_share)
        shares["clusters"] = cells
        if base.cluster_rounds:
            shares["clusters"] = 0.75 * cells
            shares["centres"] = 0.25 * cells / base.cluster_rounds
    shares["moments"] = sums
    if base.residual_radius:
        shares["means"] = sums * base.means_share
        shares["moments"] = sums * (1.0 - base.means_share - base.origin_share)
        if base.origin_share:
            shares["origin"] = sums * base.origin_share
    return {kind: 1.0 / math.sqrt(mu2 * share) for kind, share in shares.items()}


def uses(config: Config, silo: SiloSettings) -> int:
    """How often everything that makes a model is charged, all kinds but a signer's claim."""
    if silo.brings:
        counted = int(config.weights.source == "counts")
        return counted + (config.train.steps if silo.tunes else 0)
    if config.train.method != "dp-sgd":
        return 0
    base = config.base
    steps = 0 if config.network.kind == "none" else config.train.steps
    cells = 1 + base.cluster_rounds if base.clusters > 1 else 0
    first = bool(base.residual_radius) + bool(base.origin_share)
    return 2 + first + bool(base.marginals_share) + cells + steps


def lengths(
    base: BaseSettings, dimension: int, classes: int, histograms: int = 0
) -> dict[str, int]:
    """How many numbers each kind of sum has, hence how many draws of noise it takes."""
    products = dimension * (dimension + 1) // 2
    moments = (classes * products if base.label_share else 0) + (base.label_share < 1) * products
    first = classes * dimension
    found = {"counts": classes, "moments": moments, "marginals": histograms}
    if base.residual_radius:
        found["means"] = first
    else:
        found["moments"] += first
    if base.origin_share:
        found["origin"] = dimension
    if base.clusters > 1:
        axes, cells = min(base.cluster_axes, dimension - 1), classes * base.clusters
        found["centres"] = cells * (1 + axes)
        found["clusters"] = cells * (1 + axes + axes * (axes + 1) // 2)
    return found


@dataclass(frozen=True)
class Schedule:
    """What each round of one pass costs a silo that is asked as many rows as at its beginning."""

    mu2: tuple[float, ...]

    def cost(self, round_number: int, rows: int, planned: int) -> float:
        """mu^2 of one round: more rows than planned bring more noise, fewer cost less."""
        return self.mu2[round_number - 1] * min(1.0, rows / max(planned, 1))


def schedule(
    config: Config, settings: SamplerSettings, kernels: Sequence[Kernel], share: float
) -> Schedule:
    """Share out a pass's mu^2 over its rounds, as 1 / (noise that the step takes)^2."""
    ensemble = config.train.method == "ensemble"
    mu = config.answers.mu * (config.train.parts / moved(config) if ensemble else 1.0)
    taken = [math.sqrt(k.variance) / k.gain for k in kernels]
    if settings.kernel == "ancestral":
        taken = [max(s, LAST_STEPS / k.gain) for s, k in zip(taken, kernels, strict=True)]
    weights = [1.0 / s**2 for s in taken]
    total = math.fsum(weights)
    return Schedule(tuple(ROOM * mu * mu * share * weight / total for weight in weights))


def claim(header: Header, private: bool) -> Event:
    """The record-level claim at the caps: R composed with the cascade of training and answers."""
    if not private:
        return Unbounded("the run promises nothing")
    released = [Repeated(p.event, p.uses) for p in header.planned if p.group == "R"]
    if header.record_cap is not None:
        return Composed((*released, Gaussian(1.0 / math.sqrt(header.record_cap))))
    inside = [Repeated(p.event, p.uses) for p in header.planned if p.group == "A"]
    if not inside and "moments" not in {p.kind for p in header.planned}:
        return Unbounded("no private training was planned")
    answers = Gaussian(1.0 / math.sqrt(header.answers_cap))
    return Composed((*released, Cascade(Composed(tuple(inside)), answers)))


def upper(header: Header, private: bool) -> float:
    """Epsilon of the claim at the header's caps; infinite where nothing is promised."""
    claimed = claim(header, private)
    if isinstance(claimed, Unbounded):
        return math.inf
    try:
        return bound_of(claimed, delta=header.delta, adjacency=header.adjacency).upper
    except UnsupportedEvent:
        return math.inf


def least_delta(delta: float, epsilon: float, draws: int) -> float:
    """delta + (1 + e^epsilon) (tau + tau_prg), tau = draws 2^-114, tau_prg = (2 draws)^2 2^-129."""
    return delta + (1.0 + math.exp(epsilon)) * (draws * 2.0**-114 + (2.0 * draws) ** 2 * 2.0**-129)
