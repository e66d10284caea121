"""What a run will cost, computed from public settings alone, before anything is released."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from accountants import Adjacency, Bound, Event, Unbounded, epsilon, gaussian, overlap
from dpfedsyn import domain, schedule
from dpfedsyn.budget import Budget, solve
from dpfedsyn.diffusion import Kernel
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import BudgetExhausted, ConfigError
from dpfedsyn.moments import counts_sensitivity, query_of
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.schedule import AnswerNoise
from dpfedsyn.settings import Config, SamplerSettings, SiloSettings

# A budget is too small for a silo when its noise drowns what a silo of that public size can say:
# a label count lost in its own noise, or a mean that is noise four times over.
LEAST_COUNT_TO_NOISE = 2.0
MOST_NOISE_TO_SPREAD = 4.0
LEAST_PER_PART = 2.0  # records in one part of an ensemble

_INEXACT = (
    "sampler.absorb with energy = 'l2': the weights depend on the noise that is absorbed, so the "
    "chain's law changes a little. Set sampler.absorb = false for the literal method."
)


@dataclass(frozen=True)
class PassPlan:
    """One sampling pass and its share of the answers' mu^2."""

    name: str
    settings: SamplerSettings
    share: float
    first_round: int

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The pass's steps, one query round each."""
        return schedule.kernels(self.settings)


