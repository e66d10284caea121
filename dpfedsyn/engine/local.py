"""The engine of a run in one process: plain calls, all silos at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from dpfedsyn.messages import PrivateAnswer, ScoreQuery


class LocalEngine:
    """Deliver queries to silos that live in this process, each in a thread of its own.

    Args:
        answers: each member's `answer`; the engine sees nothing else of a silo.

    Use it as a context: leaving it ends the threads.
    """

    def __init__(self, answers: Mapping[str, Callable[[ScoreQuery], PrivateAnswer]]) -> None:
        self._answers = dict(answers)
        self._threads = ThreadPoolExecutor(len(self._answers), "silo")

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        return tuple(self._answers)

    def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
        """Deliver each silo's query and return the answers.

        A silo's refusal is raised as it is, once all silos are done; of several the first member's.
        """
        futures = {
            name: self._threads.submit(self._answers[name], query)
            for name, query in queries.items()
        }
        for future in futures.values():
            future.exception()  # waits; a round is over when every silo is done with it
        return {name: future.result() for name, future in futures.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown()
