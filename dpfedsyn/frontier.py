"""Budgeted generation: from "at most this epsilon and this mu" to rows, rounds, noise and split.

    solve(config, epsilon=3.0, answers_mu=5.0).plan.require()

Public settings alone; no record is read. N rows are N questions in every round: for each number of
rounds, mu buys as many rows as leave the answers' noise within what the sampler absorbs. Only
DDPM's own steps (order 1, eta 1) and Langevin's absorb it exactly, so a solved plan takes these.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from accountants import Composed, Event, Gaussian
from accountants import epsilon as epsilon_of
from dpfedsyn import budget, domain, feasible, shares
from dpfedsyn import plan as planning
from dpfedsyn.absorption import MOST_SPREAD
from dpfedsyn.errors import BudgetExhausted, ConfigError
from dpfedsyn.plan import Plan
from dpfedsyn.point import Point, measured, most_rows
from dpfedsyn.round_settings import SamplerSettings
from dpfedsyn.settings import Config
from dpfedsyn.shares import base_share

MOST_EXCESS = 100.0  # times the noise that is absorbed; beyond it there is no row left to find

RULE = (
    "the rows that the configuration asks for, or as many as mu buys with the noise absorbed, at "
    f"numbers of rounds that by themselves leave the spread within {MOST_SPREAD:g}; of these, the "
    "most rounds that still allow so many; at the configuration's own rounds all further rows"
)
RULE_OF_NONE = (
    "mu buys not one row whose noise is absorbed, so: one row, at the number of rounds (with the "
    f"spread within {MOST_SPREAD:g} by themselves) whose noise goes least beyond it"
)

_PLAIN = (
    "The steps are DDPM's own (sampler.order = 1, eta = 1, spacing = 1), other than configured: no "
    "others absorb the answers' noise exactly."
)


@dataclass(frozen=True)
class Frontier:
    """All points within one budget, the one that was chosen, and its whole plan."""

    points: tuple[Point, ...]
    chosen: Point
    rule: str
    plan: Plan  # plan.config is the configuration that `run` takes
    notes: tuple[str, ...]

    def config(self, point: Point) -> Config:
        """Return the configuration of any point; all have the same training and the same caps."""
        return _at(self.plan.config, point.levels, point.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for `plan --json` and the terminal."""
        config, privacy = self.plan.config, self.plan.config.privacy
        return {
            "budget": {
                "epsilon": self._epsilon(),
                "delta": privacy.delta,
                "unit": privacy.unit,
                "adjacency": privacy.adjacency,
                "answers_mu": config.answers.mu if _ensemble(config) else shares.cap_mu(config),
                "answers_mu_of": "one record" if _ensemble(config) else "any two models",
            },
            "sampler": {
                "kernel": config.sampler.kernel,
                "step": config.sampler.step,
                "energy": config.sampler.energy,
                "steps_per_level": config.sampler.steps_per_level,
                "order": config.sampler.order,
                "spacing": config.sampler.spacing,
                "eta": config.sampler.eta,
            },
            "split": self._split(),
            "frontier": [asdict(point) for point in self.points],
            "chosen": asdict(self.chosen),
            "rule": self.rule,
            "notes": list(self.notes),
            "plan": self.plan.to_dict(),
        }

    def _epsilon(self) -> float | None:
        """The largest budget of a silo; None where nothing is promised."""
        config = self.plan.config
        if config.train.method == "not-private":
            return None
        return max(config.epsilon(silo) for silo in config.silos)

    def _split(self) -> dict[str, float] | None:
        privacy = self.plan.config.privacy
        if self.plan.config.train.method != "dp-sgd":
            return None
        base = base_share(self.plan.config)
        rest = max(0.0, 1.0 - privacy.counts_share - base)
        return {"counts": privacy.counts_share, "moments": base, "dp-sgd": rest}


