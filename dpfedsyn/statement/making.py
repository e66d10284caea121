"""statement.json: what is claimed for each silo, from the ledgers' own rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dpfedsyn.marking import void_because
from dpfedsyn.plan import Plan
from dpfedsyn.released import Charged
from dpfedsyn.statement import hazards, limits, mechanisms, silos, software
from dpfedsyn.statement.release import ReleasedFile, described

STATEMENT_VERSION = 2
"""Of the list of fields, FIELDS.md."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and after how many of its planned rounds, all passes together."""

    status: str  # "complete" | "partial"
    reason: str | None
    taken: int
    planned: int


def make(
    plan: Plan,
    charges: Mapping[str, Charged],
    outcome: Outcome,
    files: Iterable[ReleasedFile] = (),
    *,
    top_ups: Sequence[Mapping[str, Any]] = (),
    evaluated: bool = False,
    one_process: bool = False,
) -> dict[str, Any]:
    """Return the statement as JSON-ready values.

    Args:
        charges: of every silo.
        files: of synthetic rows.
        top_ups: rows that were asked after the run, within its caps.
        evaluated: whether rows are compared with real records inside.
        one_process: whether it was all silos and the server.

    Guarantee:
        Every claimed epsilon is the one at the ledger's cap, which was fixed before the run; what
        the rows add up to can only be less. What a silo has spent that was not there at the end
        is what it said last, and every question that it was sent and never answered. With a noise
        seed there is no claim at all, nor where
        delta could not carry what drawn noise deviates from a Gaussian's.
    """
    config = plan.config
    void = void_because(config)
    by_name = {silo.name: silo for silo in config.silos}
    made = {
        "statement_version": STATEMENT_VERSION,
        "run": config.name,
        "publication": asdict(config.statement),
        "status": outcome.status,
        "reason": outcome.reason,
        "rounds": {"taken": outcome.taken, "planned": outcome.planned},
        "top_ups": [dict(one) for one in top_ups],
        "private": void is None,
        "void": void,
        "silos": [silos.entry(plan, by_name[name], charges[name]) for name in plan.budgets],
        "overlap": config.privacy.overlap,
        "across_silos": silos.claim(plan, plan.across_silos(), void is None),
        "release": described(config, files),
        "settings": {
            **mechanisms.public_settings(plan),
            "evaluated": evaluated,
            "one_process": one_process,
        },
        "implementation": mechanisms.implementation(plan),
        "preprocessing": mechanisms.preprocessing(plan),
        "trust": mechanisms.trust(one_process=one_process),
        "unprotected": limits.unprotected(plan),
        "internal": "utility, distances and attacks on real records are not part of this "
        "statement: they are measured without noise and stay with the silos",
        "caveats": [*limits.caveats(plan, one_process=one_process), *limits.unheard(charges)],
        "software": software.versions(),
        "upstream_defects": software.mitigated(),
    }
    return audited(made, None)


def audited(made: Mapping[str, Any], audit: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a statement with what an audit of its run says in short, or with none.

    The answers to the hazards follow from all of the rest, so they are given anew.
    """
    told = {**made, "audit": None if audit is None else dict(audit)}
    told["hazards_after"] = hazards.AFTER
    told["hazards"] = hazards.answered(told)
    return told
