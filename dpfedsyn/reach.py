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
        timeout: seconds to send the request, and for the whole reply to come; None: as long as it
            takes.

    Raises:
        ConnectionError: nobody listens there, or the silo closed the connection (it does so to
            those whom it does not know, without a word). TimeoutError: no reply in time; the
            silo may have charged for it.
    """
    with connected(path) as connection:
        return exchanged(path, connection, request, timeout)


def connected(path: Path | str) -> socket.socket:
    """Return a connection to whoever listens at `path`; `ConnectionError` where nobody does."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        reason = error.strerror or str(error)
        raise ConnectionError(f"{path}: no silo can be reached there ({reason})") from None
    return connection


def exchanged(
    path: Path | str, connection: socket.socket, request: bytes, timeout: float | None
) -> bytes:
    """Send a request over a connection and return the reply; arguments and errors as of `call`."""
    connection.settimeout(timeout)
    frames.send(connection, request)
    reply = frames.receive(connection, frames.MOST, timeout)
    if reply is None:
        raise ConnectionError(f"{path}: the silo closed the connection without a reply")
    return reply
