"""Start a small run that dies by SIGKILL at a given moment; run in a process of its own.

    python killed.py FOLDER MOMENT COUNT OVERRIDE...

MOMENT is one of those that `arm` knows; COUNT says at which of its occurrences the process dies.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accountants.ledger import Ledger
from dpfedsyn import checkpoint, config
from dpfedsyn import run as runner
from dpfedsyn.progress import Silent


def die() -> None:
    """End this process as a power cut would: no handler, no clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    """Die at the n-th call."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self) -> None:
        """Count one occurrence."""
        self._left -= 1
        if self._left == 0:
            die()


class Steps(Silent):
    """A progress object that counts training steps."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick, self._training = tick, False

    def stage(self, name: str, total: int | None) -> None:
        """Only stages of training count."""
        self._training = name.startswith("train")

    def advance(self, text: str = "") -> None:
        """A step was taken."""
        if self._training:
            self._tick()


def arm(moment: str, tick: Callable[[], None]) -> None:
    """Call `tick` at every occurrence of the moment."""
    commit, save = Ledger.commit, checkpoint.save

    def commits(*args: Any, **kwargs: Any) -> Any:
        if moment == "before a charge":
            tick()
        charge = commit(*args, **kwargs)
        if moment == "after a charge":
            tick()
        return charge

    def saves(*args: Any, **kwargs: Any) -> None:
        if moment == "before a checkpoint":
            tick()
        save(*args, **kwargs)

    Ledger.commit = commits  # type: ignore[method-assign]
    checkpoint.save = saves


def main() -> None:
    """Run until death."""
    folder, moment, count, *overrides = sys.argv[1:]
    tick = Countdown(int(count))
    arm(moment, tick)
    progress = Steps(tick if moment == "after a step" else lambda: None)
    runner.run(config.load("hospitals", overrides), Path(folder), progress=progress)
    raise AssertionError(f"{moment} number {count} never came")


if __name__ == "__main__":
    main()
