"""Carrying inside one process, and between processes of one machine, beside plain calls."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.engines import stub
from benchmarks.engines.processes import Processes, ready, until
from dpfedsyn import service
from dpfedsyn.engine import sockets
from dpfedsyn.engine.asking import Asking
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.envelope import Spent
from dpfedsyn.messages import PrivateAnswer, ScoreQuery

SILOS = ("a", "b")
ROWS = DIMENSION = 64


def carrying(rounds: int) -> dict[str, float]:
    """Return median seconds a step of silos that do nothing: plain calls, and the transport's."""
    points = np.arange(ROWS * DIMENSION, dtype=np.int16).reshape(ROWS, DIMENSION)

    def answer(query: ScoreQuery) -> PrivateAnswer:
        number = query.round_number
        return PrivateAnswer("a", number, 100, points, None, 6.0, 18.0, 0.5, None, 1.0, None)

    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(len(SILOS)))

        def plain(number: int) -> None:  # at the same time, as engines do it
            query = stub.query(number, ROWS, DIMENSION)
            list(threads.map(lambda _: answer(query), SILOS))

        handler = service.answering(answer, lambda: Spent(0.0, None))
        local = stack.enter_context(LocalTransport(dict.fromkeys(SILOS, handler)))
        return {
            "plain calls": _median(plain, rounds),
            "one process": _median(_asking(Asking(local)), rounds),
        }


def between_processes(rounds: int) -> float:
    """Return median seconds a step of silos with ledgers, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="en-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        processes = stack.enter_context(Processes(folder))
        paths = {who: folder / f"{who}.socket" for who in SILOS}
        for who, path in paths.items():
            command = ("python", "-m", "benchmarks.engines.stub", who, str(path), str(DIMENSION))
            processes.start(f"stub-{who}", *command)
        until(lambda: all(map(ready, paths.values())), "the stubs")
        transport = stack.enter_context(sockets.transport(paths))
        return _median(_asking(Asking(transport)), rounds)


def _asking(engine: Asking) -> Callable[[int], None]:
    def ask(number: int) -> None:
        engine.ask(dict.fromkeys(SILOS, stub.query(number, ROWS, DIMENSION)))

    return ask


def _median(step: Callable[[int], None], rounds: int) -> float:
    taken = []
    for number in range(rounds):
        began = time.perf_counter()
        step(number)
        taken.append(time.perf_counter() - began)
    return median(taken)
