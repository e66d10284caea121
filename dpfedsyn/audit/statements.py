"""Statement audit: every epsilon in statement.json is recomputed from the ledgers' headers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from accountants import overlap
from accountants.rows import ANSWER
from dpfedsyn.audit import costs
from dpfedsyn.audit.costs import ROUNDED
from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.findings import INCONCLUSIVE, VIOLATION, WHOLE_RUN, Finding, one

CHECK = "statement"
CONSEQUENCE = "Whoever reads the statement trusts in more than is promised."
MEND = "Resume the run, which writes the statement again from the ledgers."


def findings(evidence: Evidence) -> list[Finding]:
    """Return what the statement claims too much, per silo and across silos.

    Guarantee:
        An epsilon or delta below what the ledger's header gives at its caps is a VIOLATION, and so
        is a claim of a run that has to be void.
    """
    if evidence.statement is None:
        fact = "the run has no statement.json yet, so no claim of it could be compared."
        mend = "Resume the run and audit it again."
        return [Finding(CHECK, WHOLE_RUN, INCONCLUSIVE, fact, mend=mend)]
    told = {silo.get("name"): silo for silo in evidence.statement["silos"]}
    found = []
    for name, silo in evidence.silos.items():
        if name not in told:
            fact = "the statement does not name this silo."
            found.append(Finding(CHECK, name, VIOLATION, fact, CONSEQUENCE, MEND))
            continue
        found.append(_silo(evidence, silo, told[name]))
        if told[name].get("ledger_head") != silo.links[-1]:
            found.append(_head(silo, told[name].get("ledger_head")))
    return [*found, _across(evidence)]


def _private(evidence: Evidence) -> bool:
    config = evidence.config
    return config.privacy.unsafe_noise_seed is None and config.train.method != "not-private"


def _silo(evidence: Evidence, silo: SiloEvidence, told: dict[str, Any]) -> Finding:
    upper = costs.upper(silo.header, _private(evidence))
    return one(
        CHECK,
        silo.name,
        list(_wrong(evidence, silo, told, upper)),
        holds="epsilon, delta, unit, adjacency and spending are those of its ledger.",
        consequence=CONSEQUENCE,
        mend=MEND,
        numbers={"epsilon": upper if math.isfinite(upper) else None},
    )


def _wrong(
    evidence: Evidence, silo: SiloEvidence, told: dict[str, Any], upper: float
) -> Iterator[str]:
    header = silo.header
    for name in ("unit", "adjacency", "delta"):
        if told.get(name) != getattr(header, name):
            yield f"{name} is {told.get(name)}, the ledger says {getattr(header, name)}"
    claimed = _end(told.get("epsilon"))
    if claimed is not None:
        if not claimed >= upper * (1.0 - ROUNDED):
            yield f"epsilon = {claimed:.9g} is claimed, the ledger's caps allow {upper:.9g}"
        carried = told.get("delta_with_noise") or 0.0
        least = costs.least_delta(header.delta, min(claimed, 700.0), header.draws_cap or 0)
        if not carried >= least * (1.0 - ROUNDED):
            yield f"delta_with_noise = {carried:.9g}, the draws' cap needs {least:.9g}"
    answers = silo.of(ANSWER)
    spent = math.sqrt(math.fsum(charge.mu2 for charge in answers))
    charged = (told.get("charged") or {}).get("B") or {}
    behind = told.get("ledger_head") != silo.links[-1]
    if not behind and not (charged.get("mu") or 0.0) >= spent * (1.0 - ROUNDED):
        yield f"answers of mu = {charged.get('mu')} are stated, {spent:.9g} are charged"
    if not (charged.get("cap_mu") or 0.0) >= math.sqrt(header.answers_cap) * (1.0 - ROUNDED):
        yield f"cap_mu = {charged.get('cap_mu')}, the ledger's is {header.answers_cap**0.5:.9g}"


def _head(silo: SiloEvidence, told: object) -> Finding:
    """The statement names another link than the last: an older one, or one of another chain."""
    if told in silo.links:
        newer = len(silo.links) - 1 - silo.links.index(str(told))
        fact = f"the statement is {newer} rows older than the ledger."
        mend = "Resume the run, which writes it again."
        return Finding("statement's head", silo.name, INCONCLUSIVE, fact, mend=mend)
    fact = f"the statement's head {str(told)[:16]}... is no link of this ledger's chain."
    consequence = "The statement speaks of another ledger, or the ledger was written anew."
    mend = "Put back the ledger that the statement was made from."
    return Finding("statement's head", silo.name, VIOLATION, fact, consequence, mend)


def _across(evidence: Evidence) -> Finding:
    assert evidence.statement is not None
    told, private = evidence.statement, _private(evidence)
    faults = []
    if told.get("private") and not private:
        faults.append("the run is called private, its settings void every claim")
    privacy, across = evidence.config.privacy, told.get("across_silos")
    claimed = _end(across)
    if told.get("overlap") != privacy.overlap:
        faults.append(f"overlap is {told.get('overlap')}, the settings say {privacy.overlap}")
    complete = len(evidence.silos) == len(evidence.config.silos)
    if claimed is not None and complete:
        claims = [costs.claim(silo.header, private) for silo in evidence.silos.values()]
        upper = overlap(
            claims, privacy.overlap, delta=privacy.delta, adjacency=privacy.adjacency
        ).upper
        if not claimed >= upper * (1.0 - ROUNDED):
            faults.append(f"epsilon = {claimed:.9g} across silos, the caps allow {upper:.9g}")
    return one(
        CHECK,
        WHOLE_RUN,
        faults,
        holds="what is claimed across silos follows from the ledgers.",
        consequence=CONSEQUENCE,
        mend=MEND,
    )


def _end(bound: Any) -> float | None:
    upper = bound.get("upper") if isinstance(bound, dict) else None
    return float(upper) if isinstance(upper, int | float) else None
