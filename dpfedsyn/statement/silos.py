"""One silo in the statement: its claim at the caps, what was charged, and what is left."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

from accountants import Bound, Composed, Event, PoissonSampled, Repeated
from dpfedsyn import lattice
from dpfedsyn.budget import Budget
from dpfedsyn.marking import void_because
from dpfedsyn.plan import Plan
from dpfedsyn.plan_table import across, bound, model_of, readings, shares_mu2
from dpfedsyn.released import Charged
from dpfedsyn.settings import SiloSettings
from dpfedsyn.statement import risk


def entry(plan: Plan, silo: SiloSettings, charged: Charged) -> dict[str, Any]:
    """Return a silo's entry as JSON-ready values."""
    budget, privacy = plan.budgets[silo.name], plan.config.privacy
    private = void_because(plan.config) is None
    at_cap = plan.epsilon(budget.record_claim())
    drawn = plan.draws(silo.name).total
    carried = plan.delta_with_noise(at_cap.upper, drawn) if private else None
    spent = charged.answers_mu2
    spent_record = charged.record_mu2 if budget.record_mu is not None else spent
    last = charged.last_heard
    found = readings(
        plan, silo.name, record=budget.record_claim(spent_record or 0.0), silo_mu2=spent
    )
    return {
        **({} if last is None else {"last_heard": asdict(last)}),
        "name": silo.name,
        "unit": privacy.unit,
        "adjacency": privacy.adjacency,
        "delta": privacy.delta,
        "delta_with_noise": carried,
        "epsilon": None if carried is None else bound(at_cap),
        "without_amplification": _unsampled(plan, budget, drawn) if carried is not None else None,
        "risk": None if carried is None else _risk(plan, budget, drawn),
        "reference_size": silo.reference_size,
        "readings_are": "what was spent, not a guarantee; the guarantee is epsilon, at the caps"
        if private
        else "NON-PRIVATE: nothing is promised; what the same run with secret noise would cost",
        "readings": found,
        "charged": {
            "R": list(charged.released),
            "A": list(charged.inside),
            "B": {
                "answers": charged.answers,
                "mu": math.sqrt(spent),
                "cap_mu": budget.answers_mu,
            },
        },
        "guarantees": _parts(plan, budget) if private else None,
        "budget": _budget(budget, spent, None if carried is None else at_cap, found),
        "shares_mu2": shares_mu2(plan, budget),
        **_brought(plan, silo),
        "model": "a random name inside the ledger's digests; neither it nor a hash is public",
        "ledger_id": charged.ledger_id,
        "ledger_head": charged.head,
    }


def _brought(plan: Plan, silo: SiloSettings) -> dict[str, Any]:
    """How a model that the silo brings was trained, and what is claimed of it by whom."""
    told = model_of(plan, silo)
    return {} if told is None else {"brought": told}


def claim(plan: Plan, epsilon: Bound, private: bool) -> dict[str, Any] | None:
    """Return the claim across silos with its terms and risk; None: nothing is claimed.

    Its risk is None where silos differ in too many ways to look at every group of them.
    """
    privacy = plan.config.privacy
    whole = across(plan, epsilon)
    if not private or whole["delta_with_noise"] is None:
        return None
    events = [budget.record_claim() for budget in plan.budgets.values()]
    worst = risk.subsets(events, min(privacy.overlap, len(events)))
    drawn = _deviation(plan.overlapping_draws)
    return {
        **whole,
        "delta": privacy.delta,
        "unit": privacy.unit,
        "adjacency": privacy.adjacency,
        "risk": None if worst is None else risk.of(worst, plan.adjacency, drawn, privacy.delta),
    }


def _risk(plan: Plan, budget: Budget, drawn: int) -> dict[str, Any]:
    return risk.of(
        (budget.record_claim(),), plan.adjacency, _deviation(drawn), plan.config.privacy.delta
    )


def _deviation(drawn: int) -> float:
    """Total variation between ideal and drawn noise, with what AES adds to it."""
    return lattice.total_variation(drawn) + lattice.generator_advantage(drawn)


def _unsampled(plan: Plan, budget: Budget, drawn: int) -> dict[str, Any] | None:
    """The same noise, had everybody known who was in each batch; None where nobody is sampled."""
    match budget.training:
        case Repeated(PoissonSampled(step, _), count):
            event = replace(budget, training=Repeated(step, count)).record_claim()
            return _terms(plan, plan.epsilon(event), drawn)
    return None


def _parts(plan: Plan, budget: Budget) -> dict[str, Any]:
    """What R, A and B promise each by itself, with the answers at their cap."""
    alone = budget.at_record_level(budget.answers_mu**2)
    events: dict[str, Event | None] = {
        "R": _composed(budget.releases()),
        "A": _composed(budget.inside()),
        "B": budget.answers_claim(alone),
    }
    return {
        "R_is": "what leaves beside the answers: noisy counts and sums",
        "A_is": "what trains the model, which stays inside: the model-level guarantee",
        "B_is": "the answers alone, whatever the model: the response-level guarantee",
        **{
            name: None if event is None else _terms(plan, plan.epsilon(event), None)
            for name, event in events.items()
        },
    }


def _composed(events: tuple[Event, ...]) -> Event | None:
    return Composed(events) if events else None


def _terms(plan: Plan, epsilon: Bound, drawn: int | None) -> dict[str, Any]:
    privacy = plan.config.privacy
    carried = {}
    if drawn is not None:
        carried = {"delta_with_noise": plan.delta_with_noise(epsilon.upper, drawn)}
    terms = {"delta": privacy.delta, "unit": privacy.unit, "adjacency": privacy.adjacency}
    return {"upper": epsilon.upper, "lower": epsilon.lower, **terms, **carried}


def _budget(
    budget: Budget, spent: float, at_cap: Bound | None, found: dict[str, Any]
) -> dict[str, Any]:
    """Cap, spent and remaining: as epsilon, which does not subtract, and as mu^2, which does."""
    cap = budget.answers_mu**2
    return {
        "epsilon_cap": None if at_cap is None else at_cap.upper,
        "epsilon_spent": None if at_cap is None else found["record"]["upper"],
        "answers_mu2": {
            "cap": cap,
            "spent": spent,
            "remaining": max(0.0, cap - spent),
        },
        "remaining_is": "for further answers of this run only; training is charged as planned, "
        "and a larger cap is a new budget that composes with this one",
    }
