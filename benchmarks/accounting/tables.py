"""Rows of the tables: each answer beside the exact one, and beside ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.accounting.fresh import Found
from benchmarks.accounting.questions import Question

ROUNDING = 1e-15  # relative: exact values are floats here


def row(name: str, found: Found, question: Question, ours: Found) -> dict[str, Any]:
    """One accountant's answer to one question."""
    if "failed" in found:
        return {"accountant": name, "remark": found["failed"]}
    claimed = found["upper"] if found["upper"] is not None else found["estimate"]
    return {
        "accountant": name,
        "lower": _exactly(found["lower"]),
        "upper": _exactly(found["upper"]),
        "estimate": _exactly(found["estimate"]),
        "error": _error(claimed, question.exact),
        "cpu s": found["seconds"],
        "times ours": _ratio(found, ours),
        "memory MiB": round(found["memory_mib"]),
        "remark": remark(found, question),
    }


def remark(found: Found, question: Question) -> str:
    """Where a claim is on the wrong side of the truth, say so."""
    slack = ROUNDING * question.exact
    said = []
    if found["estimate"] is not None and found["upper"] is None:
        said.append("no bound")
    for key, sign, words in (("upper", 1, "below"), ("lower", -1, "above")):
        value = found[key]
        if value is None:
            continue
        if isinstance(value, str):
            said.append(f"{key} is {value}")
        elif sign * (value - question.exact) < -slack:
            said.append(f"INVALID: {key} {words} the exact value")
    if found["rounds"] is not None and found["rounds"] < len(question.rounds):
        said.append(f"stopped after {found['rounds']} rounds")
    return "; ".join(said)


def width(found: Found) -> float | None:
    """Upper less lower, None where either is missing or no number."""
    lower, upper = found.get("lower"), found.get("upper")
    if not (isinstance(lower, float) and isinstance(upper, float)):
        return None
    return upper - lower


def misses(answers: Mapping[str, Found], questions: Mapping[str, Question]) -> list[str]:
    """Names of questions whose bracket does not contain the exact value, or that have none."""
    return [
        name
        for name, found in answers.items()
        if width(found) is None or "INVALID" in remark(found, questions[name])
    ]


def _error(claimed: Any, exact: float) -> float | None:
    if not isinstance(claimed, float) or math.isnan(exact):
        return None
    return claimed - exact


def _exactly(value: Any) -> str | None:
    """13 digits: the table's own 4 would hide what is compared."""
    return f"{value:.13g}" if isinstance(value, float) else value


def _ratio(found: Found, ours: Found) -> float | None:
    if "failed" in ours or ours is found:
        return None
    return float(found["seconds"] / max(ours["seconds"], 1e-9))
