"""Bytes that silos send in a run, beside one upload of the same network's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.record import Target

MOST = 1.0  # uploads that a silo's answers of a whole run may be worth


def table(runs: Mapping[str, tuple[Sequence[dict[str, Any]] | None, str]]) -> list[dict[str, Any]]:
    """Return a row per run and pass, of its first split.

    Args:
        runs: by name, (results, pass).
    """
    rows = []
    for name, (results, part) in runs.items():
        sent = _sent(results, part)
        if not sent:
            continue
        answers = fmean(silo["answers"] for silo in sent)
        rows.append(
            {
                "run": name,
                "pass": part,
                "rounds": max(silo["rounds"] for silo in sent),
                "bytes per silo": answers,
                "bytes of one upload": sent[0]["upload"],
                "ratio": fmean(silo["ratio"] for silo in sent),
                "ratio, busiest silo": max(silo["ratio"] for silo in sent),
                "parameters for a ratio of 1": answers / 4.0,
            }
        )
    return rows


def target(results: Sequence[dict[str, Any]] | None, absent: str) -> Target:
    """The mean silo's bytes against one upload: MNIST by preset `best`."""
    sent = _sent(results, "best")
    if not sent:
        return Target(None, MOST, at_least=False, reason=absent)
    answers, parameters = fmean(silo["answers"] for silo in sent), sent[0]["upload"] / 4.0
    reason = (
        f"MNIST, best, mean of {len(sent)} silos; the network has {parameters:,.0f} parameters, "
        f"from {answers / 4.0:,.0f} on the ratio is below 1"
    )
    return Target(fmean(silo["ratio"] for silo in sent), MOST, at_least=False, reason=reason)


def _sent(results: Sequence[dict[str, Any]] | None, part: str) -> list[dict[str, Any]]:
    return list(results[0]["federation"]["traffic"].get(part, {}).values()) if results else []
