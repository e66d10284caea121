"""Processor seconds, seconds on the clock and peak memory of a program's stages, from inside it."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.run.stopwatch import Part, Time

OTHER = "everything else"
_STATUS, _REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # of proc(5): the peak of resident memory begins again at what is resident now


@dataclass(frozen=True)
class Stage:
    """What a stage took, all threads together, however often it was entered.

    Attributes:
        peak: the most bytes that were resident in it; None where the system does not tell.
    """

    time: Time = field(default_factory=Time)
    peak: int | None = 0

    def more(self, time: Time, peak: int | None) -> Stage:
        """Return this stage after it was entered once more."""
        known = peak is not None and self.peak is not None
        return Stage(self.time + time, max(self.peak or 0, peak or 0) if known else None)


class Meter:
    """Stages inside each other: what an inner one takes is counted there alone."""

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}
        self._names = [OTHER]
        self._began = _now()
        forget_peak()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what the block takes under this name."""
        self.close()
        self._names.append(name)
        try:
            yield
        finally:
            self.close()
            self._names.pop()

    def close(self) -> None:
        """Count what was taken until now, and begin again."""
        name, now, peak = self._names[-1], _now(), peak_since()
        self.stages[name] = self.stages.get(name, Stage()).more(now - self._began, peak)
        forget_peak()
        self._began = _now()

    @contextmanager
    def measuring(self, parts: Sequence[Part]) -> Iterator[None]:
        """Take these functions, called by one thread, for stages while the block runs."""
        with ExitStack() as stack:
            for part in parts:
                wrapped = self._wrapped(part.name, getattr(part.owner, part.attribute))
                stack.enter_context(patch.object(part.owner, part.attribute, wrapped))
            yield

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return measured


def whole_peak() -> int:
    """Return the most bytes that were ever resident, as the system has counted by itself."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_since() -> int | None:
    """Return the most bytes resident since `forget_peak`; None where the system does not tell."""
    return _resident("VmHWM")


def resident() -> int | None:
    """Return the bytes that are resident now; None where the system does not tell."""
    return _resident("VmRSS")


def forget_peak() -> None:
    """Let the peak begin again, where the system can."""
    if _REFERENCES.exists():
        _REFERENCES.write_text(_FORGET_PEAK, encoding="ascii")


def _resident(key: str) -> int | None:
    if not _REFERENCES.exists():
        return None
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _now() -> Time:
    return Time(time.perf_counter(), time.process_time())
