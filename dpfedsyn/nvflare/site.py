"""A site's part of a job: it passes bytes to the silo's process and the reply back.

It reads no files, knows no message and needs nothing of dpfedsyn but `reach`. Which socket it opens
is the site's own decision: the environment of its NVFlare client says so, and no job can.
"""

from __future__ import annotations

import logging
import os

from nvflare.collab import collab

from dpfedsyn import reach

SOCKET = "DPFEDSYN_SOCKET"
LONGEST = 7 * 86400.0  # seconds after which a site gives a silo up, whatever the server allows

_LOG = logging.getLogger(__name__)


class Forwarder:
    """Forwards requests to the silo that listens at the site's `DPFEDSYN_SOCKET`.

    Guarantee:
        What goes back to the server is a reply of the silo's process, or one of the fixed
        sentences below; no path and no error text of the site is.
    """

    @collab.init
    def ready(self) -> None:
        """Refuse a job where the site names no socket.

        Raises:
            RuntimeError: `DPFEDSYN_SOCKET` is not set.
        """
        _socket()

    @collab.publish
    def forward(self, request: bytes, seconds: float) -> bytes | str:
        """Return the silo's reply, or a sentence that says why there is none.

        Args:
            request: for the silo, as it is. seconds: that the reply may take.
        """
        if not isinstance(request, bytes) or not 0 < seconds < float("inf"):
            return "the site was asked for something that it does not forward"
        try:
            return reach.call(_socket(), request, min(seconds, LONGEST))
        except TimeoutError:
            _LOG.warning("the silo did not reply within %g s", seconds)
            return "the silo did not reply in time"
        except OSError as error:
            _LOG.warning("%s", error)
            return "the silo cannot be reached from its site"


def _socket() -> str:
    path = os.environ.get(SOCKET)
    if not path:
        raise RuntimeError(
            f"{SOCKET} is not set, so nothing can be forwarded and the site takes no part. Set it "
            "to the silo's socket in the environment of the site's NVFlare client."
        )
    return path
