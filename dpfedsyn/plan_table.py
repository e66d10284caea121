"""A plan as plain values: what `dpfedsyn plan` prints and the report shows."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from accountants import Bound, Composed, Event, gaussian
from dpfedsyn import latency, passes, vouching
from dpfedsyn import plan as planning
from dpfedsyn.budget import Budget
from dpfedsyn.counts import counts_sensitivity
from dpfedsyn.marginals import MarginalQuery
from dpfedsyn.marking import void_because
from dpfedsyn.moments import query_of
from dpfedsyn.passes import PassPlan
from dpfedsyn.plan import Plan
from dpfedsyn.report import wording
from dpfedsyn.settings import SiloSettings


def table(plan: Plan) -> dict[str, Any]:
    """Return the whole plan as a JSON-ready dictionary."""
    privacy = plan.config.privacy
    solved = [silo for silo in plan.config.silos if silo.name in plan.budgets]
    whole = plan.across_silos() if len(solved) == len(plan.config.silos) else None
    dear = latency.advice(plan.rounds, [part.settings.kernel for part in plan.passes])
    return {
        "void": void_because(plan.config),
        "unit": privacy.unit,
        "adjacency": privacy.adjacency,
        "delta": privacy.delta,
        "epsilon": privacy.epsilon,
        "overlap": privacy.overlap,
        "across_silos": None if whole is None else across(plan, whole),
        "rounds": plan.rounds,
        "rows": plan.config.answers.rows,
        "passes": [_pass(plan, part) for part in plan.passes],
        "silos": [_silo(plan, silo) for silo in solved],
        "epsilon_over_rounds": [_after(plan, solved, number) for number in _shown_rounds(plan)],
        "engines": latency.of(plan.rounds),
        "faults": list(plan.faults),
        "notes": [*plan.notes, *([] if dear is None else [dear])],
    }


def across(plan: Plan, whole: Bound) -> dict[str, Any]:
    """Return the claim for somebody with records in up to `overlap` silos."""
    return {
        **_ends(whole),
        "delta_with_noise": plan.delta_with_noise(whole.upper, plan.overlapping_draws),
    }


def bound(value: Bound | None) -> dict[str, Any] | None:
    """Return a bound as {"upper", "lower"}, or None."""
    return None if value is None else _ends(value)


def _ends(value: Bound) -> dict[str, Any]:
    return {"upper": value.upper, "lower": value.lower}


def readings(plan: Plan, name: str, *, record: Event, silo_mu2: float) -> dict[str, Any]:
    """Return the three readings of one silo: record level, answers alone, silo level.

    `delta_with_noise` is delta', for noise that is drawn and not ideal; None where an epsilon is so
    large that nothing is claimed at it.
    """
    budget, drawn = plan.budgets[name], plan.draws(name).total
    silo, reason = planning.silo_reading(plan, name, silo_mu2)
    privacy = plan.config.privacy

    def reading(value: Bound, unit: str, adjacency: str) -> dict[str, Any]:
        carried = plan.delta_with_noise(value.upper, drawn)
        terms = {"delta": privacy.delta, "unit": unit, "adjacency": adjacency}
        return {**_ends(value), **terms, "delta_with_noise": carried}

    answers = plan.epsilon(budget.answers_claim(budget.at_record_level(silo_mu2)))
    return {
        "record": reading(plan.epsilon(record), privacy.unit, privacy.adjacency),
        "answers": reading(answers, privacy.unit, privacy.adjacency),
        "silo": None if silo is None else reading(silo, "silo", "replace"),
        "silo_reason": reason,
    }


def model_of(plan: Plan, silo: SiloSettings) -> dict[str, Any] | None:
    """Return how a silo's brought model was trained and what is claimed of it; None: it trains."""
    if not silo.brings:
        return None
    claim = plan.claims.get(silo.name)
    return {
        "training": silo.training,
        "words": plan.behind(silo),
        "carried_by": plan.carried(silo),
        "claim": None if claim is None else {**claim.to_dict(), "public_key": silo.claim_key},
    }


def behind(plan: Plan) -> dict[str, str]:
    """Return in short, by silo, who answers for the models that were brought."""
    own = ((silo.name, model_of(plan, silo)) for silo in plan.config.bringing)
    return {name: wording.behind(model).strip() for name, model in own}


def shares_mu2(plan: Plan, budget: Budget) -> dict[str, float]:
    """Return each mechanism's share of the record-level mu^2.

    DP-SGD is not exactly Gaussian: it counts with the mu of a Gaussian mechanism that has the same
    upper bound on epsilon at the run's delta.
    """
    squares = {}
    if budget.counts is not None:
        squares["counts"] = budget.counts.mu**2
    if budget.marginals is not None:
        squares["marginals"] = budget.marginals.mu**2
    if budget.origin is not None:
        squares["origin"] = budget.origin.mu**2
    if budget.means is not None:
        squares["means"] = budget.means.mu**2
    if budget.moments is not None:
        squares["moments"] = budget.moments.mu**2
    if budget.clusters:
        squares["clusters"] = math.fsum(event.mu**2 for event in budget.clusters)
    if budget.training is not None:
        alone = plan.epsilon(budget.training).upper
        squares["dp-sgd"] = gaussian.mu(alone, plan.config.privacy.delta) ** 2
    if vouching.rests_on_claim(plan.config, budget):
        assert budget.claimed is not None
        squares["claimed"] = _as_gaussian(plan, budget.claimed) ** 2
    elif budget.claimed is not None or budget.record_mu is not None:
        squares["answers"] = (budget.record_mu or budget.answers_mu) ** 2
    total = math.fsum(squares.values()) or 1.0
    return {name: square / total for name, square in squares.items()}


