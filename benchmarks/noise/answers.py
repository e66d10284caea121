"""Silos whose model costs nothing, so that an answer's time is the noise's and the ledger's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from accountants.ledger import Header, Ledger
from benchmarks.run.stopwatch import Part, Stopwatch
from dpfedsyn import keys, messages, silo
from dpfedsyn.messages import ScoreQuery
from dpfedsyn.privatise import AnswerMechanism

CLIP, STD = 6.0, 40.0
KEPT = 3  # rounds whose replies the ledger keeps

# What an answer pays to be charged once and answered once: looked up where it is used.
LEDGER = (
    Part("ledger", messages, "digest"),
    Part("ledger", Ledger, "find"),
    Part("ledger", Ledger, "admit"),
    Part("ledger", messages, "encode_answer"),
    Part("ledger", Ledger, "commit"),
)


class Known:
    """A model whose predictions were made beforehand."""

    def __init__(self, noise: Any) -> None:
        self._noise = noise

    def predict_noise(self, x: Any, signal: float, labels: Any) -> Any:
        """Return them."""
        return self._noise


@contextmanager
def opened(folder: Path, rows: int, dimension: int) -> Iterator[silo.Silo]:
    """A silo that answers queries of this shape, over a new ledger in the folder."""
    key = keys.fresh()
    header = Header(
        key.ledger_id, "north", "run", "record", "add-or-remove", 1e-5, (), 1e12, None, KEPT, "1"
    )
    rng = np.random.default_rng(0)
    model = Known(rng.standard_normal((rows, dimension)))
    mechanism = AnswerMechanism(clip=CLIP, energy_bound=18.0)
    with Ledger.create(folder / "ledger.sqlite", header, key=key.chain) as ledger:
        public = silo.Public("north", "run", dimension, 1, mechanism, None, b"schema/1")
        yield silo.Silo(public, [model], ledger, key)


def queries(rows: int, dimension: int, count: int) -> list[ScoreQuery]:
    """Queries of consecutive rounds, scores and energies."""
    x = np.zeros((rows, dimension), dtype=np.float32)
    labels = np.zeros(rows, dtype=np.int64)
    return [ScoreQuery("run", n, 500, x, labels, STD, STD) for n in range(count)]


def draws_per_second(folder: Path, rows: int, dimension: int, count: int) -> tuple[float, float]:
    """Return draws per second of a processor and of the clock, medians over `count` answers."""
    processor, wall = [], []
    with opened(folder, rows, dimension) as one:
        for query in queries(rows, dimension, count):
            began = time.perf_counter(), time.thread_time()
            one.answer(query)
            processor.append(time.thread_time() - began[1])
            wall.append(time.perf_counter() - began[0])
    draws = rows * (dimension + 1)
    return draws / median(processor), draws / median(wall)


def ledger_cost(folder: Path, rows: int, dimension: int, count: int) -> tuple[float, float]:
    """Return median seconds of an answer's ledger work and of two bare fsyncs, taken in turn.

    A bare fsync appends 4 KiB to a file beside the ledger and waits until they are on the disk.
    """
    charged, bare = [], []
    with opened(folder, rows, dimension) as one, (folder / "bare").open("wb") as file:
        for query in queries(rows, dimension, count):
            bare.append(_timed(lambda: _append(file, times=2)))
            watch = Stopwatch()
            with watch.timing(LEDGER):
                one.answer(query)
            charged.append(watch.times["ledger"].wall)
    return median(charged), median(bare)


def _append(file: Any, *, times: int) -> None:
    for _ in range(times):
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
