"""What a run will cost, computed from public settings alone, before anything is released."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from accountants import Adjacency, Bound, Event, Unbounded, epsilon, overlap
from dpfedsyn import absorption, domain, feasible, schedule, signed_claim, vouching
from dpfedsyn.budget import Budget, solve
from dpfedsyn.domain import Encoder
from dpfedsyn.draws import Draws, draws
from dpfedsyn.errors import BudgetExhausted, ConfigError, MechanismError
from dpfedsyn.lattice import delta_with_noise
from dpfedsyn.marginals import MarginalQuery
from dpfedsyn.passes import PassPlan, mechanism, planned_mu, planned_passes
from dpfedsyn.schedule import AnswerNoise
from dpfedsyn.settings import Config, SiloSettings
from dpfedsyn.signed_claim import Claim

_INEXACT = (
    "sampler.absorb with energy = 'l2': the weights depend on the noise that is absorbed, so the "
    "chain's law changes a little. Set sampler.absorb = false for the literal method."
)

_WIDE = (
    "Pass {}: its steps of second order leave rows {:.3g} times as wide as they should be. Raise "
    "its levels or its spacing (to 3), or set order = 1."
)


@dataclass(frozen=True)
class Plan:
    """Every silo's budget, the passes, and why the plan does not fit (`faults`), if it does not."""

    config: Config
    encoder: Encoder  # of the public schema, read once
    budgets: dict[str, Budget]
    passes: tuple[PassPlan, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    claims: Mapping[str, Claim] = field(default_factory=dict)  # signed, of brought models

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

    def carried(self, silo: SiloSettings) -> str:
        """Return what the epsilon of a silo that brings its model comes from."""
        claim, budget = self.claims.get(silo.name), self.budgets.get(silo.name)
        return vouching.carries(self.config, silo, claim, budget)

    def behind(self, silo: SiloSettings) -> str:
        """Say what protects the records behind a model that a silo brings."""
        claim = self.claims.get(silo.name)
        return vouching.told(self.config, silo, claim, self.carried(silo))

    @property
    def rounds(self) -> int:
        """Query rounds of all passes together."""
        return sum(len(part.kernels) for part in self.passes)

    def draws(self, name: str) -> Draws:
        """Return the caps on a silo's draws of noise in the whole run."""
        geometry = self.encoder.geometry
        moving = 0 if geometry is None else int((~geometry.basis.any(axis=1)).sum())
        return draws(
            self.config,
            self.budgets[name],
            dimension=self.dimension,
            classes=self.classes,
            pose=moving,
            rounds=self.rounds,
            histograms=MarginalQuery(self.encoder.numbers).length,
            network=_silo(self.config, name).parameters or None,
        )

    def delta_with_noise(self, epsilon: float, draws: int) -> float | None:
        """Return delta' of a claim, or None where so many draws allow none at this epsilon."""
        try:
            return delta_with_noise(self.config.privacy.delta, epsilon, draws)
        except MechanismError:
            return None

    @property
    def overlapping_draws(self) -> int:
        """Draws of noise that somebody's records in up to `overlap` silos can be behind."""
        each = sorted(self.draws(name).total for name in self.budgets)
        return sum(each[-self.config.privacy.overlap :])

    @cached_property
    def round_costs(self) -> tuple[float, ...]:
        """What each round of the run costs a silo that is asked all rows: mu_t^2 of two models."""
        return tuple(cost for part in self.passes for cost in self.costs(part))

    def costs(self, part: PassPlan) -> tuple[float, ...]:
        """Return what each round of a pass costs a silo that is asked all of its rows."""
        costs = mechanism(self.config)
        return tuple(
            costs.silo_mu2(part.rows, noise.score_std, noise.energy_std)
            for noise in self.noise(part, part.rows)
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
    encoder, claims = domain.encoder_of(config), claims_of(config)
    dimension, classes = encoder.dimension, len(encoder.labels)
    if config.network.kind == "unet" and encoder.geometry is None:
        raise ConfigError(
            f'network.kind = "unet": {config.data.schema} describes a table, whose {dimension} '
            "coordinates make no picture, so there is nothing to convolve; nothing was planned. "
            'Set network.kind = "mlp".'
        )
    if config.base.marginals_share and not encoder.numbers:
        raise ConfigError(
            f"base.marginals_share = {config.base.marginals_share:g}: {config.data.schema} has no "
            "columns of numbers, so there is nothing to count; nothing was planned. Set "
            "base.marginals_share = 0."
        )
    shares = config.weights.labels
    if shares and len(shares) != classes:
        raise ConfigError(
            f"weights.labels has {len(shares)} shares, the schema has {classes} labels "
            f"({', '.join(encoder.labels)}); give one share per label, or none."
        )
    faults: list[str] = []
    budgets = {}
    for silo in config.silos:
        faults += feasible.faults(config, silo, dimension, classes)
    if not faults:
        for silo in config.silos:
            try:
                budgets[silo.name] = budget_of(config, silo, claims.get(silo.name))
            except BudgetExhausted as refusal:
                faults.append(str(refusal))
    plan = Plan(config, encoder, budgets, planned_passes(config), (), (), claims)
    notes = [plan.behind(silo) for silo in config.bringing]
    if any(part.settings.absorb and part.settings.energy == "l2" for part in plan.passes):
        notes.append(_INEXACT)
    notes += _too_wide(plan)
    faults += _too_many_draws(plan)
    for name in budgets:
        text = _early_end(plan, name)
        if text:
            (notes if config.answers.allow_partial else faults).append(text)
    return replace(plan, faults=tuple(faults), notes=tuple(notes))


def claims_of(config: Config) -> dict[str, Claim]:
    """Return what is claimed of brought models, by silo; each checked against its pinned key.

    Raises:
        ModelError: a claim that is not signed by that key, or not in the run's terms.
    """
    found = {silo.name: signed_claim.of_silo(config, silo) for silo in config.bringing}
    return {name: claim for name, claim in found.items() if claim is not None}


def budget_of(config: Config, silo: SiloSettings, claim: Claim | None) -> Budget:
    """Return a silo's budget, with what is claimed of a model that it brings."""
    return solve(config, silo, None if claim is None else claim.event)


def _too_wide(plan: Plan) -> list[str]:
    """Say which passes of second order have too few or too evenly spread rounds."""
    data_std, found = plan.config.network.data_std, []
    for part in plan.passes:
        if part.settings.kernel == "ancestral" and part.settings.order == 2:
            wide = absorption.spread(part.settings, None, data_std=data_std, concentration=1.0)
            if wide > absorption.MOST_SPREAD:
                found.append(_WIDE.format(part.name, wide))
    return found


def _round_down(value: float) -> str:
    """Three significant digits, never above the value."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.floor(value / unit) * unit:.3g}"


def _too_many_draws(plan: Plan) -> list[str]:
    """Say which silos would draw more noise than a claim at their epsilon can carry."""
    config, claims = plan.config, []
    for name, budget in plan.budgets.items():
        if budget.unprotected is None:
            claims.append((name, config.epsilon(_silo(config, name)), plan.draws(name).total))
    if claims and config.privacy.overlap > 1:
        claims.append(("across silos", plan.across_silos().upper, plan.overlapping_draws))
    found = []
    for name, claimed, drawn in claims:
        try:
            delta_with_noise(config.privacy.delta, claimed, drawn)
        except MechanismError as error:
            found.append(f"{name}: {error} Or lower answers.rows, the rounds or train.steps.")
    return found


def _early_end(plan: Plan, name: str) -> str | None:
    """Say after how many rounds a silo's cap ends the run, if it does."""
    config, budget = plan.config, plan.budgets[name]
    whole = planned_mu(config) ** 2
    cap = budget.answers_mu**2
    if whole <= cap * (1.0 + 1e-12):
        return None
    fitting = rounds_that_fit(plan, name)
    needed = math.sqrt(whole / cap)
    return (
        f"{name}: its cap of epsilon = {config.epsilon(_silo(config, name)):g} (delta "
        f"{config.privacy.delta:g}, unit {config.privacy.unit}, {config.privacy.adjacency}) holds "
        f"{fitting} of {plan.rounds} rounds; the silo refuses the next one and the run ends "
        f"partial. To fit all, lower answers.mu to {_round_down(config.answers.mu / needed)} "
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
