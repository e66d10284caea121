"""The transport to silos that are processes on this machine, each behind its Unix socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from dpfedsyn import reach
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.errors import SiloUnavailable


def transport(sockets: Mapping[str, Path], patience: float | None = None) -> LocalTransport:
    """Return the transport to these sockets, by silo.

    Leaving it closes the connections on which a reply is still waited for: a silo that never
    replies holds nobody back.

    Args:
        patience: seconds after which a silo that does not reply counts as gone; None: never.
    """
    lines = _Lines(patience)
    handlers = {name: partial(lines.call, path) for name, path in sockets.items()}
    return LocalTransport(handlers, lines.close)


class _Lines:
    """Connections to silos, which all end when this is closed."""

    def __init__(self, patience: float | None) -> None:
        self._patience = patience
        self._open: set[socket.socket] = set()
        self._closed = False
        self._lock = threading.Lock()

    def call(self, path: Path, request: bytes) -> bytes:
        """Ask the silo at `path`; `SiloUnavailable` where there is no reply of it."""
        try:
            with reach.connected(path) as connection, self._kept(connection):
                return reach.exchanged(path, connection, request, self._patience)
        except OSError as error:
            raise SiloUnavailable(str(error)) from None

    def close(self) -> None:
        """End every connection, and let no other begin."""
        with self._lock:
            self._closed = True
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)  # whoever waits for it wakes up

    @contextlib.contextmanager
    def _kept(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise ConnectionError("the run is over")
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.remove(connection)
