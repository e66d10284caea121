"""Say where a run's time goes, part by part, from outside the program that runs.

Functions are wrapped where they are looked up, and only while the measurement lasts. A part's time
is its own: what a part inside it took is counted there alone. Each thread counts for itself, and
the parts of all threads are added up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from unittest.mock import patch


@dataclass(frozen=True)
class Part:
    """A function to be timed: its name in the table, and where it is looked up."""

    name: str
    owner: Any
    attribute: str


@dataclass(frozen=True)
class Time:
    """Seconds on the clock and seconds of a processor; the difference was spent waiting."""

    wall: float = 0.0
    processor: float = 0.0

    def __add__(self, other: Time) -> Time:
        return Time(self.wall + other.wall, self.processor + other.processor)

    def __sub__(self, other: Time) -> Time:
        return Time(self.wall - other.wall, self.processor - other.processor)


def now() -> Time:
    """Return this thread's clocks."""
    return Time(time.perf_counter(), time.thread_time())


@dataclass
class Stopwatch:
    """Time per part over all threads, each part without the parts inside it."""

    times: dict[str, Time] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.local = field(default_factory=threading.local)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block; what parts inside it take is subtracted."""
        inside: list[Time] = self._thread.__dict__.setdefault("inside", [])
        inside.append(Time())
        began = now()
        try:
            yield
        finally:
            took = now() - began
            own = took - inside.pop()
            if inside:
                inside[-1] += took
            with self._lock:
                self.times[name] = self.times.get(name, Time()) + own

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed under this name."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return timed

    @contextmanager
    def timing(self, parts: Sequence[Part]) -> Iterator[None]:
        """Time these functions while the block runs."""
        with ExitStack() as stack:
            for part in parts:
                timed = self.wrap(part.name, getattr(part.owner, part.attribute))
                stack.enter_context(patch.object(part.owner, part.attribute, timed))
            yield
