"""The transport of a run inside an NVFlare job: one remote call per silo, all at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from nvflare.collab import CollabCallError

from dpfedsyn.engine import Failure

LONGEST = 7 * 86400.0  # seconds of a call that may take as long as it takes


class NVFlareTransport:
    """Deliver to the silos behind the sites of a job.

    Args:
        sites: by silo, the Collab proxy of the site that forwards to it.

    Use it as a context: leaving it ends its threads.
    """

    def __init__(self, sites: Mapping[str, Any]) -> None:
        self._sites = dict(sites)
        self._threads = ThreadPoolExecutor(max(1, len(self._sites)), "site")

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        return tuple(self._sites)

    def query(
        self, step: str, payloads: Mapping[str, bytes], timeout: float | None
    ) -> dict[str, bytes | Failure]:
        """Deliver each member's payload and return its reply, or why there is none.

        NVFlare itself ends a call that takes longer than `timeout`; the site's silo goes on, and
        the same payload asked again finds its stored reply.

        Raises:
            nvflare.collab.api.exceptions.RunAborted: the job has ended; the run is to be resumed
                in another one.
        """
        seconds = LONGEST if timeout is None else timeout
        futures = {
            name: self._threads.submit(self._call, name, payload, seconds)
            for name, payload in payloads.items()
        }
        return {name: future.result() for name, future in futures.items()}

    def _call(self, name: str, payload: bytes, seconds: float) -> bytes | Failure:
        try:
            reply = self._sites[name](timeout=seconds).forward(payload, seconds)
        except CollabCallError as error:
            return Failure(f"its site did not reply ({error.cause_type}: {error.cause})")
        if isinstance(reply, bytes):
            return reply
        return Failure(f"its site has no reply of it: {reply}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown()
