"""kill -9 of everybody who takes part, at several stages, and what became of the run.

Every scenario is a whole run of two silos whose noise can be repeated, so that its rows can be
compared with those of a run that nobody disturbed.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from benchmarks.engines import flower
from benchmarks.engines.processes import (
    SETTINGS as SITES,
)
from benchmarks.engines.processes import (
    SILOS,
    SMALL,
    Processes,
    free_port,
    ready,
    two_hospitals,
    until,
)
from benchmarks.record import Row
from dpfedsyn import config, run
from dpfedsyn.marking import find

ROUNDS = 8
SETTINGS = (*SMALL, f"sampler.levels={ROUNDS}", "train.steps=40")
LONGEST = 600.0  # seconds for a run to end, repairs included
VICTIM = SILOS[1]


@dataclass(frozen=True)
class Scene:
    """A run that is going on: its processes, its folder, and how it is started again.

    Attributes:
        kill_job: kills what a participant of NVFlare runs for the job; None: there is none.
    """

    processes: Processes
    path: Path
    out: Path
    again: Callable[[], None]
    kill_job: Callable[[str], None] | None = None

    def rounds(self) -> int:
        """Rounds that were taken so far."""
        log = self.out / "rounds.jsonl"
        return len(log.read_text().splitlines()) if log.is_file() else 0

    def after(self, rounds: int) -> None:
        """Wait until so many rounds were taken."""
        until(lambda: self.rounds() >= rounds, f"round {rounds}", LONGEST, pause=0.005)

    def status(self) -> str:
        """How the run stands."""
        path = self.out / "state.json"
        return str(json.loads(path.read_text())["status"]) if path.is_file() else "none"

    def silo_again(self) -> None:
        """Kill a silo's daemon and start it again."""
        self.processes.kill(VICTIM)
        self.processes.silo(VICTIM, self.path)


def measure(engines: tuple[str, ...]) -> list[Row]:
    """Return a row per scenario of these engines."""
    with tempfile.TemporaryDirectory(prefix="en-", dir="/tmp") as name:
        path = two_hospitals(Path(name) / "two", SETTINGS)
        undisturbed = run.run(config.load(str(path)), Path(name) / "whole").folder
        rows = find(undisturbed, "synthetic.csv").read_bytes()
    return [
        _outcome(engine, victim, play, rows)
        for engine in engines
        for victim, play in SCENARIOS[engine].items()
    ]


def _outcome(engine: str, victim: str, play: Callable[[Scene], None], rows: bytes) -> Row:
    with STAGES[engine]() as scene:
        began = time.monotonic()
        play(scene)
        until(lambda: scene.status() == "complete", f"{engine}, {victim}", LONGEST)
        until(lambda: find(scene.out, "statement.json").is_file(), "the statement", LONGEST)
        statement = json.loads(find(scene.out, "statement.json").read_text())
        charged = [silo["charged"]["B"]["answers"] for silo in statement["silos"]]
        return {
            "engine": engine,
            "killed": victim,
            "resumed": True,
            "answers charged beyond the rounds": max(charged) - ROUNDS,
            "under-counted": min(charged) < ROUNDS,
            "rows as without a kill": find(scene.out, "synthetic.csv").read_bytes() == rows,
            "seconds": time.monotonic() - began,
        }


@contextmanager
def _sockets() -> Iterator[Scene]:
    """Two daemons, and the server's run in a process of this machine."""
    with _daemons() as (processes, path, sockets):
        out = processes.folder / "out"
        reached = [part for n, s in sockets.items() for part in ("--silo", f"{n}={s}")]

        def start() -> None:
            resume = ["--resume"] if (out / "config.toml").is_file() else []
            command = ["dpfedsyn", "run", str(path), "--out", str(out), *reached, *resume]
            processes.start("run", *command)

        start()
        yield Scene(processes, path, out, start)


@contextmanager
def _flower() -> Iterator[Scene]:
    """Two daemons, a SuperLink and two SuperNodes."""
    from dpfedsyn.flower import app

    with _daemons() as (processes, path, sockets):
        out, number = processes.folder / "out", iter(range(100))
        flower.federation(processes, sockets)
        app.write(processes.folder / "app", str(path), out)

        def submit() -> None:
            flower.submit(processes, processes.folder / "app", f"run-{next(number)}")

        submit()
        yield Scene(processes, path, out, submit)


@contextmanager
def _daemons() -> Iterator[tuple[Processes, Path, dict[str, Path]]]:
    with tempfile.TemporaryDirectory(prefix="en-", dir="/tmp") as name:
        folder = Path(name)
        path = two_hospitals(folder / "two", SETTINGS)
        with Processes(folder) as processes:
            yield processes, path, {silo: processes.silo(silo, path) for silo in SILOS}


@contextmanager
def _nvflare() -> Iterator[Scene]:
    """Two daemons, and server and sites of NVFlare; a lost job is handed in again by itself."""
    from dpfedsyn.nvflare import job
    from dpfedsyn.nvflare.poc import Poc

    with _daemons() as (processes, path, sockets), patch.dict(os.environ, SITES):
        until(lambda: all(map(ready, sockets.values())), "both silos trained")
        folder, out = processes.folder, processes.folder / "out"
        with Poc(folder / "poc", sockets, free_port()) as poc, poc.session() as session:
            mine = job.Job("run", str(path), out, SILOS)
            runner = threading.Thread(target=job.run, args=(session, mine))
            runner.start()

            def kill(name: str) -> None:
                for number in poc.children(name):
                    os.kill(number, signal.SIGKILL)

            yield Scene(processes, path, out, runner.join, kill)
            runner.join(LONGEST)


def _training(scene: Scene) -> None:
    time.sleep(6.0)  # in the middle of its training, or of its imports
    scene.silo_again()


def _answering(scene: Scene) -> None:
    scene.after(2)
    scene.silo_again()


def _server(scene: Scene) -> None:
    scene.after(2)
    scene.processes.kill("run")
    scene.again()


def _node(scene: Scene) -> None:
    """A SuperNode without a key comes back as another node."""
    scene.after(2)
    scene.processes.kill(f"node-{VICTIM}")
    scene.processes.again(f"node-{VICTIM}")


def _link(scene: Scene) -> None:
    """The ServerApp dies with the SuperLink; the run is submitted again."""
    scene.after(2)
    scene.processes.kill("superlink")
    scene.processes.again("superlink")
    time.sleep(20.0)  # until nodes have found it again
    scene.again()


def _job_of(name: str) -> Callable[[Scene], None]:
    """The process that a participant of NVFlare has for the job."""

    def play(scene: Scene) -> None:
        scene.after(2)
        assert scene.kill_job is not None
        scene.kill_job(name)

    return play


STAGES = {"processes on one machine": _sockets, "Flower": _flower, "NVFlare": _nvflare}
SCENARIOS: dict[str, dict[str, Callable[[Scene], None]]] = {
    "processes on one machine": {
        "a silo while it trains": _training,
        "a silo while it answers": _answering,
        "the server's loop": _server,
    },
    "Flower": {
        "a silo while it answers": _answering,
        "a SuperNode": _node,
        "the SuperLink, with the ServerApp": _link,
    },
    "NVFlare": {
        "a silo while it answers": _answering,
        "a site's job": _job_of(VICTIM),
        "the server's job": _job_of("server"),
    },
}
