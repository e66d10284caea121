"""The transport to silos that are processes on this machine, each behind its Unix socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from dpfedsyn import reach
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.errors import SiloUnavailable


def transport(sockets: Mapping[str, Path], patience: float | None = None) -> LocalTransport:
    """Return the transport to these sockets, by silo.

    Args:
        patience: seconds after which a silo that does not reply counts as gone; None: never.
    """
    return LocalTransport({name: _reaching(path, patience) for name, path in sockets.items()})


def _reaching(path: Path, patience: float | None) -> Callable[[bytes], bytes]:
    def call(request: bytes) -> bytes:
        try:
            return reach.call(path, request, patience)
        except OSError as error:
            raise SiloUnavailable(str(error)) from None

    return call
