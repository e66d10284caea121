"""Frames on a stream: a message behind its length, four bytes, big-endian."""

from __future__ import annotations

import socket

HEADER = 4
MOST = 2**31 - 1
"""Bytes of the largest frame that there can be; a reader sets a smaller limit of its own."""


def send(connection: socket.socket, data: bytes) -> None:
    """Send one frame."""
    if len(data) > MOST:
        raise ConnectionError(f"a message of {len(data)} bytes is larger than a frame can be")
    connection.sendall(len(data).to_bytes(HEADER, "big") + data)


def receive(connection: socket.socket, most: int) -> bytes | None:
    """Return the next frame, or None where the stream ended before it.

    Raises:
        ConnectionError: the frame is longer than `most` bytes, or the stream ended inside it.
    """
    header = _read(connection, HEADER)
    if not header:
        return None
    length = int.from_bytes(header, "big")
    if len(header) < HEADER or length > most:
        raise ConnectionError(f"a frame of {length} bytes, where at most {most} are read")
    data = _read(connection, length)
    if len(data) < length:
        raise ConnectionError(f"the stream ended after {len(data)} of {length} bytes")
    return data


def _read(connection: socket.socket, length: int) -> bytes:
    """Read so many bytes, or what there is before the stream ends."""
    parts, left = [], length
    while left and (part := connection.recv(min(left, 2**20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
