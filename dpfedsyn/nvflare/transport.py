"""The transport of a run inside an NVFlare job: one remote call per silo, all at the same time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from nvflare.collab import CollabCallError
from nvflare.collab.api.exceptions import RunAborted

from dpfedsyn.engine import Failure

_LOG = logging.getLogger(__name__)

LONGEST = 7 * 86400.0  # seconds of a call that may take as long as it takes
NOTICE = 10.0  # seconds after a lost call in which NVFlare says whether the job ends


class NVFlareTransport:
    """Deliver to the silos behind the sites of a job.

    Args:
        sites: by silo, the Collab proxy of the site that forwards to it. aborted: whether the job
            is being ended.

    Use it as a context: leaving it ends its threads.
    """

    def __init__(self, sites: Mapping[str, Any], aborted: Callable[[], bool]) -> None:
        self._sites = dict(sites)
        self._aborted = aborted
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
            nvflare.collab.api.exceptions.RunAborted: a site's process is lost, and the job ends
                with it; the run is to be resumed in another one.
        """
        seconds = LONGEST if timeout is None else timeout
        futures = {
            name: self._threads.submit(self._call, step, name, payload, seconds)
            for name, payload in payloads.items()
        }
        return {name: future.result() for name, future in futures.items()}

    def _call(self, step: str, name: str, payload: bytes, seconds: float) -> bytes | Failure:
        began = time.monotonic()
        try:
            reply = self._sites[name](timeout=seconds).forward(payload, seconds)
        except CollabCallError as error:
            if time.monotonic() - began < seconds:
                self._require_job(name)
            _LOG.warning("%s: no reply in %s; if one comes later, it is dropped", name, step)
            return Failure.told(f"its site did not reply ({error.cause_type})")
        if isinstance(reply, bytes):
            return reply
        return Failure.told(f"its site has no reply of it: {reply}")

    def _require_job(self, name: str) -> None:
        """A call that ended before its time: its site may be lost, and with it the job.

        Who went on without that site would take a step that no job after this one repeats.
        """
        deadline = time.monotonic() + NOTICE
        while time.monotonic() < deadline:
            if self._aborted():
                raise RunAborted(f"{name}: its site is lost, and the job ends")
            time.sleep(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown()
