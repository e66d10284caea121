"""Ledger audit: every charge derived again from public settings and stored bytes, and compared.

A charge may be larger than what it pays for, never smaller; everything that left a silo has one.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator

from accountants.rows import ANSWER, Charge
from dpfedsyn import checkpoint
from dpfedsyn.audit import costs
from dpfedsyn.audit.costs import ROUNDED
from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.findings import INCONCLUSIVE, NEW_RUN, WHOLE_RUN, Finding, one
from dpfedsyn.audit.terms import terms, training_event

TRAINING = ("counts", "marginals", *costs.BASE, "dp-sgd", "claimed")

TOO_SMALL = "More was released than the ledger says, so its caps and the claim are too small."


def findings(evidence: Evidence) -> list[Finding]:
    """Return the ledger audit of every silo whose chain holds, and of all silos together.

    Guarantee:
        A charge that is below the cost of its stored reply, or of the round that the run's own log
        and settings name, is a VIOLATION, and so is an answer in that log without a charge.
    """
    checks: tuple[Callable[[Evidence, SiloEvidence], Finding], ...] = (
        terms, training_event, _answers, _rounds, _released, _order, _draws,
    )  # fmt: skip
    found = [check(evidence, silo) for silo in evidence.silos.values() for check in checks]
    return [*found, _distinct(evidence)]


def _answers(evidence: Evidence, silo: SiloEvidence) -> Finding:
    """Each kept reply: bounds, lattice and cost, from its own bytes."""
    config, faults, least = evidence.config, [], math.inf
    for charge, answer in silo.answers():
        rows, where = len(answer.points), f"row {charge.seq} (round {charge.round})"
        cost = costs.answer_mu2(
            rows, config.answers.clip, answer.score_std, config.answers.energy_bound,
            answer.energy_std,
        )  # fmt: skip
        least = min(least, charge.mu2 / cost)
        if not charge.mu2 >= cost * (1.0 - ROUNDED):
            faults.append(
                f"{where} is charged mu^2 = {charge.mu2:.6g}, its reply of {rows} rows costs "
                f"{cost:.6g}"
            )
        if answer.clip > config.answers.clip or answer.energy_bound > config.answers.energy_bound:
            faults.append(f"{where} was answered with bounds beyond the settings'")
        if answer.round_number != charge.round:
            faults.append(f"{where} holds the answer of round {answer.round_number}")
        coarse = 1024.0 * answer.spacing
        if not abs(coarse / answer.score_std - 1.0) <= ROUNDED:
            faults.append(f"{where} states std {answer.score_std:g} on a lattice for {coarse:g}")
    kept = len(silo.answers())
    return one(
        "charges of kept replies",
        silo.name,
        faults,
        holds=f"each of {kept} kept replies is charged at least what its own bytes cost.",
        consequence=TOO_SMALL,
        mend=NEW_RUN,
        numbers={"replies": kept, "least_charged_over_cost": least if kept else None},
    )


def _rounds(evidence: Evidence, silo: SiloEvidence) -> Finding:
    """Each logged round: the cost that the settings give it, also where the reply is pruned."""
    faults, seen, least = [], 0, math.inf
    config = evidence.config
    whole = silo.settings.brings and silo.header.record_cap is not None
    share = 1.0 if whole else (costs.moved(config) / config.train.parts) ** 2
    charges = _by_round(silo)
    for number, cost in _expected(evidence, silo.name):
        if number in charges:  # asked twice with other content, the log tells the dearer one
            charge = max(charges[number], key=lambda each: each.mu2)
            seen += 1
            least = min(least, charge.mu2 / cost)
            if not charge.mu2 >= cost * (1.0 - ROUNDED):
                faults.append(
                    f"row {charge.seq} (round {number}) is charged mu^2 = {charge.mu2:.6g}, the "
                    f"settings give this round {cost:.6g}"
                )
    for charge in silo.of(ANSWER) if whole or config.train.method == "ensemble" else ():
        if not (charge.record_mu2 or 0.0) >= charge.mu2 * share * (1.0 - ROUNDED):
            faults.append(
                f"row {charge.seq} is charged {charge.record_mu2} at record level, "
                f"{charge.mu2 * share:.6g} are its share"
            )
    return one(
        "charges of rounds",
        silo.name,
        faults,
        holds=f"each of {seen} answered rounds is charged at least what the settings give it.",
        consequence=TOO_SMALL,
        mend=NEW_RUN,
        numbers={"rounds": seen, "least_charged_over_cost": least if seen else None},
    )


def _by_round(silo: SiloEvidence) -> dict[int, list[Charge]]:
    rounds: dict[int, list[Charge]] = {}
    for charge in silo.of(ANSWER):
        rounds.setdefault(charge.round, []).append(charge)
    return rounds


def _expected(evidence: Evidence, name: str) -> Iterator[tuple[int, float]]:
    """(round of the run, mu^2) of every logged round that this silo was asked in."""
    for part in evidence.passes:
        own = costs.schedule(evidence.config, part.settings, part.kernels, part.share)
        records = [record for record in evidence.log if record["pass"] == part.name]
        begun = next((r["asked"].get(name, 0) for r in records if r["round"] == 1), 0)
        for record in records:
            rows = record["asked"].get(name, 0)
            if rows:
                yield (
                    part.first_round + record["round"],
                    own.cost(record["round"], rows, begun),
                )


def _released(evidence: Evidence, silo: SiloEvidence) -> Finding:
    """Charge before release: everything that the run's files show has left has a charge."""
    faults, charges = [], _by_round(silo)
    first = {part.name: part.first_round for part in evidence.passes}
    answered = 0
    for record in evidence.log:
        if silo.name in record["answered"]:
            answered += 1
            if first[record["pass"]] + record["round"] not in charges:
                faults.append(
                    f"it answered round {record['round']} of pass {record['pass']}, and no row "
                    "of its ledger pays for that"
                )
    for name, taken in evidence.rounds().items():
        logged = {r["round"] for r in evidence.log if r["pass"] == name}
        if missing := set(range(1, taken + 1)) - logged:
            faults.append(f"round {min(missing)} of pass {name} was taken but is not logged")
    planned = {p.kind for p in silo.header.planned}
    charged = Counter(charge.kind for charge in silo.charges)
    if evidence.states and (lacking := planned - charged.keys()):
        faults.append(f"it was asked although {', '.join(sorted(lacking))} were never charged")
    model = checkpoint.load(silo.folder / "model.safetensors")
    steps = sum(charge.uses for charge in silo.of("dp-sgd"))
    if model is not None and (taken := int(model.get("step", 0))) > steps:
        faults.append(f"its model took {taken} DP-SGD steps, {steps} are charged")
    return one(
        "charge before release",
        silo.name,
        faults,
        holds=f"its {answered} logged answers and {steps} steps of its model all have a charge.",
        consequence="Something left this silo, or trained what did, that was never paid for.",
        mend=NEW_RUN,
        numbers={"answers": answered, "steps": steps},
    )


