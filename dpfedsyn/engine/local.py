"""The transport of a run in one process: plain calls, all silos at the same time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from dpfedsyn.engine import Failure
from dpfedsyn.errors import SiloUnavailable

_LOG = logging.getLogger(__name__)

Pending = tuple[bytes, "Future[bytes]"]


class LocalTransport:
    """Deliver to silos that live in this process, each in a thread of its own.

    Args:
        handlers: each member's way from a request to its reply, in bytes; no more is seen of it.
        close: called when the transport is left, before it waits.

    Use it as a context: leaving it waits for silos that are still at work, and ends the threads.
    """

    def __init__(
        self,
        handlers: Mapping[str, Callable[[bytes], bytes]],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._handlers = dict(handlers)
        self._close = close
        self._threads = ThreadPoolExecutor(len(self._handlers), "silo")
        self._pending: dict[str, Pending] = {}  # replies that were not there in time

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        return tuple(self._handlers)

    def query(
        self, step: str, payloads: Mapping[str, bytes], timeout: float | None
    ) -> dict[str, bytes | Failure]:
        """Deliver each member's payload and return its reply, or why there is none.

        A silo that is busy with an earlier payload is not asked. Its late reply to that one is
        dropped and logged; it was charged all the same. Any error of a silo but `SiloUnavailable`
        is raised as it is.
        """
        futures = {
            name: future
            for name, payload in payloads.items()
            if (future := self._deliver(name, payload)) is not None
        }
        # A step is over when every silo is done with it, or its time is.
        in_time = wait(futures.values(), timeout).done
        late = {name: future for name, future in futures.items() if future not in in_time}
        self._pending |= {name: (payloads[name], future) for name, future in late.items()}
        found: dict[str, bytes | Failure] = {
            name: Failure("it is busy with an earlier question")
            for name in payloads.keys() - futures.keys()
        }
        found |= {name: Failure(f"it took longer than {timeout:g} s") for name in late}
        found |= {n: _result(future) for n, future in futures.items() if n not in late}
        return {name: found[name] for name in payloads}

    def _deliver(self, name: str, payload: bytes) -> Future[bytes] | None:
        """Hand a payload to its silo; None while the silo is busy with an earlier one."""
        earlier, future = self._pending.get(name, (None, None))
        if future is not None and earlier != payload:
            if not future.done():
                return None
            _result(future)  # a fault of the silo must not vanish with its late reply
            _LOG.warning("%s: its reply to an earlier question came too late, dropped", name)
        self._pending.pop(name, None)
        if future is not None and earlier == payload:
            return future
        return self._threads.submit(self._handlers[name], payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()
        self._threads.shutdown(cancel_futures=True)


def _result(future: Future[bytes]) -> bytes | Failure:
    try:
        return future.result()
    except SiloUnavailable as error:
        return Failure(str(error))
