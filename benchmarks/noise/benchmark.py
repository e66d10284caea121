"""How fast the noise is, how far from the Gaussian, what the ledger costs, what an attack sees."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import machine
from benchmarks.noise import answers, attack, speed
from benchmarks.record import Figures, Table, Target, say
from dpfedsyn.errors import MechanismError
from dpfedsyn.lattice import (
    COARSE,
    coarse,
    delta_with_noise,
    generator_advantage,
    total_variation,
)
from dpfedsyn.noise import Keystream

Measured = tuple[dict[str, Target], dict[str, Table]]

DRAWS, OPENDP_DRAWS, TIMES = 2**23, 20_000, 7
SMOKE_DRAWS, SMOKE_OPENDP, SMOKE_TIMES = 2**20, 2_000, 3
SHAPES = ((300, 27), (3_000, 27), (4_096, 64))  # rows, dimension: hospitals, and images' latents
WIDEST = SHAPES[-1]
ANSWERS, CHARGES = 25, 200
SMOKE_ANSWERS, SMOKE_CHARGES = 5, 20
PER_SECOND, THROUGH_ANSWER, RATIO = 20e6, 10e6, 200.0
CAP, EPSILON, DELTA = 50_000_000, 20.0, 1e-5
SLACK_MS = 1.0
OBSERVED, NEXT = 1024, 64


def measure(*, smoke: bool) -> Figures:
    """Return the figures; `smoke` repeats less and takes under a minute."""
    targets: dict[str, Target] = {}
    tables: dict[str, Table] = {}
    for part in (_sampler, _through_answers, _ledger):
        found = part(smoke, say)
        targets |= found[0]
        tables |= found[1]
    for free in (_variation(), _attack(say)):
        targets |= free[0]
        tables |= free[1]
    note = (
        "Draws per second of a processor: waiting for the disk or for other processes does not "
        f"count. Processes that wanted a core at the end: {machine.load()}."
    )
    return Figures(targets, tables, (note,))


def _sampler(smoke: bool, say: Callable[[str], None]) -> Measured:
    say("draws per second, sampler alone")
    draws, times = (SMOKE_DRAWS, SMOKE_TIMES) if smoke else (DRAWS, TIMES)
    found = {name: speed.per_second(draw, draws, times) for name, draw in speed.ours().items()}
    own, reason = next(iter(found.values())), f"median of {times} times {draws} draws"
    targets = {"draws_per_second": Target(own, PER_SECOND, True, reason)}
    theirs = speed.opendp()
    rows: list[dict[str, Any]] = [_speed(name, value) for name, value in found.items()]
    if theirs is None:
        missing = "OpenDP is not installed; `pip install dpfedsyn[bench]`"
        targets["ratio_to_opendp"] = Target(None, RATIO, True, missing)
        rows.append({"sampler": "OpenDP's vector Gaussian", "million a second": "not installed"})
    else:
        other = speed.per_second(theirs, SMOKE_OPENDP if smoke else OPENDP_DRAWS, times)
        targets["ratio_to_opendp"] = Target(
            own / other, RATIO, True, f"OpenDP {version('opendp')}, same run"
        )
        rows.append(_speed("OpenDP's vector Gaussian", other))
    return targets, {"draws, one processor": rows}


def _speed(name: str, value: float) -> dict[str, Any]:
    return {"sampler": name, "million a second": value / 1e6, "ns a draw": 1e9 / value}


def _through_answers(smoke: bool, say: Callable[[str], None]) -> Measured:
    say("draws per second through Silo.answer")
    rows, found = [], {}
    for shape in SHAPES:
        with tempfile.TemporaryDirectory(prefix="answers-") as folder:
            count = SMOKE_ANSWERS if smoke else ANSWERS
            found[shape] = answers.draws_per_second(Path(folder), *shape, count)
        processor, wall = found[shape]
        rows.append({
            "rows": shape[0], "dimension": shape[1], "draws": shape[0] * (shape[1] + 1),
            "million a processor second": processor / 1e6, "million a second": wall / 1e6,
        })  # fmt: skip
    reason = (
        f"{WIDEST[0]} rows of dimension {WIDEST[1]} and energies, a model that costs nothing; all "
        "else that an answer does is in it: checks, digest, clipping, encoding, ledger; on the "
        f"clock, waiting for the disk and for others, {found[WIDEST][1] / 1e6:.1f} million"
    )
    target = Target(found[WIDEST][0], THROUGH_ANSWER, True, reason)
    return {"answer_draws_per_second": target}, {"draws through Silo.answer": rows}


def _ledger(smoke: bool, say: Callable[[str], None]) -> Measured:
    say("ledger and idempotency, and bare fsyncs in turn")
    count = SMOKE_CHARGES if smoke else CHARGES
    rows = []
    for shape in SHAPES:
        with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
            charged, bare = answers.ledger_cost(Path(folder), *shape, count)
        rows.append({
            "rows": shape[0], "dimension": shape[1],
            "reply KiB": 4 * shape[0] * (shape[1] + 1) / 1024,
            "ledger, p50 ms": 1e3 * charged, "two bare fsyncs, p50 ms": 1e3 * bare,
            "above them, ms": 1e3 * (charged - bare),
        })  # fmt: skip
    first = rows[0]
    reason = (
        f"median of {count} answers of {first['rows']} rows, {first['reply KiB']:.0f} KiB; the "
        f"target is two fsyncs of 4 KiB on the same disk, measured in turn, and {SLACK_MS:g} ms"
    )
    limit = first["two bare fsyncs, p50 ms"] + SLACK_MS
    target = Target(first["ledger, p50 ms"], limit, False, reason)
    return {"ledger_ms": target}, {"ledger and idempotency per answer": rows}


def _variation() -> Measured:
    rows = []
    for draws in (1_000_000, CAP, 1_000_000_000):
        for epsilon in (1.0, 10.0, EPSILON, 40.0, 100.0):
            tau = total_variation(draws)
            try:
                added: float | str = delta_with_noise(DELTA, epsilon, draws) - DELTA
            except MechanismError:
                added = "no claim"
            rows.append({
                "draws": draws, "epsilon": epsilon, "tau": tau,
                "(1 + e^epsilon) tau": (1.0 + math.exp(epsilon)) * tau, "delta / 1000": DELTA / 1e3,
                "tau_prg": generator_advantage(draws), "delta' - delta": added,
            })  # fmt: skip
    value = (1.0 + math.exp(EPSILON)) * total_variation(CAP)
    reason = f"{CAP} draws, epsilon {EPSILON:g}, delta {DELTA:g}; proved in LATTICE_NOISE.md"
    target = Target(value, DELTA / 1e3, False, reason)
    return {"total_variation": target}, {"certified total variation": rows}


def _attack(say: Callable[[str], None]) -> Measured:
    say("attack on a Mersenne Twister, and on this package's noise")
    twister = torch.Generator()
    twister.manual_seed(int.from_bytes(os.urandom(7), "big"))
    stream = Keystream(os.urandom(32))

    def torch_noise(count: int) -> Any:
        drawn = torch.normal(0.0, 1.0, (count,), dtype=torch.float64, generator=twister)
        return drawn.numpy()

    def own_noise(count: int) -> Any:
        return coarse(stream, count).astype(np.float64) / COARSE

    victims = {"torch.normal, Mersenne Twister": torch_noise, "coarse lattice": own_noise}
    found = {name: attack.attack(draw(OBSERVED), draw(NEXT)) for name, draw in victims.items()}
    rows = [
        {
            "noise": name, "draws seen": OBSERVED, "equations left over": one.equations,
            "of these hold": one.hold, f"of the next {NEXT} foretold": one.recovered,
        }
        for name, one in found.items()
    ]  # fmt: skip
    theirs, own = found.values()
    reason = f"share of the next {NEXT} draws that {OBSERVED} seen ones foretell"
    targets = {
        "twister_foretold": Target(theirs.recovered, 1.0, True, f"{reason}: the attack works"),
        "own_foretold": Target(own.recovered, 0.0, False, reason),
    }
    return targets, {"the next noise, foretold": rows}
