"""How the claim was implemented: noise, sampling, training, accountant, adversary, tuning."""

from __future__ import annotations

from typing import Any

from dpfedsyn import lattice
from dpfedsyn.plan import Plan
from dpfedsyn.settings import Config


def implementation(plan: Plan) -> dict[str, str]:
    """Return texts about every part that the claim rests on."""
    privacy = plan.config.privacy
    return {
        "noise": lattice.SAMPLER,
        "noise_deviation": _deviation(plan),
        "draws": _caps(plan),
        "adjacency": f"{privacy.adjacency}, of training and claims; two models, whatever "
        "the adjacency, of answers",
        "sampling": _sampling(plan.config),
        "training": _training(plan),
        "accountant": "exact Gaussian composition; certified bracket for Poisson-sampled "
        "steps; upper bound for the cascade of model and answers",
        "adversary": "a malicious server that sees every answer and chooses queries "
        "adaptively; computational through AES-256",
    }


def trust(*, one_process: bool) -> dict[str, str]:
    """Return who sees what, and whom the claim trusts.

    Args:
        one_process: whether it was all silos and the server.
    """
    alone = "holds its records, model, key and ledger; trusts itself alone, refuses at its cap"
    held = (
        "one process held the records, models, keys and ledgers of all silos: each had to trust "
        "whoever ran it; a silo refuses at its cap"
    )
    return {
        "silo": held if one_process else alone,
        "server": "sees what is released and every noised answer; may be malicious, and collude "
        "with other silos: each silo's claim holds against all of them together",
        "network": "carries noised answers only; whoever listens sees no more than the server",
        "recipients": "see the rows and this statement, made of noised answers: post-processing",
        "secure_aggregation": "none is used, and none would lower an epsilon here",
    }


def preprocessing(plan: Plan) -> dict[str, str]:
    """Return what happens to records before any noise, and how settings were chosen."""
    unit = plan.config.privacy.unit
    return {
        "records": "each is encoded by itself from the public schema: bounds, categories, codes, "
        "missing values; a silo leaves out what the schema cannot read, record by record, and no "
        "statistic of the data is used without noise and charge",
        "split": f"into training and test part by a keyed hash of each {unit}'s name, which no "
        f"other {unit} moves",
        "tuning": plan.config.statement.tuning,
        "tuning_charged": "nothing: this run tried one configuration. Whoever chose it by looking "
        "at these records owes what the tries cost (`dpfedsyn plan --after`)",
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
            return f"none: the answers alone protect a {config.privacy.unit}"
    return f"none: nothing protects a {config.privacy.unit}"


def _training(plan: Plan) -> str:
    untrained = [silo for silo in plan.config.silos if not silo.trains]
    if len(untrained) == len(plan.config.silos):
        return "none: every silo brings its model"
    if untrained:
        names = ", ".join(silo.name for silo in untrained)
        return f"{_own_training(plan)}; none at {names}, whose models are brought"
    return _own_training(plan)


def _own_training(plan: Plan) -> str:
    if plan.config.train.method == "dp-sgd":
        tuned = any(silo.tunes for silo in plan.config.silos)
        if plan.config.network.kind == "none" and not tuned:
            return "no network, so no DP-SGD: a base made of noised sums"
        return (
            "DP-SGD through Opacus: public divisor, norms and sums in integers, sensitivity "
            "C (1 + 1e-6), noise of the same sampler"
        )
    if plan.config.train.method == "not-private":
        return "not private: one model per silo, trained without noise"
    return f"not private: {plan.config.train.parts} models on disjoint parts, never released"


def public_settings(plan: Plan) -> dict[str, Any]:
    """Return the settings that a reader needs to judge the claim; all of them are public."""
    config = plan.config
    samplers = [part.settings for part in plan.passes]
    return {
        "kind": "table" if plan.encoder.geometry is None else "images",
        "schema": plan.encoder.digest,
        "dimension": plan.dimension,
        "labels": list(plan.encoder.labels),
        "method": config.train.method if any(s.trains for s in config.silos) else "brought",
        "network": config.network.kind,
        "base": config.base.combine,
        "weights": config.weights.source,
        "pretrain_steps": config.pretrain.steps,
        "rows": config.answers.rows,
        "energies_released": any(settings.energy == "released" for settings in samplers),
        "timeout": config.participation.timeout,
        "test_fraction": config.data.test_fraction,
        "public_test": bool(config.data.test),
        "groups": list(config.evaluate.groups),
        "baselines": list(config.evaluate.trained),
        "simulated_partition": config.partition is not None,
        "noise_seeded": config.privacy.unsafe_noise_seed is not None,
        "anchors_elsewhere": bool(config.privacy.anchors),
    }
