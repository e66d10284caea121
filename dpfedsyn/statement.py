"""The privacy statement of a run: what is claimed for each silo, from the ledgers' own rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from accountants import Bound
from dpfedsyn import __version__, lattice, signed_claim
from dpfedsyn.budget import NOT_PRIVATE
from dpfedsyn.plan import Plan
from dpfedsyn.plan_table import across, bound, model_of, readings, shares_mu2
from dpfedsyn.released import Charged
from dpfedsyn.settings import Config

STATEMENT_VERSION = 1


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and after how many of its planned rounds, all passes together."""

    status: str  # "complete" | "partial"
    reason: str | None
    taken: int
    planned: int


def make(plan: Plan, charges: Mapping[str, Charged], outcome: Outcome) -> dict[str, Any]:
    """Return the statement as JSON-ready values.

    Guarantee:
        Every claimed epsilon is the one at the ledger's cap, which was fixed before the run; what
        the rows add up to can only be less. What a silo has spent that was not there at the end
        is what it said last, and every question that it was sent and never answered. With a noise
        seed there is no claim at all, nor where
        delta could not carry what drawn noise deviates from a Gaussian's.
    """
    config, privacy = plan.config, plan.config.privacy
    void = void_because(config)
    private = void is None
    return {
        "version": STATEMENT_VERSION,
        "status": outcome.status,
        "reason": outcome.reason,
        "rounds": {"taken": outcome.taken, "planned": outcome.planned},
        "private": private,
        "void": void,
        "silos": [_silo(plan, name, charges[name]) for name in plan.budgets],
        "overlap": privacy.overlap,
        "across_silos": _claim(plan, plan.across_silos(), private),
        "implementation": {
            "noise": lattice.SAMPLER,
            "noise_deviation": _deviation(plan),
            "draws": _caps(plan),
            "adjacency": f"{privacy.adjacency}, of training and claims; two models, whatever "
            "the adjacency, of answers",
            "sampling": _sampling(config),
            "training": _training(plan),
            "accountant": "exact Gaussian composition; certified bracket for Poisson-sampled "
            "steps; upper bound for the cascade of model and answers",
            "adversary": "a malicious server that sees every answer and chooses queries "
            "adaptively; computational through AES-256",
        },
        "unprotected": [
            "the schema: columns, bounds, categories, labels, missing-value codes",
            "which silos take part, their public reference sizes and all settings",
            "the test part: it is never used for training and enters the internal evaluation "
            f"unpaid ({config.data.test_fraction:.0%} of each silo's rows, by keyed hash)",
            "timing of the replies; with participation.timeout it also decides which answers are "
            "used",
        ],
        "caveats": [*_caveats(plan), *_unheard(charges)],
        "software": {
            "dpfedsyn": __version__,
            **{name: version(name) for name in ("torch", "opacus", "numpy", "cryptography")},
        },
    }


def void_because(config: Config) -> str | None:
    """Say why a run with these settings promises nothing to anybody, or None where it does."""
    if config.privacy.unsafe_noise_seed is not None:
        return (
            "privacy.unsafe_noise_seed is set: anybody can repeat and subtract the noise. This "
            "run is NOT private; it is a test."
        )
    if config.train.method == "not-private":
        return f"{NOT_PRIVATE}. This run is NOT private; it shows what privacy costs."
    return None


def _unheard(charges: Mapping[str, Charged]) -> list[str]:
    """Say whose spending is an upper bound, since its ledger could not be asked at the end."""
    return [
        f"{name} was last heard in round {last.round}: its charges are those of its last reply, "
        f"and {last.unheard} questions that it was sent and did not answer are counted as charged "
        "at their planned cost. Its own ledger has the exact sum; the claim, at the caps, holds."
        for name, charged in charges.items()
        if (last := charged.last_heard) is not None
    ]


def _silo(plan: Plan, name: str, charged: Charged) -> dict[str, Any]:
    budget, privacy = plan.budgets[name], plan.config.privacy
    private = void_because(plan.config) is None
    at_cap = plan.epsilon(budget.record_claim())
    carried = plan.delta_with_noise(at_cap.upper, plan.draws(name).total) if private else None
    spent = charged.answers_mu2
    spent_record = charged.record_mu2 if budget.record_mu is not None else spent
    last = charged.last_heard
    return {
        **({} if last is None else {"last_heard": asdict(last)}),
        "name": name,
        "unit": privacy.unit,
        "adjacency": privacy.adjacency,
        "delta": privacy.delta,
        "delta_with_noise": carried,
        "epsilon": None if carried is None else bound(at_cap),
        "readings_are": "what was spent, not a guarantee; the guarantee is epsilon, at the caps",
        "readings": readings(
            plan, name, record=budget.record_claim(spent_record or 0.0), silo_mu2=spent
        ),
        "charged": {
            "R": list(charged.released),
            "A": list(charged.inside),
            "B": {
                "answers": charged.answers,
                "mu": math.sqrt(spent),
                "cap_mu": budget.answers_mu,
            },
        },
        "shares_mu2": shares_mu2(plan, budget),
        "model": next(model_of(plan, s) for s in plan.config.silos if s.name == name),
        "ledger_id": charged.ledger_id,
        "ledger_head": charged.head,
    }


