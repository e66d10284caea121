"""Independent pieces of work on two threads, in an order that no result depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

T = TypeVar("T")

THREADS = 2


class NoLongerWanted(Exception):  # noqa: N818
    """Raised inside a piece of work whose result nobody waits for any more."""


class SideBySide:
    """Runs pieces of work; the first failure or Ctrl-C ends all of them at their next step."""

    def __init__(self) -> None:
        self._ended = Event()

    def check(self) -> None:
        """Called by the work at every step: raises `NoLongerWanted` after the end."""
        if self._ended.is_set():
            raise NoLongerWanted

    def run(self, work: Sequence[Callable[[], T]]) -> list[T]:
        """Return the results in the order of the work, which is begun in that order."""
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="evaluate")
        futures = [pool.submit(piece) for piece in work]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()  # raises what went wrong, before the rest is waited for
            return [future.result() for future in futures]
        except BaseException:
            self._ended.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
