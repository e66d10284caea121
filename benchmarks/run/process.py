"""How long `dpfedsyn run` takes: the whole process, from the shell's point of view."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORES = 2


@dataclass(frozen=True)
class Process:
    """One process: wall seconds, processor seconds, the most memory that any child held."""

    wall: float
    processor: float
    memory_mib: float


def measure(example: str = "hospitals", overrides: Sequence[str] = ()) -> Process:
    """Run an embedded example once, report and tables included, on at most two cores."""
    with tempfile.TemporaryDirectory(prefix="process-") as folder:
        command = [sys.executable, "-m", "dpfedsyn", "run", example]
        command += ["--out", str(Path(folder) / "run")]
        command += [part for override in overrides for part in ("--set", override)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        with _two_cores():
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Process(wall, used, after.ru_maxrss / 1024.0)


@contextmanager
def _two_cores() -> Iterator[None]:
    """Let children started meanwhile use two cores at most, where the system can say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(mine)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)
