"""Frames on a stream: a message behind its length, four bytes, big-endian."""

from __future__ import annotations

import socket
import time

HEADER = 4
MOST = 2**31 - 1
"""Bytes of the largest frame that there can be; a reader sets a smaller limit of its own."""


def send(connection: socket.socket, data: bytes) -> None:
    """Send one frame."""
    if len(data) > MOST:
        raise ConnectionError(f"a message of {len(data)} bytes is larger than a frame can be")
    connection.sendall(len(data).to_bytes(HEADER, "big") + data)


def receive(connection: socket.socket, most: int, seconds: float | None = None) -> bytes | None:
    """Return the next frame, or None where the stream ended before it.

    Args:
        seconds: for the whole frame, however many parts it comes in; None: as the connection's own
            timeout has it, part by part.

    Raises:
        ConnectionError: the frame is longer than `most` bytes, or the stream ended inside it.
        TimeoutError: it was not there in time.
    """
    end = None if seconds is None else time.monotonic() + seconds
    header = _read(connection, HEADER, end)
    if not header:
        return None
    length = int.from_bytes(header, "big")
    if len(header) < HEADER or length > most:
        raise ConnectionError(f"a frame of {length} bytes, where at most {most} are read")
    data = _read(connection, length, end)
    if len(data) < length:
        raise ConnectionError(f"the stream ended after {len(data)} of {length} bytes")
    return data


def _read(connection: socket.socket, length: int, end: float | None) -> bytes:
    """Read so many bytes, or what there is before the stream ends."""
    parts, left = [], length
    while left:
        # Of each part alone, a limit would let a byte now and then hold the reader for ever.
        if end is not None:
            connection.settimeout(_left(end))
        part = connection.recv(min(left, 2**20))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0.0:
        raise TimeoutError("timed out")
    return left