def _order(evidence: Evidence, silo: SiloEvidence) -> Finding:
    """Training is charged, whole, before the first answer."""
    faults = []
    answers = silo.of(ANSWER)
    first = answers[0].seq if answers else math.inf
    late = [c for c in silo.charges if c.kind in TRAINING and c.seq > first]
    faults += [f"row {c.seq} charges {c.kind} after the first answer" for c in late]
    uses = Counter[str]()
    for charge in silo.charges:
        uses[charge.kind] += charge.uses
    for planned in silo.header.planned if answers else ():
        if uses[planned.kind] != planned.uses:
            faults.append(
                f"{uses[planned.kind]} of {planned.uses} uses of {planned.kind} are charged, and "
                "the silo answers"
            )
    return one(
        "order",
        silo.name,
        faults,
        holds="training is charged, whole, before the first answer.",
        consequence="Answers came from a model whose training was not yet paid for.",
        mend=NEW_RUN,
    )


def _draws(evidence: Evidence, silo: SiloEvidence) -> Finding:
    """Each row counts the draws of noise that it takes: what delta has to carry."""
    faults = []
    histograms = sum(len(number.values) for number in evidence.encoder.numbers)
    lengths = costs.lengths(evidence.config.base, evidence.dimension, evidence.classes, histograms)
    model = checkpoint.load(silo.folder / "model.safetensors") or {}
    weights = sum(v.size for name, v in model.items() if name.startswith("weights/"))
    kept = {c.seq: a.points.size + (a.energy_std is not None) * len(a.points)
            for c, a in silo.answers()}  # fmt: skip
    for charge in silo.charges:
        least = kept.get(charge.seq, 1)
        if charge.kind in lengths:
            least = max(lengths[charge.kind], len(charge.reply or b"") // 8)
        elif charge.kind == "dp-sgd":
            least = charge.uses * weights
        if charge.draws < least:
            faults.append(f"row {charge.seq} ({charge.kind}) counts {charge.draws} of {least}")
    charges = _by_round(silo)
    for number, least in _draws_asked(evidence, silo.name):
        counted = max((charge.draws for charge in charges.get(number, ())), default=least)
        if counted < least:
            faults.append(f"round {number} counts {counted} of {least} draws")
    total, cap = sum(charge.draws for charge in silo.charges), silo.header.draws_cap
    if cap is None or total > cap:
        faults.append(f"{total} draws exceed the cap {cap}")
    return one(
        "draws",
        silo.name,
        faults,
        holds=f"{total} draws of noise are counted, within the cap of {cap}.",
        consequence="Delta carries fewer draws than were taken.",
        mend=NEW_RUN,
        numbers={"draws": total, "cap": cap},
    )


def _draws_asked(evidence: Evidence, name: str) -> Iterator[tuple[int, int]]:
    """(round of the run, draws) of every logged round that this silo was asked in."""
    for part in evidence.passes:
        each = evidence.dimension + (part.settings.energy == "released")
        for record in evidence.log:
            if record["pass"] == part.name:
                rows = record["asked"].get(name, 0)
                yield part.first_round + record["round"], rows * each


def _distinct(evidence: Evidence) -> Finding:
    """No two silos share a key, a ledger or a digest: shared noise protects nobody twice."""
    silos = list(evidence.silos.values())
    if not silos:
        return Finding("distinct", WHOLE_RUN, INCONCLUSIVE, "no ledger could be read.")
    faults = []
    for one_silo, other in itertools.combinations(silos, 2):
        if one_silo.key.root == other.key.root:
            faults.append(f"{one_silo.name} and {other.name} have the same key")
        if shared := {c.digest for c in one_silo.charges} & {c.digest for c in other.charges}:
            faults.append(f"{one_silo.name} and {other.name} share {len(shared)} digests")
    for silo in silos:
        repeated = len(silo.charges) - len({charge.digest for charge in silo.charges})
        if repeated:
            faults.append(f"{silo.name} charges {repeated} digests twice")
    rows = sum(len(silo.charges) for silo in silos)
    return one(
        "distinct",
        WHOLE_RUN,
        faults,
        holds=f"{rows} rows of {len(silos)} silos have {rows} digests, under {len(silos)} keys.",
        consequence="Noise is shared between charges; their difference shows what it should hide.",
        mend=NEW_RUN,
    )
