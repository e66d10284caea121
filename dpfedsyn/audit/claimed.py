"""A signed claim of a brought model: that it is of the weights that answered, and still the one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dpfedsyn import signed_claim
from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.findings import INCONCLUSIVE, Finding, one
from dpfedsyn.errors import ModelError
from dpfedsyn.signed_claim import Claim
from dpfedsyn.train import BROUGHT

CHECK = "claimed model"


def findings(evidence: Evidence) -> list[Finding]:
    """Return what is wrong with the claim of each model that was brought with one.

    Guarantee:
        A claim whose commitment is not to the weights that the silo's folder says answered, or that
        is another than the statement tells, is a VIOLATION, also where the same key signed it with
        the same epsilon and delta.
    """
    return [_finding(evidence, silo) for silo in evidence.silos.values() if silo.settings.claim]


def _finding(evidence: Evidence, silo: SiloEvidence) -> Finding:
    config, own = evidence.config, silo.settings
    try:
        claim = signed_claim.of_silo(config, own)
        assert claim is not None
        opening = signed_claim.opening(config.path(own.claim))
        weights = (silo.folder / BROUGHT).read_text(encoding="ascii").strip()
        commitment = signed_claim.committed(opening, weights)
    except (ModelError, OSError, ValueError) as error:
        fact = f"whether the claim is of the model that answered cannot be seen: {error}"
        mend = f"Put the claim, its opening and {BROUGHT} back where they were."
        return Finding(CHECK, silo.name, INCONCLUSIVE, fact, mend=mend)
    faults = list(_faults(evidence, silo, claim))
    if commitment != claim.model:
        faults.insert(0, "the claim commits to other weights than those that answered")
    return one(
        CHECK,
        silo.name,
        faults,
        holds="the claim commits to the weights that answered, and is the one that is stated.",
        consequence="What its signer promises is not promised of the model behind these answers.",
        mend="Put back the claim that the run was started with.",
    )


def _faults(evidence: Evidence, silo: SiloEvidence, claim: Claim) -> Iterator[str]:
    told = _stated(evidence, silo.name)
    if told is not None:
        now = {**claim.to_dict(), "public_key": silo.settings.claim_key}
        differ = sorted(key for key in now.keys() | told.keys() if now.get(key) != told.get(key))
        if differ:
            yield f"the statement tells another claim: {', '.join(differ)} differ"


def _stated(evidence: Evidence, name: str) -> dict[str, Any] | None:
    silos = [] if evidence.statement is None else evidence.statement["silos"]
    for silo in silos:
        found = (silo.get("brought") or {}).get("claim") if silo.get("name") == name else None
        if found is not None:
            return dict(found)
    return None
