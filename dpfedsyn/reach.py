"""Reach a silo's process: one request, one reply, bytes that this side need not understand.

Needs the standard library only: whoever forwards bytes to a silo imports neither numpy nor torch.
"""

from __future__ import annotations

import socket
from pathlib import Path

from dpfedsyn import frames

CONNECT = 5.0  # seconds for the other side to accept


def call(path: Path | str, request: bytes, timeout: float | None = None) -> bytes:
    """Send a request to the silo that listens at `path`, and return its reply.

    Args:
        timeout: seconds for each part of the reply to come; None: as long as it takes.

    Raises:
        ConnectionError: nobody listens there, or the silo closed the connection (it does so to
            those whom it does not know, without a word). TimeoutError: no reply in time; the
            silo may have charged for it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT)
        try:
            connection.connect(str(path))
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConnectionError(f"{path}: no silo can be reached there ({reason})") from None
        connection.settimeout(timeout)
        frames.send(connection, request)
        reply = frames.receive(connection, frames.MOST)
    if reply is None:
        raise ConnectionError(f"{path}: the silo closed the connection without a reply")
    return reply
