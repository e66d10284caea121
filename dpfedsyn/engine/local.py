"""The engine of a run in one process: plain calls, all silos at the same time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from dpfedsyn.errors import BudgetExhausted, SiloUnavailable
from dpfedsyn.messages import PrivateAnswer, ScoreQuery

_LOG = logging.getLogger(__name__)

Pending = tuple[ScoreQuery, "Future[PrivateAnswer]"]


class LocalEngine:
    """Deliver queries to silos that live in this process, each in a thread of its own.

    Args:
        answers: each member's `answer`; the engine sees nothing else of a silo.
        timeout: seconds that a round's answers may take; None: as long as they take.

    Use it as a context: leaving it waits for silos that are still at work, and ends the threads.
    """

    def __init__(
        self,
        answers: Mapping[str, Callable[[ScoreQuery], PrivateAnswer]],
        timeout: float | None = None,
    ) -> None:
        self._answers = dict(answers)
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(len(self._answers), "silo")
        self._pending: dict[str, Pending] = {}  # answers that were not there in time

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        return tuple(self._answers)

    def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
        """Deliver each silo's query and return the answers that are there in time.

        A silo that is unavailable, late, or still busy with an earlier query is not among them. Its
        late answer to an earlier query is dropped and logged; it was charged all the same. Refusals
        are raised once the round is over, all of them in one `BudgetExhausted`; any other error of
        a silo as it is.
        """
        futures = {
            name: future
            for name, query in queries.items()
            if (future := self._deliver(name, query)) is not None
        }
        # A round is over when every silo is done with it, or its time is.
        in_time = wait(futures.values(), self._timeout).done
        done = {name: future for name, future in futures.items() if future in in_time}
        self._pending |= {n: (queries[n], f) for n, f in futures.items() if n not in done}
        errors = [future.exception() for future in done.values()]
        refusals = [error for error in errors if isinstance(error, BudgetExhausted)]
        if len(refusals) > 1:
            raise BudgetExhausted("\n".join(str(refusal) for refusal in refusals))
        there = {n: f for n, f in done.items() if not isinstance(f.exception(), SiloUnavailable)}
        return {name: future.result() for name, future in there.items()}

    def _deliver(self, name: str, query: ScoreQuery) -> Future[PrivateAnswer] | None:
        """Hand a query to its silo; None while the silo is busy with an earlier one."""
        earlier, future = self._pending.get(name, (None, None))
        if future is not None and earlier is not query:
            if not future.done():
                return None
            if not isinstance(future.exception(), BudgetExhausted | SiloUnavailable):
                future.result()  # a fault of the silo must not vanish with its late answer
            _LOG.warning("%s: its answer to an earlier round came too late and was dropped", name)
        self._pending.pop(name, None)
        if future is not None and earlier is query:
            return future
        return self._threads.submit(self._answers[name], query)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown()
