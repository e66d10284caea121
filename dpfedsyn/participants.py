"""Who took part in a run, and what they sent: from its log, released counts and public facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dpfedsyn.folder import RoundLog, RunFolder
from dpfedsyn.metrics.traffic import traffic
from dpfedsyn.passes import PassPlan
from dpfedsyn.plan import Plan
from dpfedsyn.weights import TargetMixture


def took_part(
    plan: Plan,
    passes: Sequence[PassPlan],
    parameters: Mapping[str, int],
    mixed: TargetMixture,
    folder: RunFolder,
) -> dict[str, Any]:
    """Return the tables of federation.json: shares, rounds asked and answered, bytes sent.

    Args:
        passes: the plan's, and those after it. parameters: of each silo's network.
    """
    log, shares = RoundLog(folder.path / "rounds.jsonl"), mixed.weights @ mixed.labels
    taken = {part: rounds for part in passes if (rounds := log.of(part.name))}
    return {
        "shares": dict(zip(parameters, map(float, shares), strict=True)),
        "quorum": plan.config.participation.quorum,
        "participation": {
            part.name: {name: _attendance(name, rounds) for name in parameters}
            for part, rounds in taken.items()
        },
        "moved": {part.name: _moved(part, rounds) for part, rounds in taken.items()},
        "traffic": {
            part.name: {name: _sent(parameters[name], name, rounds) for name in parameters}
            for part, rounds in taken.items()
        },
    }


def _moved(part: PassPlan, rounds: list[dict[str, Any]]) -> dict[str, int]:
    """Count the steps that rows took, those without an answer among them, and rows handed over."""
    return {
        "row_steps": len(rounds) * part.rows,
        "unanswered": sum(record["unanswered"] for record in rounds),
        "handed_over": sum(record["handed_over"] for record in rounds),
    }


def _attendance(name: str, rounds: list[dict[str, Any]]) -> dict[str, int]:
    """Count one silo's rounds of a pass: how many asked it, and how many it answered in time."""
    return {
        "rounds": len(rounds),
        "asked": sum(name in record["asked"] for record in rounds),
        "answered": sum(name in record["answered"] for record in rounds),
    }


def _sent(parameters: int, name: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [r["asked"][name] if name in r["answered"] else 0 for r in rounds]
    payloads = [r["received"].get(name, 0) for r in rounds]
    return asdict(traffic(rows, payloads, parameters=parameters))
