"""How a run stands, from its folder's own files: while it runs, and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dpfedsyn import marking
from dpfedsyn.errors import DataError
from dpfedsyn.report import wording


def lines(folder: Path) -> list[str]:
    """Say how a run stands, in a few lines.

    Raises:
        DataError: the folder holds no run.
    """
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(
            f"{folder}: holds no run, or one whose state.json is damaged. Give the folder that "
            "`run --out` wrote."
        ) from None
    rounds, plan = _rounds(folder / "rounds.jsonl"), _json(marking.find(folder, "plan.json"))
    reason = f": {state['reason']}" if state.get("reason") else ""
    told = [f"{folder}: {state['status']}{reason}"]
    planned, passes = plan.get("rounds"), [part["name"] for part in plan.get("passes", ())]
    after = [record for record in rounds if passes and record["pass"] not in passes]
    told.append(f"rounds: {len(rounds) - len(after)}" + (f" of {planned}" if planned else ""))
    if after:
        told.append(f"rounds of top-ups after it: {len(after)}")
    if rounds:
        told += _last(rounds[-1], running=state["status"] == "running")
    told += _missed(rounds)
    models = wording.models(plan.get("silos", ()), key="model")
    return [*told, f"models: {models}"] if models else told


def _last(record: dict[str, Any], *, running: bool) -> list[str]:
    told = [
        f"last: {record['pass']} {record['round']} of {record['of']}, {record['seconds']:.3g} s"
    ]
    if running and record.get("left"):
        told.append(f"left: about {wording.duration(record['left'])}, if it goes on like this")
    return told


def _missed(rounds: list[dict[str, Any]]) -> list[str]:
    """Name the silos that were asked and did not answer in time, with how often."""
    missed: dict[str, int] = {}
    for record in rounds:
        for name in set(record.get("asked", {})) - set(record.get("answered", ())):
            missed[name] = missed.get(name, 0) + 1
    return [f"{name}: missed {count} rounds" for name, count in sorted(missed.items())]


def _rounds(path: Path) -> list[dict[str, Any]]:
    """Whole lines; one that is being written is left out."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
