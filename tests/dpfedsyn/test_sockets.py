"""The transport to silos behind sockets: what is late, what is left, and that it can be left."""

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dpfedsyn import frames
from dpfedsyn.engine import Failure, sockets

SOON = 10.0  # seconds: more than anything here takes, also on a busy machine


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of a short name."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@contextmanager
def silent(path: Path) -> Iterator[threading.Event]:
    """A silo that takes connections and requests, and never replies; set where it was asked."""
    asked, held = threading.Event(), list[socket.socket]()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            held.append(connection)
            if frames.receive(connection, 1000) is not None:
                asked.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(SOON)
        for connection in held:
            connection.close()


def test_a_silo_that_never_replies_does_not_hold_who_leaves(place: Path) -> None:
    """It is late in its step, and the connection ends with the transport."""
    with silent(place / "a") as asked:
        with sockets.transport({"a": place / "a"}) as transport:
            (late,) = transport.query("round 1", {"a": b"1"}, 0.2).values()
            assert isinstance(late, Failure)
            assert asked.wait(SOON)
            began = time.monotonic()
        assert time.monotonic() - began < SOON


def test_whoever_is_interrupted_in_a_step_without_a_limit_gets_out(place: Path) -> None:
    """Ctrl-C in a round that would wait for ever."""
    with silent(place / "a") as asked:
        transport = sockets.transport({"a": place / "a"})
        found: list[bytes | Failure] = []

        def ask() -> None:
            found.extend(transport.query("round 1", {"a": b"1"}, None).values())

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        assert asked.wait(SOON)
        transport.__exit__(None, None, None)
        thread.join(SOON)
        assert not thread.is_alive()
        assert [type(each) for each in found] == [Failure]


def test_a_transport_that_was_left_opens_no_connection(place: Path) -> None:
    """A call that comes in that moment finds the end, not a silo."""
    lines = sockets._Lines(None)
    lines.close()
    with silent(place / "a") as asked:
        with pytest.raises(sockets.SiloUnavailable, match="over"):
            lines.call(place / "a", b"1")
        assert not asked.is_set()
