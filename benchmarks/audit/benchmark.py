"""How tight, quick and right audits are, which bugs they catch; other projects' beside them.

One thread; seconds are processor seconds where the column says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import kept, machine
from benchmarks.audit import bugs, corpus, detection, own, tightness, validity
from benchmarks.child import INTERPRETER
from benchmarks.record import Figures, Table, Target, say

SMOKE = "smoke: needs more than its minute"
SEEDS, HALF_NOISE, OTHER_NOISE = 10, 200, 20
ALARMS_EACH, RUNS, SLOW_RUNS, TIMES = 1_250, 400, 100, 7
SMOKE_HALF_NOISE, SMOKE_ALARMS, SMOKE_RUNS, SMOKE_TIMES = 9, 2, 25, 1

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "benchmarks" / "results" / "audit"

Measured = tuple[dict[str, Target], dict[str, Table]]


def measure(*, smoke: bool) -> Figures:
    """Return the figures; `smoke` measures in a minute what can be measured in one."""
    targets: dict[str, Target] = {}
    tables: dict[str, Table] = {}
    versions: dict[str, str] = {}
    for name in PARTS:
        found = part(name, smoke=smoke, say=say)
        targets |= {key: Target(**plain) for key, plain in found["targets"].items()}
        tables |= found["tables"]
        versions |= found["versions"]
    return Figures(targets, tables, _notes(), versions)


def part(name: str, *, smoke: bool, say: Callable[[str], None]) -> kept.Result:
    """Return one part's targets, tables and versions of peers; a full one is kept.

    A part that was kept for other code, or for other versions, is measured again.
    """

    def make() -> kept.Result:
        targets, tables, *versions = PARTS[name](smoke, say)
        plain = {key: asdict(target) for key, target in targets.items()}
        return {"targets": plain, "tables": tables, "versions": versions[0] if versions else {}}

    if smoke:
        return make()
    return kept.read_or_make(KEPT / f"{name}.json", _code(), make)[0]


def _code() -> str:
    """All that a figure depends on: the code, and the versions of what it uses."""
    folders = [
        ROOT / "dpfedsyn",
        ROOT / "accountants",
        Path(__file__).parent,
        ROOT / "tests/corpus",
    ]
    digest = hashlib.sha256(json.dumps(machine.versions(), sort_keys=True).encode())
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _notes() -> tuple[str, ...]:
    return (
        f"Lower bounds at {tightness.CONFIDENCE:.0%}, delta = {tightness.DELTA:g}; medians.",
        f"Peers run in the interpreter that {INTERPRETER} names. On the bugs they get the "
        "scores that our rules, learnt on 30 % of the calls, give to the rest.",
        "One-run bounds: ours fix the number of guesses by the claim before any score is seen, "
        "jax_privacy's choose a threshold on half of the scores.",
        "Quoted figures are of another day: dp_auditorium is on no package index. Its hockey-stick "
        "formula flagged 13 of the 24 bugs with 1e4 calls at alpha 0.05.",
        f"Processes that wanted a core at the end: {machine.load()}.",
    )


def _tightness(
    smoke: bool, say: Callable[[str], None]
) -> tuple[dict[str, Target], dict[str, Table], dict[str, str]]:
    cells, versions = tightness.measure(tightness.SMOKE if smoke else tightness.FULL, say)
    tables = {
        "epsilon, lower bound over the true one": tightness.table(cells),
        "dp_auditorium on epsilon 4.377": tightness.quoted(),
    }
    return tightness.targets(cells, SMOKE), tables, versions


def _detection(smoke: bool, say: Callable[[str], None]) -> Measured:
    counts = (SMOKE_HALF_NOISE, 0) if smoke else (HALF_NOISE, OTHER_NOISE)
    targets, rows = detection.measure(*counts, say)
    return targets, {f"calls until caught, alpha {detection.ALPHA:g}": rows}


def _bugs(smoke: bool, say: Callable[[str], None]) -> Measured:
    if smoke:
        missing = {
            level.target: Target(None, level.wanted, at_least=True, reason=SMOKE)
            for level in bugs.LEVELS
        }
        return missing, {}
    targets, rows = bugs.ours(SEEDS, bugs.LEVELS, say)
    calls = bugs.LEVELS[0].calls
    theirs = bugs.of_peers(SEEDS, calls, say)
    name = f"seeded bugs, peers: bound above the claim at 95 %, {calls:,} calls"
    return targets, {"seeded bugs, dpfedsyn": rows, name: theirs}


def _validity(smoke: bool, say: Callable[[str], None]) -> Measured:
    alarms, alarm_rows = validity.false_alarms(SMOKE_ALARMS if smoke else ALARMS_EACH, say)
    invalid, rows = validity.measure(
        SMOKE_RUNS if smoke else RUNS, SMOKE_RUNS if smoke else SLOW_RUNS, say
    )
    targets = {"false_alarms": alarms, "invalid_bounds": invalid}
    return targets, {"false alarms": alarm_rows, f"{validity.CALLS} calls, nominal 5 %": rows}


def _speed(smoke: bool, say: Callable[[str], None]) -> Measured:
    say("seconds of 100,000 calls")
    target, rows = tightness.speed(SMOKE_TIMES if smoke else TIMES)
    return {"vectorised_seconds": target}, {"seconds": rows}


def _own(smoke: bool, say: Callable[[str], None]) -> Measured:
    return own.measure(smoke=smoke, reason=SMOKE, say=say)


def _corpus(smoke: bool, say: Callable[[str], None]) -> Measured:
    target, table = corpus.measure(smoke=smoke, reason=SMOKE, say=say)
    return {"corpus": target}, {"corpus of real bugs": table}


PARTS: dict[str, Callable[[bool, Callable[[str], None]], Any]] = {
    "tightness": _tightness,
    "detection": _detection,
    "bugs": _bugs,
    "validity": _validity,
    "speed": _speed,
    "own": _own,
    "corpus": _corpus,
}
