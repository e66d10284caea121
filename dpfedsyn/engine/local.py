"""The engine of a run in one process: plain calls, all silos at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from dpfedsyn.errors import BudgetExhausted
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

        Refusals are raised once all silos are done, all of them in one `BudgetExhausted`; any
        other error of a silo as it is.
        """
        futures = {
            name: self._threads.submit(self._answers[name], query)
            for name, query in queries.items()
        }
        # Asking for the errors waits: a round is over when every silo is done with it.
        errors = [future.exception() for future in futures.values()]
        refusals = [error for error in errors if isinstance(error, BudgetExhausted)]
        if len(refusals) > 1:
            raise BudgetExhausted("\n".join(str(refusal) for refusal in refusals))
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