def solve(
    config: Config, *, epsilon: float | None = None, answers_mu: float | None = None
) -> Frontier:
    """Return what a budget buys: rows, rounds, each round's noise and the training split.

    Args:
        epsilon: at record level, for every silo, at the configuration's delta; None: as configured.
            A silo's own smaller budget stays.
        answers_mu: of the answers alone, between any two models (of an ensemble: of one record);
            None: as configured. Given, no reserve for rows after the run is kept of it.

    Guarantee:
        At every point of the frontier every silo meets both budgets: its record-level claim,
        answers at their cap, is at most epsilon, and the cap on its answers at most answers_mu.
        All is computed from public settings.

    Raises:
        BudgetExhausted: the budget is too small for some silo, or one row's noise would go more
        than `MOST_EXCESS` times beyond what is absorbed; says what would do. ConfigError: a budget
        out of range, or settings with which it means nothing.
    """
    _check(config, epsilon, answers_mu)
    asked = config.sampler
    config = _budgeted(config, epsilon, answers_mu)
    changed = asked.kernel == "ancestral" and asked != config.sampler
    points = tuple(most_rows(config, levels) for levels in _levels(config.sampler))
    chosen, rule = _choose(points, config.answers.rows)
    if chosen.excess > MOST_EXCESS:
        raise BudgetExhausted(
            f"answers of mu = {config.answers.mu:g}: the noise on a single row would be "
            f"{chosen.excess:.3g} times what the sampler absorbs, so nothing of it would be left. "
            f"Nothing was released. One absorbed row costs mu >= {_up(chosen.mu_of_a_row)}; a row "
            f"of noise up to {MOST_EXCESS:g} times that, mu >= "
            f"{_up(chosen.mu_of_a_row / MOST_EXCESS)}."
        )
    chosen = measured(config, chosen)
    points = tuple(chosen if point.rounds == chosen.rounds else point for point in points)
    plan = planning.make(_at(config, chosen.levels, chosen.rows))
    plan.require()
    notes = _notes(plan, chosen)
    return Frontier(points, chosen, rule, plan, (*notes, *([_PLAIN] if changed else [])))


def _check(config: Config, epsilon: float | None, answers_mu: float | None) -> None:
    for name, value, most in (("epsilon", epsilon, 1e6), ("answers_mu", answers_mu, 1e12)):
        if value is not None and not 0.0 < value <= most:
            raise ConfigError(
                f"{name} = {value}: allowed is (0, {most:g}]; nothing was planned. Give a budget."
            )
    if epsilon is not None and config.train.method == "not-private":
        raise ConfigError(
            f"epsilon = {epsilon:g} with train.method = 'not-private': such a run has no "
            "record-level claim to be budgeted. Set train.method = 'dp-sgd'."
        )
    if not config.sampler.absorb:
        raise ConfigError(
            "sampler.absorb = false: no noise is absorbed, so no number of rows follows from it. "
            "Set sampler.absorb = true, or another preset."
        )


def _budgeted(config: Config, epsilon: float | None, answers_mu: float | None) -> Config:
    """Return the configuration within both budgets: one pass, and the least split that works."""
    if answers_mu is not None and _ensemble(config):
        # Here answers are all that a record pays for: mu and epsilon are one budget.
        answers = Gaussian(1.0 / answers_mu)
        own = epsilon_of(
            answers, delta=config.privacy.delta, adjacency=config.privacy.adjacency
        ).lower
        epsilon = min(own, config.privacy.epsilon if epsilon is None else epsilon)
    if epsilon is not None:
        silos = tuple(
            silo if silo.epsilon is None else replace(silo, epsilon=min(silo.epsilon, epsilon))
            for silo in config.silos
        )
        config = replace(config, silos=silos, privacy=replace(config.privacy, epsilon=epsilon))
    mu = config.answers.mu if answers_mu is None else answers_mu
    if _ensemble(config):
        caps = (budget.solve(config, silo).record_mu for silo in config.silos)
        mu = min(mu, *(cap for cap in caps if cap is not None))
    # Who caps the answers wants all of it in the planned rounds.
    reserve = config.answers.reserve if answers_mu is None else 0.0
    claims = planning.claims_of(config)
    for silo in config.bringing:
        asked = replace(config, answers=replace(config.answers, mu=mu, reserve=reserve))
        cap = planning.budget_of(asked, silo, claims.get(silo.name)).answers_mu
        mu = min(mu, cap / math.sqrt(1.0 + reserve))
    answers_settings = replace(
        config.answers, mu=mu, reserve=reserve, best_share=0.0, allow_partial=False
    )
    encoder = domain.encoder_of(config)
    privacy = feasible.split(config, encoder.dimension, len(encoder.labels))
    sampler = replace(config.sampler, order=1, spacing=1.0, eta=1.0)
    return replace(config, sampler=sampler, answers=answers_settings, privacy=privacy)


