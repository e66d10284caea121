"""A ledger's header against the public settings: what it enforces is what they ask for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from accountants import Event, Gaussian, PoissonSampled, epsilon
from accountants.rows import ANSWER, Header, Planned
from dpfedsyn import signed_claim
from dpfedsyn.audit import costs
from dpfedsyn.audit.costs import ROUNDED
from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.findings import CONSISTENT, NEW_RUN, Finding, one
from dpfedsyn.errors import ModelError
from dpfedsyn.settings import Config, SiloSettings

TIGHT = 1e-4  # a calibrated multiplier, lowered by so much, no longer meets the budget
LEAST_MULTIPLIER = 0.2 * (1.0 + TIGHT)  # of DP-SGD: however large a budget is


def terms(evidence: Evidence, silo: SiloEvidence) -> Finding:
    """The header's terms, caps and multipliers are those of the public settings."""
    return one(
        "terms",
        silo.name,
        list(_wrong_terms(evidence, silo)),
        holds="terms, caps and noise multipliers of the first row are those of the settings.",
        consequence="The ledger enforces another promise than the configuration's.",
        mend=NEW_RUN,
    )


def _wrong_terms(evidence: Evidence, silo: SiloEvidence) -> Iterator[str]:
    header, config, privacy = silo.header, evidence.config, evidence.config.privacy
    for name in ("unit", "adjacency", "delta"):
        stated, wanted_term = getattr(header, name), getattr(privacy, name)
        if stated != wanted_term:
            yield f"{name} is {stated} where the settings say {wanted_term}"
    planned = {p.kind: p for p in header.planned}
    private = config.train.method != "not-private"
    upper, budget = costs.upper(header, private), config.epsilon(silo.settings)
    if private and not upper <= budget * (1.0 + ROUNDED):
        yield f"its whole claim, at the caps, is epsilon = {upper:.6g} of a budget of {budget:g}"
    answers, record = costs.caps(config, silo.settings, "claimed" in planned)
    if not header.answers_cap <= answers * (1.0 + ROUNDED):
        yield f"the answers' mu^2 is capped at {header.answers_cap:.9g} instead of {answers:.9g}"
    if record is not None and not (header.record_cap or math.inf) <= record * (1.0 + ROUNDED):
        yield f"the record-level mu^2 is capped at {header.record_cap} instead of {record:.9g}"
    spent = math.fsum(charge.mu2 for charge in silo.of(ANSWER))
    if not spent <= header.answers_cap:
        yield f"answers of mu^2 = {spent:.9g} exceed their cap of {header.answers_cap:.9g}"
    wanted = costs.multipliers(config, silo.settings)
    for kind, multiplier in wanted.items():
        event = planned[kind].event if kind in planned else None
        if not isinstance(event, Gaussian):
            yield f"no Gaussian {kind} were planned"
        elif not event.noise_multiplier <= multiplier * (1.0 + ROUNDED):
            yield (
                f"{kind} are charged at noise multiplier {event.noise_multiplier:.9g}, the "
                f"settings buy {multiplier:.9g}"
            )
    for kind in sorted(set(planned) - set(wanted) - {"dp-sgd", "claimed"}):
        yield f"{kind} were planned, for which the settings pay nothing"
    yield from _claimed(config, silo.settings, planned.get("claimed"))
    if len(planned) != len(header.planned) or (
        sum(p.uses for p in header.planned if p.kind != "claimed")
        != costs.uses(config, silo.settings)
    ):
        yield f"the plan of {sorted(planned)} has other uses than the settings"
    released = config.weights.source == "counts"
    if "counts" in planned and planned["counts"].group != ("R" if released else "A"):
        yield f"counts stand in group {planned['counts'].group}"
    if "marginals" in planned and planned["marginals"].group != "R":
        yield f"marginals stand in group {planned['marginals'].group}"
    for kind in set(costs.BASE) & set(planned):
        if planned[kind].group != ("A" if config.base.combine == "none" else "R"):
            yield f"{kind} stand in group {planned[kind].group}"


def _claimed(config: Config, silo: SiloSettings, planned: Planned | None) -> Iterator[str]:
    """What a signer claims of a brought model is composed as it was signed, or not at all."""
    if planned is None:
        return
    try:
        claim = signed_claim.of_silo(config, silo)
    except ModelError as error:
        yield f"a claim for its model was planned, and is none: {error}"
        return
    if claim is None or planned.event != claim.event or planned.group != "A" or planned.uses != 1:
        yield f"{planned.event} in group {planned.group} was planned, its model's claim is {claim}"


def training_event(evidence: Evidence, silo: SiloEvidence) -> Finding:
    """DP-SGD is charged at the settings' rate, and at no more noise than the budget asks for."""
    config, header = evidence.config, silo.header
    check, train = "training event", config.train
    if not silo.settings.trains:
        fact = "its model was brought, so that no training is charged here."
        return Finding(check, silo.name, CONSISTENT, fact)
    none = config.network.kind == "none" and not silo.settings.tunes
    if train.method != "dp-sgd" or none:
        what = f"train.method = {train.method!r}"
        what = what if train.method != "dp-sgd" else "network.kind = 'none'"
        fact = f"{what} charges no training."
        return Finding(check, silo.name, CONSISTENT, fact)
    events = [p for p in header.planned if p.kind == "dp-sgd"]
    faults, numbers = [], {}
    match [p.event for p in events]:
        case [PoissonSampled(Gaussian(multiplier), rate)]:
            numbers = {"noise_multiplier": multiplier, "sampling_rate": rate}
            if not rate >= train.sampling_rate * (1.0 - ROUNDED):
                faults.append(f"steps are charged at sampling rate {rate:g}, the settings take "
                              f"{train.sampling_rate:g}")  # fmt: skip
            budget = config.epsilon(silo.settings)
            claimed = _epsilon(header, multiplier)
            below = _epsilon(header, multiplier * (1.0 - TIGHT))
            if not claimed <= budget * (1.0 + ROUNDED):
                faults.append(f"with noise multiplier {multiplier:.6g} the claim is epsilon = "
                              f"{claimed:.6g} of a budget of {budget:g}")  # fmt: skip
            elif below <= budget and multiplier > LEAST_MULTIPLIER:
                faults.append(
                    f"steps are charged at noise multiplier {multiplier:.9g}, but the settings "
                    f"train with the least one that meets epsilon = {budget:g}, and "
                    f"{multiplier * (1.0 - TIGHT):.9g} does (epsilon = {below:.6g})"
                )
        case _:
            faults.append("no Poisson-sampled Gaussian steps were planned")
    return one(
        check,
        silo.name,
        faults,
        holds="DP-SGD is charged at the settings' rate and at the multiplier that they buy.",
        consequence="The model was trained with less noise than its charge says.",
        mend=NEW_RUN,
        numbers=numbers,
    )


def _epsilon(header: Header, multiplier: float) -> float:
    """Epsilon of the whole claim if DP-SGD had this multiplier."""

    def event(kind: str, planned: Event) -> Event:
        if kind == "dp-sgd" and isinstance(planned, PoissonSampled):
            return PoissonSampled(Gaussian(multiplier), planned.sampling_rate)
        return planned

    planned = tuple(replace(p, event=event(p.kind, p.event)) for p in header.planned)
    claimed = costs.claim(replace(header, planned=planned), True)
    return epsilon(claimed, delta=header.delta, adjacency=header.adjacency).upper
