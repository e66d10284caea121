"""What engines cost beside bare ones, and what a silo does when questions repeat or are foul."""

from __future__ import annotations

import importlib.util
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

from benchmarks.engines import kills, local, malicious, stub
from benchmarks.engines.processes import Processes, ready, until
from benchmarks.record import Figures, Row, Target, say

FLOWER_ROUNDS, NVFLARE_ROUNDS, LOCAL_ROUNDS = 4, 100, 200
# Forth and back, so that a machine that drifts meets all modes alike.
TURNS = (("bare", "ours", "defaults"), ("defaults", "ours", "bare"))
RATIO, OVER_DEFAULTS, NVFLARE_RATIO, STEP = 0.95, 1.4, 0.9, 1e-3
SMOKE = "smoke: starting this engine does not fit into its minute"
ABSENT = "{}: not installed"
PACKAGES = {"Flower": "flwr", "NVFlare": "nvflare"}


def measure(*, smoke: bool) -> Figures:
    """Return the figures; an engine that is not installed has none."""
    say("carrying inside one process, and between processes")
    rounds = 20 if smoke else LOCAL_ROUNDS
    seconds = local.carrying(rounds)
    over = seconds["one process"] - seconds["plain calls"]
    reason = "seconds over plain calls, 2 silos that do nothing, 64 x 64; medians"
    targets = {"local_step_seconds": Target(over, STEP, at_least=False, reason=reason)}
    seconds["processes on one machine, with ledgers"] = local.between_processes(rounds)
    rows: list[Row] = [
        {"engine": name, "seconds a round": each, "rounds": rounds}
        for name, each in seconds.items()
    ]
    say("a server that plays foul, and questions that come twice")
    foul, twice = _foul()
    targets |= foul | twice
    flower, flower_rows, outside = _flower(smoke)
    nvflare, nvflare_rows, more = _nvflare(smoke)
    targets |= flower | nvflare | _lookups(outside, more)
    killed, kill_rows = _kills(smoke)
    targets |= killed
    versions = {name: version(name) for name in PACKAGES.values() if _there(name)}
    tables = {"seconds a round": [*rows, *flower_rows, *nvflare_rows], "kill -9": kill_rows}
    shown = {name: found for name, found in tables.items() if found}
    return Figures(targets, shown, versions=versions)


def _kills(smoke: bool) -> tuple[dict[str, Target], list[Row]]:
    """Kill everybody once, at each stage."""
    if smoke:
        none = Target(None, 1.0, at_least=True, reason=SMOKE)
        return {"kills_resumed": none, "kills_wasted": replace(none, at_least=False)}, []
    engines = ["processes on one machine"]
    engines += [name for name, package in PACKAGES.items() if _there(package)]
    say(f"kill -9: {', '.join(engines)}")
    rows = kills.measure(tuple(engines))
    whole = [row["rows as without a kill"] and not row["under-counted"] for row in rows]
    wasted = max(row["answers charged beyond the rounds"] for row in rows)
    reason = f"share of {len(rows)} kills after which rows are those of an undisturbed run"
    return {
        "kills_resumed": Target(sum(whole) / len(whole), 1.0, at_least=True, reason=reason),
        "kills_wasted": Target(
            float(wasted), 1.0, at_least=False, reason="answers that a silo charged beyond rounds"
        ),
    }, rows


def _lookups(flower: int | None, nvflare: int) -> dict[str, Target]:
    reason = "outside addresses that Python's audit hook saw in every process started"
    if flower is None:
        return {"lookups": Target(None, 0.0, at_least=False, reason="Flower was not started")}
    return {"lookups": Target(float(flower + nvflare), 0.0, at_least=False, reason=reason)}


def _there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _foul() -> tuple[dict[str, Target], dict[str, Target]]:
    """Attack a silo's process, then ask it one question many times at once."""
    with tempfile.TemporaryDirectory(prefix="en-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        processes, path = stack.enter_context(Processes(folder)), folder / "a.socket"
        command = ("python", "-m", "benchmarks.engines.stub", "a", str(path), str(malicious.D))
        processes.start("a", *command, "1e4")
        until(lambda: ready(path), "the stub")
        tried = {what: attack() for what, attack in malicious.attacks(path).items()}
        query = stub.query(5, 4, malicious.D)
        with ThreadPoolExecutor(8) as threads:
            replies = list(threads.map(lambda _: malicious.answered(path, query), range(16)))
    leaked = sorted(what for what, refused in tried.items() if not refused)
    reason = f"{len(tried)} attacks through the socket; not refused: {', '.join(leaked) or 'none'}"
    share = sum(tried.values()) / len(tried)
    different = float(len(set(replies)))
    alike = "different replies to one question that came 16 times, eight at once"
    return (
        {"foul_refused": Target(share, 1.0, at_least=True, reason=reason)},
        {"different_replies": Target(different, 1.0, at_least=False, reason=alike)},
    )


def _flower(smoke: bool) -> tuple[dict[str, Target], list[Row], int | None]:
    names = {"flower_ratio": RATIO, "flower_over_defaults": OVER_DEFAULTS}
    missing = SMOKE if smoke else None if _there("flwr") else ABSENT.format("flwr")
    if missing:
        return {name: Target(None, least, True, missing) for name, least in names.items()}, [], None
    from benchmarks.engines import flower_rounds

    rows, lookups = list[Row](), 0
    for turn, modes in enumerate(TURNS, 1):
        for mode in modes:
            say(f"Flower: {mode}, turn {turn}")
            each, found = flower_rounds.seconds_a_round(mode, FLOWER_ROUNDS)
            lookups += len(found)
            rows.append({"engine": f"Flower, {mode}", "seconds a round": each,
                         "rounds": FLOWER_ROUNDS, "turn": turn})  # fmt: skip
    seconds = {mode: _mean(rows, f"Flower, {mode}") for mode in TURNS[0]}
    reason = (
        f"rounds a second, 2 silos, 64 x 64, mean of {FLOWER_ROUNDS} rounds in each of "
        f"{len(TURNS)} turns, forth and back"
    )
    ours = seconds["ours"]
    targets = {
        "flower_ratio": Target(seconds["bare"] / ours, RATIO, True, reason),
        "flower_over_defaults": Target(seconds["defaults"] / ours, OVER_DEFAULTS, True, reason),
    }
    return targets, rows, lookups


def _mean(rows: list[Row], engine: str) -> float:
    return fmean(row["seconds a round"] for row in rows if row["engine"] == engine)


def _nvflare(smoke: bool) -> tuple[dict[str, Target], list[Row], int]:
    missing = SMOKE if smoke else None if _there("nvflare") else ABSENT.format("nvflare")
    if missing:
        return {"nvflare_ratio": Target(None, NVFLARE_RATIO, True, missing)}, [], 0
    from benchmarks.engines import nvflare_rounds

    say("NVFlare: bare and ours, in turn")
    seconds, lookups = nvflare_rounds.seconds_a_round(NVFLARE_ROUNDS)
    own = seconds["bare, bytes"] / seconds["ours"]
    reason = (
        f"rounds a second over a bare loop of arrays, 2 silos, 64 x 64, {NVFLARE_ROUNDS} rounds; "
        f"over a bare loop of bytes, which the product sends too: {own:.2f}"
    )
    ratio = seconds["bare, arrays"] / seconds["ours"]
    rows: list[Row] = [
        {"engine": f"NVFlare, {mode}", "seconds a round": each, "rounds": NVFLARE_ROUNDS}
        for mode, each in seconds.items()
    ]
    return {"nvflare_ratio": Target(ratio, NVFLARE_RATIO, True, reason)}, rows, len(lookups)
