"""How close to the exact epsilon, how fast, how far into the corners; other accountants beside.

Every answer comes from a fresh process with one thread: imports, events and a small question
before it are not timed, the question is new. Seconds are processor seconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from benchmarks.accounting import extremes, fresh, imports, questions, tables
from benchmarks.accounting.fresh import Found
from benchmarks.accounting.ours import OURS
from benchmarks.accounting.peers import PEERS
from benchmarks.accounting.questions import Question
from benchmarks.record import Figures, Table, Target

REPETITIONS, OF_PEERS = 15, 3
SMOKE = "smoke: times and corners need more than its minute"
WIDTHS = {"T1": 1e-6, "T2": 1e-6, "T3": 1e-12, "T4": 1e-6, "odometer": 1e-6}
SECONDS = {
    "T1": 5e-3, "T2": 5e-3, "T3": 1e-4, "T4": 5e-3, "odometer": 0.1,
    "calibrate to 1": 0.05, "calibrate to 10": 0.05,
}  # fmt: skip
EXCESS = 1e-8  # of a calibrated noise multiplier, relative
ROUND_50 = 50
CORNER_PEERS = ("opacus RDP", "dp_accounting PLD 1e-4", "prv_accountant")
CORNER_LIMIT = 30.0


def measure(*, smoke: bool) -> Figures:
    """Return the figures; `smoke` asks ours once each, no peers, and times nothing."""
    console = Console(stderr=True, highlight=False)
    asked = {**questions.tasks(), "odometer": questions.odometer(), **questions.calibrations()}
    found: dict[str, Found] = {}
    all_tables: dict[str, Table] = {}
    for name, question in asked.items():
        console.print(name, markup=False)
        found[name] = fresh.asked(OURS, question, 1 if smoke else REPETITIONS)
        rows = [tables.row(OURS.name, found[name], question, found[name])]
        for peer in () if smoke else PEERS:
            other = fresh.asked(peer, question, OF_PEERS)
            rows.append(tables.row(peer.name, other, question, found[name]))
        all_tables[f"{name}: exact {question.exact:.16g}"] = rows
    corner_targets, corner_tables = _corners(console, smoke=smoke)
    import_target, import_table = _imports(smoke=smoke)
    targets = {
        **{f"{name}_width": _width(name, found[name]) for name in WIDTHS},
        **{_key(name, "seconds"): _seconds(name, found[name], smoke=smoke) for name in SECONDS},
        **{name: t for key in SECONDS if "calib" in key
           for name, t in _calibrated(key, found[key], asked[key]).items()},
        "brackets_that_miss": _misses(found, asked),
        **corner_targets,
        "import_ratio": import_target,
    }  # fmt: skip
    notes = ("Fresh processes, one thread, processor seconds, medians; warmed by another event.",)
    return Figures(targets, {**all_tables, **corner_tables, **import_table}, notes)


def _key(name: str, what: str) -> str:
    return f"{name.replace(' ', '_')}_{what}"


def _width(name: str, found: Found) -> Target:
    """Upper less lower; of an odometer the widest of its brackets."""
    if "failed" in found:
        return Target(None, WIDTHS[name], at_least=False, reason=found["failed"])
    width = tables.width(found)
    if found["curve"]:
        width = max(upper - lower for lower, upper in found["curve"])
    return Target(width, WIDTHS[name], at_least=False, reason="upper less lower")


def _seconds(name: str, found: Found, *, smoke: bool) -> Target:
    if smoke or "failed" in found:
        reason = found.get("failed", SMOKE)
        return Target(None, SECONDS[name], at_least=False, reason=reason)
    reason = f"processor seconds, median of {found.get('repetitions', 1)} fresh processes"
    return Target(found["seconds"], SECONDS[name], at_least=False, reason=reason)


def _calibrated(name: str, found: Found, question: Question) -> dict[str, Target]:
    """How far above the exact noise multiplier, and how far on the unsafe side of it."""
    if "failed" in found:
        missing = Target(None, EXCESS, at_least=False, reason=found["failed"])
        return {_key(name, "excess"): missing, _key(name, "unsafe"): missing}
    excess = found["upper"] / question.exact - 1
    unsafe = Target(max(0.0, -excess), 1e-13, at_least=False, reason="relative; 14 exact digits")
    return {
        _key(name, "excess"): Target(excess, EXCESS, at_least=False, reason="relative"),
        _key(name, "unsafe"): unsafe,
    }


def _misses(found: Mapping[str, Found], asked: Mapping[str, Question]) -> Target:
    """Tasks whose bracket does not contain the exact value; of the odometer after 50 rounds too."""
    answers = {name: one for name, one in found.items() if name in WIDTHS}
    missed = tables.misses(answers, asked)
    curve = found["odometer"].get("curve")
    lower, upper = curve[ROUND_50 - 1] if curve else (1.0, 0.0)
    if not lower <= questions.extremes()["T4 after 50 rounds"].exact <= upper:
        missed.append(f"odometer after {ROUND_50} rounds")
    return Target(len(missed), 0, at_least=False, reason=", ".join(missed) or "each holds it")


def _corners(console: Console, *, smoke: bool) -> tuple[dict[str, Target], dict[str, Table]]:
    wanted = {"corners_that_miss": 0.0, "corners_with_faults": 0.0, "corners_seconds": 2.0}
    if smoke:
        return {n: Target(None, t, at_least=False, reason=SMOKE) for n, t in wanted.items()}, {}
    rows: list[dict[str, object]] = []
    asked, found = questions.extremes(), {}
    for name, question in asked.items():
        console.print(f"corner: {name}", markup=False)
        found[name] = fresh.asked(OURS, question, 1)
        rows.append({"corner": name, "exact": f"{question.exact:.13g}",
                     **tables.row(OURS.name, found[name], question, found[name])})  # fmt: skip
        for peer in PEERS:
            if peer.name in CORNER_PEERS and not question.rounds:
                other = fresh.asked(peer, question, 1, CORNER_LIMIT)
                rows.append({"corner": name, "exact": f"{question.exact:.13g}",
                             **tables.row(peer.name, other, question, found[name])})  # fmt: skip
    missed = tables.misses(found, asked)
    console.print("corners without exact values", markup=False)
    swept = extremes.sweep()
    slowest = max([swept["slowest"], *(one.get("seconds", 0.0) for one in found.values())])
    values = {
        "corners_that_miss": (len(missed), ", ".join(missed) or f"{len(found)} hold the value"),
        "corners_with_faults": (
            len(swept["wrong"]),
            "; ".join(swept["wrong"][:3]) or f"{swept['asked']} finite, in order, not negative",
        ),
        "corners_seconds": (slowest, f"slowest of the sweep: {swept['where']}"),
    }
    targets = {
        n: Target(v, wanted[n], at_least=False, reason=why) for n, (v, why) in values.items()
    }
    return targets, {"corners": rows}


def _imports(*, smoke: bool) -> tuple[Target, dict[str, Table]]:
    if smoke:
        return Target(None, 1.3, at_least=False, reason=SMOKE), {}
    seconds = imports.measure()
    ratio = seconds[imports.PACKAGE] / seconds[imports.BESIDE]
    reason = f"processor seconds, medians of {imports.REPETITIONS} fresh processes by turns"
    rows = [{"import": what, "cpu s": took} for what, took in seconds.items()]
    return Target(ratio, 1.3, at_least=False, reason=reason), {"imports": rows}
