"""The socket of a silo's process: who may connect, how much may come, what goes back."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from dpfedsyn import envelope, frames
from dpfedsyn.envelope import Refused
from dpfedsyn.errors import RunError

_LOG = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds in which a connection's next request has to be there, whole
AT_ONCE = 32  # connections of one user that are served at the same time; more are closed
LONGEST_PATH = 107  # bytes of a socket's path, on Linux
FAULT = Refused("fault", "the silo could not answer; its own log says why")


class Listener:
    """Serve frames on a Unix socket of mode 0660, to users on a list.

    Args:
        path: of the socket. handle: from a request's bytes to its reply's. most: bytes of the
            largest request. allowed: numbers of the users who may ask. group: that may open the
            socket; None: the process's own.

    Guarantee:
        A connection by a user who is not on the list (SO_PEERCRED) is closed before anything is
        read; no request longer than `most` is read, and none that takes longer than `PATIENCE`;
        whatever one user does, others find their places; an error of `handle` reaches the log, and
        the other side hears one fixed sentence.

    Raises:
        RunError: the socket cannot be made, or another process listens there.
    """

    def __init__(
        self,
        path: Path,
        handle: Callable[[bytes], bytes],
        *,
        most: int,
        allowed: Collection[int],
        group: int | None = None,
    ) -> None:
        self.path = path
        self._handle = handle
        self._most = most
        self._allowed = frozenset(allowed)
        # By user, or one of them could shut out the rest, and the silo's own owner.
        self._places = {user: threading.BoundedSemaphore(AT_ONCE) for user in self._allowed}
        self._at_work, self._idle, self._ending = 0, threading.Condition(), False
        self._server = self._bound(group)

    def serve(self) -> None:
        """Serve until `stop`; then wait for replies that are being made."""
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()  # while it is certainly this process's own
            self._server.server_close()
            with self._idle:  # an answer that is being made is made, charged and sent
                self._ending = True
                self._idle.wait_for(lambda: self._at_work == 0)

    def stop(self) -> None:
        """Let `serve` return; may be called from another thread or a signal's."""
        threading.Thread(target=self._server.shutdown, daemon=True).start()

    def _bound(self, group: int | None) -> socketserver.ThreadingUnixStreamServer:
        if len(os.fsencode(self.path)) > LONGEST_PATH:
            raise RunError(
                f"{self.path}: a socket's path has at most {LONGEST_PATH} bytes, this one has "
                f"{len(os.fsencode(self.path))}; nothing was started. Give a shorter --socket."
            )
        _remove_stale(self.path)
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._connection(self.request)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True  # connections that are silent hold nobody back
            request_queue_size = AT_ONCE

        before, server = os.umask(0o117), None
        try:
            server = Server(str(self.path), Handler)
            if group is not None:
                os.chown(self.path, -1, group)
        except OSError as error:
            if server is not None:
                server.server_close()
                self.path.unlink(missing_ok=True)
            raise RunError(
                f"{self.path}: the socket cannot be made ({error.strerror or error}); nothing was "
                "started. Mend the path or the group, or give another --socket."
            ) from None
        finally:
            os.umask(before)
        return server

    def _connection(self, connection: socket.socket) -> None:
        user = _user(connection)
        if user not in self._allowed:
            _LOG.warning("user %d is not on the list: the connection was closed", user)
            return
        places = self._places[user]
        if not places.acquire(blocking=False):
            _LOG.warning("%d connections of user %d: another was closed", AT_ONCE, user)
            return
        try:
            while (request := frames.receive(connection, self._most, PATIENCE)) is not None:
                connection.settimeout(PATIENCE)
                with self._work():
                    frames.send(connection, self._reply(request))
        except OSError as error:
            _LOG.warning("a connection of user %d was closed: %s", user, error)
        finally:
            places.release()

    @contextlib.contextmanager
    def _work(self) -> Iterator[None]:
        with self._idle:
            if self._ending:
                raise ConnectionError("the process ends")
            self._at_work += 1
        try:
            yield
        finally:
            with self._idle:
                self._at_work -= 1
                self._idle.notify_all()

    def _reply(self, request: bytes) -> bytes:
        try:
            return self._handle(request)
        except Exception:
            _LOG.exception("a request could not be answered")
            return envelope.encode(FAULT)


def _user(connection: socket.socket) -> int:
    """Return the number of the user at the other end, as the kernel knows it."""
    fields = struct.Struct("3i")  # process, user, group
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, fields.size)
    _, user, _ = fields.unpack(raw)
    return int(user)


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more: a killed process left it."""
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED and path.is_socket():
                path.unlink()
                return
    raise RunError(
        f"{path}: another process listens there, or it is no socket; nothing was started. Stop "
        "that one, or give another --socket."
    )
