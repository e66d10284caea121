"""Silos that conformance is tried against: processes that can be killed, stopped and started again.

Each is the product's silo with a toy model, its ledger in a folder of its own. Whoever holds the
folder can do all that, in whatever process it runs: the numbers of the processes lie there too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.engines.processes import SETTINGS, ready

NAMES = ("b", "a")  # a run's order is not the alphabet's
DIMENSION = 8
PATIENCE = 60.0  # seconds for a process to listen


class Hosts:
    """The silos of a folder.

    Args:
        soon: seconds that no step takes whose silos reply at once.
    """

    def __init__(self, folder: Path, soon: float) -> None:
        self.folder = folder
        self.soon = soon
        self._own: dict[str, subprocess.Popen[bytes]] = {}  # started by this process

    def socket(self, name: str) -> Path:
        """Where a silo listens."""
        return self.folder / f"{name}.socket"

    def start(self, name: str) -> None:
        """Start a silo, and wait until it listens."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        command = ["-m", "benchmarks.engines.stub", name, str(self.socket(name)), str(DIMENSION)]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._own[name] = subprocess.Popen(
                [sys.executable, *command, "1e18", str(home)],
                stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **SETTINGS},
            )  # fmt: skip
        (self.folder / f"{name}.pid").write_text(str(self._own[name].pid))
        end = time.monotonic() + PATIENCE
        while not ready(self.socket(name)):
            assert time.monotonic() < end, (self.folder / f"{name}.log").read_text()
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """Kill a silo at once, and wait until nobody listens."""
        self._signal(name, signal.SIGKILL)
        if name in self._own:
            self._own.pop(name).wait()
        while ready(self.socket(name)):
            time.sleep(0.05)

    def freeze(self, name: str) -> None:
        """Let a silo do nothing, but take connections, until it is thawed."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen silo go on."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        os.kill(int((self.folder / f"{name}.pid").read_text()), number)

    def __enter__(self) -> Hosts:
        for name in NAMES:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        for name in NAMES:
            with suppress(ProcessLookupError):
                self.kill(name)
