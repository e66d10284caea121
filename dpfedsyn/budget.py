"""One silo's budget as a fixed list of mechanisms, decided before any record is read.

    claim(record) = releases R composed with Cascade(training A, answers B)

R (noisy counts that the server sees) never enters the factor that is multiplied by delta_B: what
leaves the silo by another way than the answers is not protected by their noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from accountants import (
    Adjacency,
    ApproximateDP,
    Cascade,
    Composed,
    Event,
    Gaussian,
    PoissonSampled,
    Repeated,
    Unbounded,
    UnsupportedEvent,
    calibrate,
    gaussian,
)
from accountants import epsilon as bound_of
from dpfedsyn.errors import BudgetExhausted, CalibrationFailed
from dpfedsyn.marking import NOT_PRIVATE
from dpfedsyn.settings import Config, SiloSettings
from dpfedsyn.shares import base_share, bought, cap_mu, cell_rounds, moments_share

ROUND_DOWN = 1.0 - 1e-12  # of mu: the claim printed for it must not exceed the budget by an ulp
NOISE_MULTIPLIERS = (0.2, 5000.0)  # what DP-SGD's calibration searches
CAP_HALVINGS = 20  # of the ratio between a cap that fits and one that does not
LEAST_GAIN = 1.0 + 1e-3  # in mu of the answers: a claim that gives less is left out


@dataclass(frozen=True)
class Budget:
    """The precommitted mechanisms of one silo and the caps on its answers.

    Attributes:
        counts: histogram of labels. counts_released: the server sees it (R), else it stays (A).
        marginals: histograms of a table's numbers, which the server sees (R).
        origin: sum of all records, where the labels' are taken about it. means: sums per label,
            where second moments are taken about them. moments: sums for the
            base. clusters: cells of the base's mixtures, round by round. base_released: the server
            sees all of these (R), else they stay (A). training: DP-SGD, or None (ensemble, or no
            network).
        claimed: what somebody else promises of a brought model (A), or None.
        answers_mu: cap between any two models. record_mu: cap at record level where the answers
            alone protect a record (ensemble), else None.
        unprotected: why there is no claim at all for a record or a silo, or None.
    """

    counts: Gaussian | None
    counts_released: bool
    moments: Gaussian | None
    training: Repeated | None
    answers_mu: float
    record_mu: float | None
    origin: Gaussian | None = None
    means: Gaussian | None = None
    clusters: tuple[Gaussian, ...] = ()
    base_released: bool = False
    marginals: Gaussian | None = None
    unprotected: str | None = None
    claimed: ApproximateDP | None = None

    @property
    def noise_multiplier(self) -> float:
        """Noise multiplier of one DP-SGD step."""
        match self.training:
            case Repeated(PoissonSampled(Gaussian(multiplier), _), _):
                return multiplier
        raise AssertionError("there is no DP-SGD in this budget")

    def record_claim(self, answers_mu2: float | None = None) -> Event:
        """The record-level claim with the answers at this mu^2 (None: at their cap)."""
        if self.unprotected is not None:
            return Unbounded(self.unprotected)
        if self.record_mu is not None:
            mu2 = self.record_mu**2 if answers_mu2 is None else answers_mu2
            return _composed([*self.releases(), _gaussian(mu2)])
        mu2 = self.answers_mu**2 if answers_mu2 is None else answers_mu2
        return _composed([*self.releases(), Cascade(Composed(self.inside()), _gaussian(mu2))])

    def at_record_level(self, answers_mu2: float) -> float:
        """What answers of this mu^2 between any two models cost one record by themselves.

        One record moves 1/M of an ensemble; behind a single model it may move all of it.
        """
        if self.record_mu is None:
            return answers_mu2
        return answers_mu2 * (self.record_mu / self.answers_mu) ** 2

    def answers_claim(self, answers_mu2: float) -> Event:
        """The answers alone: what they promise for any model behind them."""
        return _gaussian(answers_mu2)

    def silo_claim(self, silo_mu2: float) -> Event:
        """The silo-level claim: another silo's whole data set in its place."""
        if self.unprotected is not None:
            return Unbounded(self.unprotected)
        if self.counts_released:
            return Unbounded("noisy counts are released: no bound on a whole silo's share in them")
        if self.base_released:
            return Unbounded("noisy sums are released: no bound on a whole silo's share in them")
        return _gaussian(silo_mu2)

    def releases(self) -> tuple[Event, ...]:
        """R: what leaves the silo beside the answers."""
        counts = (self.counts,) if self.counts is not None and self.counts_released else ()
        marginals = () if self.marginals is None else (self.marginals,)
        return (*counts, *marginals, *(self._base() if self.base_released else ()))

    def inside(self) -> tuple[Event, ...]:
        """A: what trains the model and stays in the silo."""
        counts = () if self.counts is None or self.counts_released else (self.counts,)
        training = () if self.training is None else (self.training,)
        claimed = () if self.claimed is None else (self.claimed,)
        return (*counts, *(() if self.base_released else self._base()), *training, *claimed)

    def _base(self) -> tuple[Event, ...]:
        """What the analytic base is made of, beside the counts."""
        sums = tuple(
            event for event in (self.origin, self.means, self.moments) if event is not None
        )
        return (*sums, *self.clusters)


def _gaussian(mu2: float) -> Event:
    return Gaussian(1.0 / math.sqrt(mu2)) if mu2 > 0.0 else Composed(())


def _composed(events: list[Event]) -> Event:
    return events[0] if len(events) == 1 else Composed(tuple(events))