def _claim(plan: Plan, epsilon: Bound, private: bool) -> dict[str, Any] | None:
    """An epsilon with the terms that it means nothing without; None where nothing is claimed."""
    privacy = plan.config.privacy
    claim = across(plan, epsilon)
    if not private or claim["delta_with_noise"] is None:
        return None
    return {
        **claim,
        "delta": privacy.delta,
        "unit": privacy.unit,
        "adjacency": privacy.adjacency,
    }


def _deviation(plan: Plan) -> str:
    """What the drawn noise may deviate from a Gaussian's, and how delta carries it."""
    most = max((plan.draws(name).total for name in plan.budgets), default=0)
    variation, advantage = lattice.total_variation(most), lattice.generator_advantage(most)
    return (
        f"total variation at most {lattice.PER_DRAW:.3g} per draw, {variation:.2g} for all draws "
        f"of a silo, and {advantage:.2g} for the generator; delta_with_noise = delta + "
        "(1 + e^epsilon) times their sum, once"
    )


def _caps(plan: Plan) -> str:
    """How many draws of noise a silo takes at most, fixed before the run and refused beyond."""
    caps = {
        name: f"{name} {d.total:,} (counts {d.counts:,}, moments {d.moments:,}, DP-SGD "
        f"{d.training:,}, answers {d.answers:,})"
        for name, d in ((name, plan.draws(name)) for name in plan.budgets)
    }
    return "at most, per silo: " + "; ".join(caps.values())


def _sampling(config: Config) -> str:
    if not any(silo.trains for silo in config.silos):
        return "none: no model is trained here"
    match config.train.method:
        case "dp-sgd":
            return (
                f"Poisson at the public rate {config.train.sampling_rate:g}, secret bits from the "
                "same generator"
            )
        case "ensemble":
            return "none: the answers alone protect a record"
    return "none: nothing protects a record"


def _training(plan: Plan) -> str:
    bringing = [silo for silo in plan.config.bringing if not silo.tunes]
    if len(bringing) == len(plan.config.silos):
        return "none: every silo brings its model"
    if bringing:
        names = ", ".join(silo.name for silo in bringing)
        return f"{_own_training(plan)}; none at {names}, whose models are brought"
    return _own_training(plan)


def _own_training(plan: Plan) -> str:
    if plan.config.train.method == "dp-sgd":
        return (
            "DP-SGD through Opacus: public divisor, norms and sums in integers, sensitivity "
            "C (1 + 1e-6), noise of the same sampler"
        )
    if plan.config.train.method == "not-private":
        return "not private: one model per silo, trained without noise"
    return f"not private: {plan.config.train.parts} models on disjoint parts, never released"


def _answers_promise_little(plan: Plan) -> bool:
    """Whether some silo's answers alone claim ten times its whole epsilon, or more."""
    if plan.config.train.method != "dp-sgd":
        return False
    return any(
        plan.epsilon(b.answers_claim(b.answers_mu**2)).upper
        > 10.0 * plan.epsilon(b.record_claim()).upper
        for b in plan.budgets.values()
    )


def _rollback(config: Config) -> str:
    """Say which older copies are noticed: those that leave the anchor behind."""
    if config.privacy.anchors:
        return (
            "An older copy of a ledger or of the run folder, put back, is noticed by its anchor; "
            "one of both, a clone of the machine for instance, only by an exported head."
        )
    return (
        "An older copy of a ledger, put back, is noticed by its anchor; one of the whole run "
        "folder, in which the anchors lie, or of the machine only by an exported head."
    )


def _caveats(plan: Plan) -> list[str]:
    config = plan.config
    caveats = [
        "Defaults were chosen on development splits of the public hospital data in the package; "
        "on other records they are fixed beforehand and cost nothing.",
        "Test scores, distances and everything else under 'internal evaluation' are computed from "
        "real records without noise; publishing them is not covered by the claim.",
        "A record is named by its line in the silo's file, or by the schema's id column: the claim "
        "is about records that keep their names.",
        "A record's gradient is computed in float32 beside others: its last bits may depend on how "
        "many records are in the batch. Clipping, sums and noise are exact; the declared slack of "
        "1e-6 for those last bits was not exceeded in tests, but does not bound them for every "
        "device.",
        _rollback(config),
        "The claim is of this run alone; another run on the same records composes with it "
        "(`dpfedsyn plan --after`).",
        "The run folder holds every silo's key and ledger: publish the synthetic tables, not the "
        "folder.",
    ]
    for silo in config.bringing:
        caveats.append(signed_claim.told(silo, plan.claims.get(silo.name)))
    if config.bringing:
        caveats.append(
            "Brought models may have been trained on rows of the test part: what they generate can "
            "look better in the internal evaluation than it is."
        )
    if _answers_promise_little(plan):
        caveats.append(
            "With this many rows and rounds the answers' noise promises next to nothing of its "
            "own; the record-level claim rests on the DP training of the models."
        )
    if plan.config.weights.source == "counts":
        caveats.append("There is no silo-level claim: noisy label counts are released.")
    return caveats