def _ensemble(config: Config) -> bool:
    return config.train.method == "ensemble"


def _levels(settings: SamplerSettings) -> list[int]:
    """Numbers of levels to look at: 1, 2, 5, 10 ... up to the configuration's own."""
    steps = (digit * 10**power for power in range(4) for digit in (1, 2, 5))
    return [*(step for step in steps if step < settings.levels), settings.levels]


def _at(config: Config, levels: int, rows: int) -> Config:
    return replace(
        config,
        sampler=replace(config.sampler, levels=levels),
        answers=replace(config.answers, rows=rows),
    )


def _choose(points: tuple[Point, ...], wanted: int) -> tuple[Point, str]:
    """Return the point that `RULE` names, and the rule.

    More budget never means fewer rows: rows grow to what is wanted, then rounds, then rows again.
    """
    holding = [point for point in points if point.holds]
    most = max(point.absorbed_rows for point in holding)
    if most == 0:
        return min(holding, key=lambda point: point.excess), RULE_OF_NONE
    rows = min(wanted, most)
    longest = max((p for p in holding if p.absorbed_rows >= rows), key=lambda p: p.rounds)
    if longest is holding[-1]:
        rows = longest.absorbed_rows
    return replace(longest, rows=rows), RULE


def _notes(plan: Plan, chosen: Point) -> tuple[str, ...]:
    notes = []
    if not chosen.absorbed_rows:
        notes.append(
            f"The noise of the chosen plan is {chosen.excess:.3g} times what the sampler absorbs, "
            f"and its rows are {chosen.spread:.3g} times as wide as they should be: it tells "
            f"little or nothing of the records. At {chosen.rounds} rounds one absorbed row costs "
            f"mu >= {_up(chosen.mu_of_a_row)}, 100 rows mu >= {_up(10.0 * chosen.mu_of_a_row)}."
        )
    if plan.config.sampler.step == "anchored":
        notes.append("Anchored: a silo is asked about its own rows alone, and adds less noise.")
    if plan.config.train.method == "dp-sgd":
        notes.append(_share_of_the_answers(plan))
    return tuple(notes)


def _share_of_the_answers(plan: Plan) -> str:
    """Say what the answers' noise takes off the record level of the worst silo."""
    events: list[Event] = [Composed((*b.releases(), *b.inside())) for b in plan.budgets.values()]
    trained = max(plan.epsilon(event).upper for event in events)
    claim = max(plan.epsilon(b.record_claim()).upper for b in plan.budgets.values())
    if trained <= claim * (1.0 + 1e-4):
        return "The record level rests on counts, moments and DP-SGD: the answers take nothing off."
    privacy = plan.config.privacy
    return (
        f"The answers' part of the record level: with the model itself released it would be "
        f"epsilon <= {_up(trained, 4)} instead of <= {_up(claim, 4)} (worst silo; delta "
        f"{privacy.delta:g}, unit {privacy.unit}, {privacy.adjacency})."
    )


def _up(value: float, digits: int = 3) -> str:
    """A few significant digits, never below the value."""
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - digits)
    return f"{math.ceil(value / unit * (1.0 - 1e-12)) * unit:.{digits}g}"
