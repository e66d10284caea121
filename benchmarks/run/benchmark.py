"""What the embedded example reaches, how long it takes, and where the time goes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.record import Figures, Table, Target, say
from benchmarks.run import overhead, process, splits
from benchmarks.run.overhead import Overhead

KEPT = Path(__file__).parents[1] / "results" / "run"  # one file per split, so that it can go on
REPETITIONS = 5  # of each pass whose overhead is measured; the median counts
WIDE = 2048  # hidden units of a network whose forwards cost more
FEW = ("answers.rows=300", "train.steps=20", "sampler.levels=5")
AUC = {"default": 0.83, "best": 0.85}
SECONDS, SHARE = 120.0, 0.25


def measure(*, smoke: bool) -> Figures:
    """Return the figures; `smoke` takes a minute and measures the overhead alone.

    In full: ten runs for the utility, one process for the time, five passes for the overhead.
    """
    targets, tables = _utility(smoke, say)
    time_target, time_table = _time(smoke, say)
    share_target, share_tables = _overhead(smoke, say)
    return Figures(
        targets={**targets, "process_seconds": time_target, "overhead_share": share_target},
        tables={**tables, **time_table, **share_tables},
        notes=(f"Processes that wanted a core at the end: {machine.load()}.",),
    )


def _utility(smoke: bool, say: Callable[[str], None]) -> tuple[dict[str, Target], dict[str, Table]]:
    kept = tempfile.TemporaryDirectory(prefix="splits-") if smoke else nullcontext(str(KEPT))
    with kept as folder:
        names, overrides = (("dev-smoke",), FEW) if smoke else (splits.SPLITS, ())
        results = splits.measure(names, Path(folder), overrides, say)
    tables: dict[str, Table] = {
        "utility on held-out real rows": splits.utility(results),
        "similarity to held-out real rows": splits.similarity(results),
        "privacy": [_privacy(results)],
    }
    tables |= {f"lead of {name}": splits.lead(results, name) for name in AUC}
    targets = {f"auc_{name}": _auc(results, name, smoke) for name in AUC}
    return targets, tables


def _privacy(results: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "epsilon, upper bound, worst hospital": max(result["epsilon"] for result in results),
        "delta": max(result["delta"] for result in results),
        "unit": "record",
        "adjacency": "add-or-remove",
        "runs": len(results),
    }


def _auc(results: list[dict[str, Any]], name: str, smoke: bool) -> Target:
    if smoke:
        reason = "smoke: one small run; the target speaks of 3,000 rows and ten splits"
        return Target(None, AUC[name], at_least=True, reason=reason)
    mean = splits.auc(results, name)
    reason = f"mean of {len(results)} splits, each a whole run with fresh noise"
    return Target(mean.value, AUC[name], True, reason, mean.standard_error)


def _time(smoke: bool, say: Callable[[str], None]) -> tuple[Target, dict[str, Table]]:
    if smoke:
        reason = "smoke: a whole run does not fit into its minute"
        return Target(None, SECONDS, at_least=False, reason=reason), {}
    say("dpfedsyn run, whole process")
    before = machine.load()
    found = process.measure()
    row = {
        "wall s": found.wall,
        "processor s": found.processor,
        "memory MiB": found.memory_mib,
        "load before": before,
    }
    reason = f"one process on {process.CORES} cores, report and tables included"
    return Target(found.wall, SECONDS, False, reason), {"dpfedsyn run, whole process": [row]}


def _overhead(smoke: bool, say: Callable[[str], None]) -> tuple[Target, dict[str, Table]]:
    say("overhead of a pass of 100 rounds over its bare forwards")
    times = 1 if smoke else REPETITIONS
    usual = _passes(times, ())
    passes = [_pass("as it is", one) for one in usual]
    if not smoke:
        wide = _passes(times, (f"network.hidden={WIDE}",))
        passes += [_pass(f"network of {WIDE} hidden units", one) for one in wide]
    middle = usual[len(usual) // 2]
    answers = middle.rounds * middle.silos
    reason = (
        f"median of {times} (passes of {middle.rounds} rounds); the network is small, so that the "
        f"forward of an answer takes {1e3 * middle.work / answers:.1f} ms of processor and "
        f"everything else {1e3 * middle.rest / answers:.1f} ms"
    )
    target = Target(middle.share, SHARE, at_least=False, reason=reason)
    tables: dict[str, Table] = {"overhead": passes, "where the time goes": _parts(middle)}
    return target, tables


def _passes(times: int, overrides: tuple[str, ...]) -> list[Overhead]:
    """Measure several passes and return them by their overhead."""
    measured = [overhead.measure(("train.steps=5", *overrides)) for _ in range(times)]
    return sorted(measured, key=lambda one: one.share)


def _pass(name: str, one: Overhead) -> dict[str, Any]:
    return {
        "pass": name,
        "rounds": one.rounds,
        "wall s": one.wall,
        "bare forwards, wall s": one.bare,
        "overhead": one.share,
        "forwards, processor s": one.work,
        "the rest, processor s": one.rest,
    }


def _parts(one: Overhead) -> Table:
    """Return the parts of a pass; wall seconds of all threads, so they exceed the pass's own."""
    whole = one.work + one.rest
    return [
        {
            "part": name,
            "processor s": time.processor,
            "share": time.processor / whole,
            "with waiting s": time.wall,
        }
        for name, time in one.parts.items()
    ]
