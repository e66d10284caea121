"""Say where a run's wall time goes, part by part, from outside the program that runs.

Functions are wrapped where they are looked up, and only while the measurement lasts. A part's time
is its own: what a part inside it took is counted there alone, so that all parts add up to the whole.
"""

from __future__ import annotations

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


@dataclass
class Stopwatch:
    """Seconds per part, each without the parts inside it."""

    seconds: dict[str, float] = field(default_factory=dict)
    _inside: list[float] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block; what parts inside it take is subtracted."""
        self._inside.append(0.0)
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + took - self._inside.pop()
            if self._inside:
                self._inside[-1] += took

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
                function = getattr(part.owner, part.attribute)
                timed = self.wrap(part.name, function)
                stack.enter_context(patch.object(part.owner, part.attribute, timed))
            yield