def solve(config: Config, silo: SiloSettings, claimed: ApproximateDP | None = None) -> Budget:
    """Turn (epsilon, delta) into noise, before anything runs.

    For DP-SGD: mu^2 of the whole budget (as if it were one Gaussian mechanism) is shared between
    counts and moments as configured; DP-SGD gets the least noise with which the *whole* claim's
    upper bound still meets epsilon. Without a network moments get all that counts leave. For an
    ensemble the whole budget caps the answers, and behind a brought model what counts leave of it;
    with a claim of its own, the answers get as much as the whole claim can carry; one that gives
    them no more than they have without it is left out.

    Args:
        claimed: of a brought model: what its signer promises; None: nothing.

    Guarantee:
        The upper bound on epsilon of the whole record-level claim, answers at their cap, is at most
        the silo's budget at the run's delta and adjacency; settings and budget are public.

    Raises:
        BudgetExhausted: no noise in reach meets the budget; says which epsilon would.
        UnsupportedEvent: DP-SGD under `replace`.
    """
    privacy, train = config.privacy, config.train
    epsilon, adjacency = config.epsilon(silo), Adjacency(privacy.adjacency)
    mu = gaussian.mu(epsilon, privacy.delta) * ROUND_DOWN
    if train.method == "not-private":
        return Budget(None, False, None, None, cap_mu(config), None, unprotected=NOT_PRIVATE)
    if silo.brings and not silo.tunes:
        return _brought(config, silo, mu, claimed)
    if train.method == "ensemble":
        moved = 2 if adjacency is Adjacency.REPLACE else 1
        return Budget(None, False, None, None, mu * train.parts / moved, mu)
    if adjacency is Adjacency.REPLACE:
        raise UnsupportedEvent(
            "privacy.adjacency = 'replace': a record that is replaced moves a step's sum by 2 C, "
            "and noise for that is not planned here, so there is no budget. Use 'add-or-remove' "
            "or 'zero-out', or train.method = 'ensemble'."
        )
    without = _counts_alone(config, mu) if silo.tunes else _statistics(config, mu)
    if config.network.kind == "none" and not silo.tunes:
        return without

    def with_noise(multiplier: float) -> Budget:
        steps = Repeated(PoissonSampled(Gaussian(multiplier), train.sampling_rate), train.steps)
        return replace(without, training=steps)

    try:
        multiplier = calibrate(
            lambda noise: with_noise(noise).record_claim(),
            epsilon=epsilon,
            delta=privacy.delta,
            adjacency=adjacency,
            bracket=NOISE_MULTIPLIERS,
        )
    except CalibrationFailed as failure:
        raise BudgetExhausted(
            f"{silo.name}: no DP-SGD noise multiplier up to {NOISE_MULTIPLIERS[1]:g} brings "
            f"{train.steps} steps within epsilon = {epsilon:g} at delta = {privacy.delta:g} (unit "
            f"{privacy.unit}, {privacy.adjacency}). Nothing was released. Raise privacy.epsilon, "
            f"or lower train.steps or train.sampling_rate. ({failure})"
        ) from None
    return with_noise(multiplier)


def _brought(
    config: Config, silo: SiloSettings, mu: float, claimed: ApproximateDP | None
) -> Budget:
    """Return the budget of a silo that brings its model: counts, where they are released; answers.

    Without a claim the answers are all that a record is protected by, whatever the model: the bound
    between any two models holds under every adjacency.
    """
    released = config.weights.source == "counts"
    share = config.privacy.counts_share if released else 0.0
    counts = bought(mu**2 * share) if released else None
    alone = mu * math.sqrt(1.0 - share)
    budget = Budget(counts, released, None, None, alone, alone)
    if claimed is None:
        return budget

    def with_answers(cap: float) -> Budget:
        return replace(budget, answers_mu=cap, record_mu=None, claimed=claimed)

    wanted, epsilon, delta = cap_mu(config), config.epsilon(silo), config.privacy.delta

    def fits(cap: float) -> bool:
        claim = with_answers(cap).record_claim()
        return bound_of(claim, delta=delta, adjacency=config.privacy.adjacency).upper <= epsilon

    if fits(wanted):
        return with_answers(wanted)
    low, high = alone * LEAST_GAIN, wanted
    if not fits(low):
        return budget  # the claim helps nothing: answers alone may have as much
    for _ in range(CAP_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return with_answers(low)


def _counts_alone(config: Config, mu: float) -> Budget:
    """Return the budget of a silo that trains a brought model further, before its DP-SGD."""
    released = config.weights.source == "counts"
    counts = bought(mu**2 * config.privacy.counts_share) if released else None
    return Budget(counts, released, None, None, cap_mu(config), None)


def _statistics(config: Config, mu: float) -> Budget:
    """Return the budget of counts, origin, means, moments and cells, before there is a network."""
    base, sums, mu2 = config.base, mu**2 * base_share(config), mu**2 * moments_share(config)
    marginals: Gaussian | None = None
    clusters: tuple[Gaussian, ...] = ()
    if base.marginals_share > 0.0:
        marginals = bought(sums * base.marginals_share)
    if base.clusters > 1:
        left = sums * (1.0 - base.marginals_share)
        clusters = cell_rounds(left * base.clusters_share, base.cluster_rounds)
    origin, means, moments = None, None, bought(mu2)
    if base.residual_radius:
        origin = bought(mu2 * base.origin_share) if base.origin_share else None
        means = bought(mu2 * base.means_share)
        moments = bought(mu2 * (1.0 - base.means_share - base.origin_share))
    return Budget(
        counts=bought(mu**2 * config.privacy.counts_share),
        counts_released=config.weights.source == "counts",
        moments=moments,
        training=None,
        answers_mu=cap_mu(config),
        record_mu=None,
        origin=origin,
        means=means,
        clusters=clusters,
        base_released=base.combine != "none",
        marginals=marginals,
    )