@dataclass(frozen=True)
class Plan:
    """Every silo's budget, the passes, and why the plan does not fit (`faults`), if it does not."""

    config: Config
    encoder: Encoder  # of the public schema, read once
    budgets: dict[str, Budget]
    passes: tuple[PassPlan, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def dimension(self) -> int:
        """Number of coordinates of a record."""
        return self.encoder.dimension

    @property
    def classes(self) -> int:
        """Number of public labels."""
        return len(self.encoder.labels)

    @property
    def fits(self) -> bool:
        """Whether the run may start."""
        return not self.faults

    @property
    def adjacency(self) -> Adjacency:
        """The adjacency of every claim."""
        return Adjacency(self.config.privacy.adjacency)

    def require(self) -> None:
        """Raise `BudgetExhausted` with all faults where the plan does not fit."""
        if self.faults:
            faults = "\n".join(f"  - {fault}" for fault in self.faults)
            raise BudgetExhausted(
                f"The plan does not fit its budget; nothing was released.\n{faults}"
            )

    @cached_property
    def round_costs(self) -> tuple[float, ...]:
        """What each round of the run costs a silo that is asked all rows: mu_t^2 of two models."""
        rows, costs = self.config.answers.rows, mechanism(self.config)
        return tuple(
            costs.silo_mu2(rows, noise.score_std, noise.energy_std)
            for part in self.passes
            for noise in self.noise(part, rows)
        )

    def noise(self, part: PassPlan, rows: int) -> tuple[AnswerNoise, ...]:
        """Return a silo's noise in every round of a pass in which it is asked `rows` rows."""
        mu = planned_mu(self.config) * math.sqrt(part.share)
        return schedule.calibrate(part.settings, self.config.answers, mu=mu, rows=max(rows, 1))

    def epsilon(self, event: Event) -> Bound:
        """Epsilon of an event at the run's delta and adjacency."""
        return epsilon(event, delta=self.config.privacy.delta, adjacency=self.adjacency)

    def across_silos(self) -> Bound:
        """Epsilon for somebody with records in up to `overlap` silos."""
        claims = [budget.record_claim() for budget in self.budgets.values()]
        privacy = self.config.privacy
        return overlap(claims, privacy.overlap, delta=privacy.delta, adjacency=self.adjacency)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, for `plan --json` and the report."""
        from dpfedsyn.plan_table import table

        return table(self)


def make(config: Config) -> Plan:
    """Plan a run: solve every silo's budget and compare it with what the passes ask for.

    Reads the configuration and the public schema, no records.
    """
    encoder = domain.encoder(config.path(config.data.schema), conditional=config.data.conditional)
    dimension, classes = encoder.dimension, len(encoder.labels)
    if config.network.kind == "unet" and encoder.geometry is None:
        raise ConfigError(
            f'network.kind = "unet": {config.data.schema} describes a table, whose {dimension} '
            "coordinates make no picture, so there is nothing to convolve; nothing was planned. "
            'Set network.kind = "mlp".'
        )
    shares = config.weights.labels
    if shares and len(shares) != classes:
        raise ConfigError(
            f"weights.labels has {len(shares)} shares, the schema has {classes} labels "
            f"({', '.join(encoder.labels)}); give one share per label, or none."
        )
    faults: list[str] = []
    notes: list[str] = []
    budgets = {}
    for silo in config.silos:
        faults += _too_small(config, silo, dimension, classes)
    if not faults:
        for silo in config.silos:
            try:
                budgets[silo.name] = solve(config, silo)
            except BudgetExhausted as refusal:
                faults.append(str(refusal))
    plan = Plan(config, encoder, budgets, passes(config), (), ())
    if any(part.settings.absorb and part.settings.energy == "l2" for part in plan.passes):
        notes.append(_INEXACT)
    for name in budgets:
        text = _early_end(plan, name)
        if text:
            (notes if config.answers.allow_partial else faults).append(text)
    return replace(plan, faults=tuple(faults), notes=tuple(notes))


def passes(config: Config) -> tuple[PassPlan, ...]:
    """Return the pass that was asked for and, with a budget share of its own, one by [best]."""
    extra = config.preset != "best" and config.answers.best_share > 0.0
    share = 1.0 - config.answers.best_share if extra else 1.0
    main = PassPlan(config.preset, config.sampler, share, 0)
    if not extra:
        return (main,)
    return (main, PassPlan("best", config.best, config.answers.best_share, len(main.kernels)))


def mechanism(config: Config) -> AnswerMechanism:
    """Return the answer mechanism that every silo uses."""
    parts = config.train.parts if config.train.method == "ensemble" else 1
    return AnswerMechanism(config.answers.clip, config.answers.energy_bound, parts)


def moved_parts(config: Config) -> int | None:
    """Return how many ensemble parts one record can move; None without an ensemble."""
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


def _too_small(config: Config, silo: SiloSettings, dimension: int, classes: int) -> list[str]:
    """Say why a budget is too small for a silo of this public size, and what would work."""
    if config.train.method == "not-private":
        return []
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
        works += f", or a silo of {math.ceil(size)} records"
    return [
        f"{silo.name}: epsilon = {wanted:g} is too small for a silo of reference size "
        f"{silo.reference_size:g} (delta {config.privacy.delta:g}, unit {config.privacy.unit}, "
        f"{config.privacy.adjacency}): the noise would drown its counts or means. What would work: "
        f"{works}."
    ]


def _too_many_parts(config: Config, silo: SiloSettings) -> list[str]:
    """Say why an ensemble's parts would be all but empty, and what would work."""
    per_part = silo.reference_size / config.train.parts
    if per_part >= LEAST_PER_PART:
        return []
    works = math.floor(silo.reference_size / LEAST_PER_PART)
    mend = f"train.parts <= {works}" if works else "a silo of more records"
    return [
        f"{silo.name}: {config.train.parts} parts of a silo of reference size "
        f"{silo.reference_size:g} hold {per_part:.2g} records each; their models would know "
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
    privacy, base = config.privacy, config.base
    adjacency = Adjacency(privacy.adjacency)
    mu = gaussian.mu(wanted, privacy.delta)
    query = query_of(dimension, classes, base)
    counts_std = counts_sensitivity(adjacency) / (mu * math.sqrt(privacy.counts_share))
    share = privacy.moments_share * (base.means_share if base.residual_radius else 1.0)
    means_std = query.sensitivity(adjacency) / (mu * math.sqrt(share))
    per_label = silo.reference_size / classes
    return max(
        LEAST_COUNT_TO_NOISE * counts_std / per_label,
        query.mean_noise(means_std) / per_label / (MOST_NOISE_TO_SPREAD * base.mean_spread),
    )


def _round_up(value: float) -> str:
    """Two significant digits, never below the value."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / unit) * unit:g}"


def _round_down(value: float) -> str:
    """Three significant digits, never above the value."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.floor(value / unit) * unit:.3g}"


def _early_end(plan: Plan, name: str) -> str | None:
    """Say after how many rounds a silo's cap ends the run, if it does."""
    config, budget = plan.config, plan.budgets[name]
    whole = planned_mu(config) ** 2
    cap = budget.answers_mu**2
    if whole <= cap * (1.0 + 1e-12):
        return None
    rounds = sum(len(part.kernels) for part in plan.passes)
    fitting = rounds_that_fit(plan, name)
    needed = math.sqrt(whole / cap)
    return (
        f"{name}: its cap of epsilon = {config.epsilon(_silo(config, name)):g} (delta "
        f"{config.privacy.delta:g}, unit {config.privacy.unit}, {config.privacy.adjacency}) holds "
        f"{fitting} of {rounds} rounds; the silo refuses the next one and the run ends partial. "
        f"To fit all, lower answers.mu to {_round_down(config.answers.mu / needed)} "
        f"(noise x {needed:.2f})."
    )


def mu2_after(plan: Plan, number: int) -> float:
    """Return what the first rounds of a run cost together, between any two models of a silo."""
    return math.fsum(plan.round_costs[:number])


def rounds_that_fit(plan: Plan, name: str) -> int:
    """Return how many rounds a silo's cap holds."""
    cap = plan.budgets[name].answers_mu ** 2
    return sum(1 for spent in itertools.accumulate(plan.round_costs) if spent <= cap)


def _silo(config: Config, name: str) -> SiloSettings:
    return next(silo for silo in config.silos if silo.name == name)


def silo_reading(plan: Plan, name: str, silo_mu2: float) -> tuple[Bound | None, str | None]:
    """Return the silo-level epsilon, or None and the reason why there is none."""
    claim = plan.budgets[name].silo_claim(silo_mu2)
    if isinstance(claim, Unbounded):
        return None, claim.reason
    return plan.epsilon(claim), None
