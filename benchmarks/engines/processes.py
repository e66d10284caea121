"""Processes of a test federation on the loopback: silos' daemons, and what connects them."""

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

from dpfedsyn import config, envelope, reach, resolved
from dpfedsyn.envelope import Health, Healthy

SILOS = ("cleveland", "hungarian")
SMALL = (
    "train.steps=4",
    "train.block=2",
    "answers.rows=40",
    "answers.best_share=0",
    "sampler.levels=3",
    "sampler.steps_per_level=1",
    "participation.quorum=1",
    "participation.attempts=100",
    "privacy.unsafe_noise_seed=5",  # so that runs over different engines can be compared
)


ROOT = Path(__file__).parents[2]
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "PATH": f"{sys.prefix}/bin:{os.environ.get('PATH', '')}",  # Flower starts commands by name
    "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks' / 'engines' / 'hook'}",
}


def two_hospitals(folder: Path, settings: tuple[str, ...] = SMALL) -> Path:
    """Write the embedded example with two of its silos and these settings."""
    shutil.copytree(Path(str(files("dpfedsyn") / "examples" / "hospitals")), folder)
    path = folder / "config.toml"
    loaded = config.load(str(path), list(settings))
    kept = tuple(silo for silo in loaded.silos if silo.name in SILOS)
    path.write_text(resolved.dump(dataclasses.replace(loaded, silos=kept)), encoding="utf-8")
    return path


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(done: Callable[[], bool], what: str, seconds: float = 120.0, pause: float = 0.1) -> None:
    """Wait until something is so; fail with its name where it does not come."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(pause)


class Processes:
    """Processes by name, with their output in files; all of them end with the context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}

    def start(self, name: str, *command: str, **environment: str) -> None:
        """Start a process in a group of its own."""
        self._started[name] = (command, environment)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [f"{sys.prefix}/bin/{command[0]}", *command[1:]],
                stdout=log, stderr=log, start_new_session=True, cwd=self.folder,
                env={**os.environ, **SETTINGS, **environment},
            )  # fmt: skip

    def again(self, name: str) -> None:
        """Start a process as it was started before."""
        command, environment = self._started[name]
        self.start(name, *command, **environment)

    def kill(self, name: str) -> None:
        """Kill a process and its children at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.running[name].pid, signal.SIGKILL)
        self.running[name].wait()

    def log(self, name: str) -> str:
        """What a process has printed."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def silo(self, name: str, path: Path) -> Path:
        """Start a silo's daemon, and return its socket."""
        home = self.folder / "silos" / name
        self.start(
            name, "dpfedsyn", "silo", "serve", str(path), "--name", name, "--home", str(home)
        )
        return home / "socket"

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for name in self.running:
            self.kill(name)
        if kind is not None:
            for name in self.running:  # pytest shows it beside the failure
                print(f"--- {name}\n{self.log(name)[-2000:]}")


def ready(path: Path) -> bool:
    """Whether the silo behind a socket has trained."""
    try:
        reply = envelope.reply(reach.call(path, envelope.encode(Health()), 10.0))
    except OSError:
        return False
    return isinstance(reply, Healthy) and reply.state == "ready"


@contextlib.contextmanager
def silos(folder: Path, path: Path) -> Iterator[tuple[Processes, dict[str, Path]]]:
    """Start both daemons and wait until they have trained."""
    with Processes(folder) as processes:
        sockets = {name: processes.silo(name, path) for name in SILOS}
        until(lambda: all(map(ready, sockets.values())), "both silos trained")
        yield processes, sockets