def _shown_rounds(plan: Plan) -> list[int]:
    """Rounds 1, 2, 5, 10, 20, 50 ... and the last round of every pass."""
    ends = [part.first_round + len(part.kernels) for part in plan.passes]
    steps = (digit * 10**power for power in range(7) for digit in (1, 2, 5))
    return sorted({step for step in steps if step < ends[-1]} | set(ends))


def _after(plan: Plan, solved: list[SiloSettings], number: int) -> dict[str, Any]:
    """Return every silo's readings after so many rounds, while its cap holds."""
    silos = {}
    spent = planning.mu2_after(plan, number)
    for silo in solved:
        if number <= planning.rounds_that_fit(plan, silo.name):
            budget = plan.budgets[silo.name]
            claim = budget.record_claim(budget.at_record_level(spent))
            silos[silo.name] = readings(plan, silo.name, record=claim, silo_mu2=spent)
    return {"round": number, "silos": silos}


def _pass(plan: Plan, part: PassPlan) -> dict[str, Any]:
    rows = part.rows
    noise = plan.noise(part, rows)
    costs = passes.mechanism(plan.config)
    mu2 = [costs.silo_mu2(rows, n.score_std, n.energy_std) for n in noise]
    energies = [n.energy_std for n in noise if n.energy_std is not None]
    scores = [n.score_std for n in noise]
    return {
        "name": part.name,
        "sampler": part.settings.kernel,
        "energy": part.settings.energy,
        "step": part.settings.step,
        "rounds": len(part.kernels),
        "rows": rows,
        "mu": math.sqrt(math.fsum(mu2)),
        "mu_per_round": [math.sqrt(min(mu2)), math.sqrt(max(mu2))],
        "score_noise": [min(scores), max(scores)],
        "energy_noise": [min(energies), max(energies)] if energies else None,
    }


def _silo(plan: Plan, silo: SiloSettings) -> dict[str, Any]:
    budget = plan.budgets[silo.name]
    cap = budget.answers_mu**2
    return {
        "name": silo.name,
        "reference_size": silo.reference_size,
        "epsilon_target": plan.config.epsilon(silo),
        "rounds_that_fit": planning.rounds_that_fit(plan, silo.name),
        "draws": asdict(plan.draws(silo.name)),
        "readings": readings(plan, silo.name, record=budget.record_claim(), silo_mu2=cap),
        "mechanisms": _mechanisms(plan, budget),
        "model": model_of(plan, silo),
    }


def _as_gaussian(plan: Plan, event: Event) -> float:
    """Return the mu of a Gaussian mechanism with the same upper bound at the run's delta."""
    return gaussian.mu(plan.epsilon(event).upper, plan.config.privacy.delta)


def _mechanisms(plan: Plan, budget: Budget) -> list[dict[str, Any]]:
    shares = shares_mu2(plan, budget)
    base = plan.config.base
    query = query_of(plan.dimension, plan.classes, base)
    group = "R" if budget.base_released else "A"
    rows: list[dict[str, Any]] = []

    def add(
        name: str, group: str, event: Event, mu: float, noise_std: float | None, noise_of: str
    ) -> None:
        rows.append(
            {
                "name": name,
                "group": group,
                "mu": mu,
                "noise_std": noise_std,
                "noise_of": noise_of,
                "share_mu2": shares.get(name),
                "epsilon_alone": bound(plan.epsilon(event)),
            }
        )

    if budget.counts is not None:
        std = budget.counts.noise_multiplier * counts_sensitivity(plan.adjacency)
        add(
            "counts",
            "R" if budget.counts_released else "A",
            budget.counts,
            budget.counts.mu,
            std,
            "records",
        )
    if budget.marginals is not None:
        own = MarginalQuery(plan.encoder.numbers)
        std = budget.marginals.noise_multiplier * own.sensitivity(plan.adjacency)
        unit = "histograms of all numbers, radius 1"
        add("marginals", "R", budget.marginals, budget.marginals.mu, std, unit)
    if budget.origin is not None:
        std = budget.origin.noise_multiplier * query.sensitivity(plan.adjacency)
        add("origin", group, budget.origin, budget.origin.mu, std, "vector of radius 1")
    if budget.means is not None:
        std = budget.means.noise_multiplier * query.sensitivity(plan.adjacency)
        add("means", group, budget.means, budget.means.mu, std, "vector of radius 1 per label")
    if budget.moments is not None:
        std = budget.moments.noise_multiplier * query.sensitivity(plan.adjacency)
        add("moments", group, budget.moments, budget.moments.mu, std, "joint vector of radius 1")
    if budget.clusters:
        *_, last = budget.clusters
        mu = math.sqrt(math.fsum(event.mu**2 for event in budget.clusters))
        unit = f"vector of radius 1, last of {len(budget.clusters)} rounds"
        std = last.noise_multiplier * query.sensitivity(plan.adjacency)
        add("clusters", group, Composed(budget.clusters), mu, std, unit)
    if budget.training is not None:
        unit = f"clip norm, {budget.training.count} steps"
        mu = gaussian.mu(plan.epsilon(budget.training).upper, plan.config.privacy.delta)
        add("dp-sgd", "A", budget.training, mu, budget.noise_multiplier, unit)
    if budget.claimed is not None:
        mu = _as_gaussian(plan, budget.claimed)
        add("claimed", "A", budget.claimed, mu, None, "by the model's signer, not here")
    alone = budget.record_mu or budget.answers_mu
    add("answers", "B", budget.answers_claim(alone**2), alone, None, "")
    return rows
