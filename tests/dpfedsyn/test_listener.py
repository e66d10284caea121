"""The socket of a silo's process: frames, who is let in, what goes back, and how it ends."""

import contextlib
import gc
import logging
import os
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import envelope, frames, reach
from dpfedsyn.daemon import listener as listening
from dpfedsyn.daemon.listener import FAULT, LONGEST_PATH, Listener
from dpfedsyn.errors import RunError

ME = os.getuid()
SOON = 10.0  # seconds: more than anything here takes, also on a busy machine
SECRET = "patient 4711 has 600 mg/dl"
root_only = pytest.mark.skipif(ME != 0, reason="only root can be somebody else")

Handle = Callable[[bytes], bytes]


def echo(request: bytes) -> bytes:
    return b"<" + request + b">"


def fail(request: bytes) -> bytes:
    raise AssertionError("was asked")


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder of a short name: a socket's path has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def serving(path: Path, handle: Handle = echo, **options: Any) -> Iterator[Listener]:
    """Serve in a thread; leaving stops it and waits."""
    options = {"most": 1000, "allowed": {ME}, **options}
    server = Listener(path, handle, **options)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(SOON)
        assert not thread.is_alive()


@contextlib.contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    """Open a connection that stays open."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SOON)
        connection.connect(str(path))
        yield connection


def closed(connection: socket.socket) -> bool:
    """Wait for the other side's end: True if it came without a byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:  # closed before what was sent was read
        return True


def exchanged(connection: socket.socket, request: bytes) -> bytes | None:
    frames.send(connection, request)
    return frames.receive(connection, frames.MOST)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that other threads make true."""
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- frames --------------------------------------------------------------------------------------


@contextlib.contextmanager
def pair(sent: bytes = b"") -> Iterator[socket.socket]:
    """A stream on which these bytes came, and then its end."""
    near, far = socket.socketpair()
    with near:
        with far:
            far.sendall(sent)
        yield near


@given(st.lists(st.binary(max_size=100), max_size=4))
def test_frames_come_back_in_their_order(messages: list[bytes]) -> None:
    """Empty ones too; None is the end of the stream alone."""
    near, far = socket.socketpair()
    with near:
        with far:
            for message in messages:
                frames.send(far, message)
        assert [frames.receive(near, 100) for _ in messages] == messages
        assert frames.receive(near, 100) is None


def test_a_frame_is_its_length_and_its_bytes() -> None:
    """Four bytes, big-endian: other programs can speak it."""
    with pair(b"\x00\x00\x00\x03abc") as stream:
        assert frames.receive(stream, 3) == b"abc"
    near, far = socket.socketpair()
    with near, far:
        frames.send(near, b"abc")
        assert far.recv(100) == b"\x00\x00\x00\x03abc"


def test_a_frame_of_several_parts_is_read_whole() -> None:
    """Three megabytes, in the pieces in which they come."""
    near, far = socket.socketpair()
    data = os.urandom(3 * 2**20)
    with near, far:
        sender = threading.Thread(target=frames.send, args=(far, data))
        sender.start()
        assert frames.receive(near, len(data)) == data
        sender.join()


def test_a_frame_that_is_too_long_is_not_read() -> None:
    """Its length is refused; neither its bytes nor the memory for them are asked for."""
    with pair(b"\x00\x00\x00\x04abcd") as stream:
        with pytest.raises(ConnectionError, match="4 bytes, where at most 3"):
            frames.receive(stream, 3)
        assert stream.recv(10) == b"abcd"
    with pair(b"\xff\xff\xff\xff") as stream, pytest.raises(ConnectionError):
        frames.receive(stream, frames.MOST)


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 6])
def test_a_stream_that_ends_inside_a_frame_is_no_message(cut: int) -> None:
    """In the length, before the bytes and between them."""
    with (
        pair(b"\x00\x00\x00\x03abc"[:cut]) as stream,
        pytest.raises(ConnectionError, match=r"ended|bytes"),
    ):
        frames.receive(stream, 100)


def test_a_message_that_no_frame_holds_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a byte of it: the stream stays usable."""
    monkeypatch.setattr(frames, "MOST", 3)
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises(ConnectionError, match="larger than a frame"):
            frames.send(near, b"abcd")
        frames.send(near, b"abc")
        assert far.recv(100) == b"\x00\x00\x00\x03abc"


# --- who is let in -------------------------------------------------------------------------------


def test_a_user_on_the_list_is_served(place: Path) -> None:
    """As often as it asks, over one connection or several."""
    with serving(place / "s"):
        assert reach.call(place / "s", b"1") == b"<1>"
        with connected(place / "s") as connection:
            assert [exchanged(connection, b"%d" % k) for k in range(3)] == [b"<0>", b"<1>", b"<2>"]
            assert exchanged(connection, b"") == b"<>"


@pytest.mark.parametrize("allowed", [set(), {ME + 1}, {ME + 1, 2**32 - 1}], ids=str)
def test_a_user_who_is_not_on_the_list_is_not_read(
    allowed: set[int], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee of dpfedsyn.daemon.listener.Listener: A connection by a user who is not on the list
    (SO_PEERCRED) is closed before anything is read, and without a byte."""

    read: list[object] = []

    class Watched:
        """The frames of the product, of which every use is noted."""

        def __getattr__(self, name: str) -> Any:
            read.append(name)
            return getattr(frames, name)

    with serving(place / "s", fail, allowed=allowed) as server:
        monkeypatch.setattr(listening, "frames", Watched())
        with connected(place / "s") as silent:
            assert closed(silent)
        with connected(place / "s") as speaking:
            with contextlib.suppress(BrokenPipeError):
                frames.send(speaking, b"hello")
            assert closed(speaking)
        with pytest.raises(ConnectionError):
            reach.call(place / "s", b"hello")
        assert server.path.exists()
    assert read == []


@root_only
@pytest.mark.parametrize("known", [True, False])
def test_the_kernel_says_who_connects(known: bool, place: Path) -> None:
    """Another user who may open the socket is served if it is on the list, and only then."""
    somebody = 65534
    place.chmod(0o755)
    with serving(place / "s", allowed={ME, somebody} if known else {ME}):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(SOON)
            os.seteuid(somebody)
            try:
                connection.connect(str(place / "s"))
            finally:
                os.seteuid(ME)
            if known:
                assert exchanged(connection, b"1") == b"<1>"
            else:
                assert closed(connection)
        assert reach.call(place / "s", b"2") == b"<2>"


def test_the_socket_opens_to_owner_and_group_alone(place: Path) -> None:
    """Mode 0660 whatever the process's mask is, which is left as it was."""
    for mask in (0o000, 0o022, 0o077):
        before = os.umask(mask)
        try:
            with serving(place / "s"):
                assert stat.S_IMODE((place / "s").stat().st_mode) == 0o660
                assert os.umask(mask) == mask
        finally:
            os.umask(before)


@root_only
def test_the_socket_belongs_to_the_group_that_was_named(place: Path) -> None:
    """None: the process's own."""
    with serving(place / "s", group=65534):
        assert (place / "s").stat().st_gid == 65534
    with serving(place / "s"):
        assert (place / "s").stat().st_gid == os.getgid()


# --- how much may come, and what goes back -------------------------------------------------------


def test_a_request_that_is_too_long_closes_the_connection(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Guarantee of dpfedsyn.daemon.listener.Listener: no request longer than `most` is read; the
    longest is answered, and others go on being served."""
    seen = []

    def handle(request: bytes) -> bytes:
        seen.append(len(request))
        return b"ok"

    with serving(place / "s", handle, most=10):
        assert reach.call(place / "s", bytes(10)) == b"ok"
        with connected(place / "s") as connection:
            connection.sendall(b"\x00\x00\x00\x0b")
            assert closed(connection)
        for length in (11, 10**6):
            with pytest.raises(ConnectionError):
                reach.call(place / "s", bytes(length))
        assert reach.call(place / "s", b"") == b"ok"
    assert seen == [10, 0]
    assert "at most 10" in caplog.text


def test_a_request_that_is_cut_is_not_handled(place: Path) -> None:
    """The other side went away in the middle of it."""
    with serving(place / "s", fail):
        for part in (b"\x00", b"\x00\x00\x00\x05ab"):
            with connected(place / "s") as connection:
                connection.sendall(part)
                connection.shutdown(socket.SHUT_WR)
                assert closed(connection)


class StrangeError(Exception):
    """An error that no code of the toolkit knows."""


@pytest.mark.parametrize("error", [StrangeError, ValueError, OSError, AssertionError, MemoryError])
def test_an_error_of_the_handler_leaves_one_fixed_sentence(
    error: type[Exception], place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Guarantee of dpfedsyn.daemon.listener.Listener: an error of `handle` reaches the log, and the
    other side hears one fixed sentence; the connection stays."""

    def handle(request: bytes) -> bytes:
        if request == b"bad":
            raise error(SECRET)
        return echo(request)

    with serving(place / "s", handle), connected(place / "s") as connection:
        reply = exchanged(connection, b"bad")
        assert exchanged(connection, b"good") == b"<good>"
    assert reply == envelope.encode(FAULT)
    assert FAULT.kind == "fault"
    for word in (*SECRET.split(), error.__name__):
        assert word.encode() not in reply
    assert SECRET in caplog.text
    assert "Traceback" in caplog.text


def test_those_who_are_turned_away_are_in_the_log(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By number: the owner can see who tried."""
    with (
        caplog.at_level(logging.WARNING),
        serving(place / "s", fail, allowed=()),
        connected(place / "s") as connection,
    ):
        assert closed(connection)
    assert f"user {ME} is not on the list" in caplog.text


def test_so_many_connections_are_served_at_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is closed without a byte; when one leaves, its place is free."""
    monkeypatch.setattr(listening, "AT_ONCE", 2)
    with serving(place / "s"), connected(place / "s") as first:
        with connected(place / "s") as second:
            assert exchanged(first, b"1") == b"<1>"
            assert exchanged(second, b"2") == b"<2>"
            with connected(place / "s") as third:
                assert closed(third)
            assert exchanged(first, b"1") == b"<1>"

        def free() -> bool:
            try:
                return reach.call(place / "s", b"4") == b"<4>"
            except ConnectionError:
                return False

        until(free)


def test_those_who_are_not_on_the_list_take_no_place(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can keep others out by connecting: a place is taken by those who may ask."""
    monkeypatch.setattr(listening, "AT_ONCE", 1)
    with serving(place / "s"):
        with monkeypatch.context() as strange:
            strange.setattr(listening, "_user", lambda connection: ME + 1)
            for _ in range(3):
                with connected(place / "s") as connection:
                    assert closed(connection)
        assert reach.call(place / "s", b"1") == b"<1>"


def test_a_silent_connection_is_closed_and_leaves_its_place(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its patience; also one that stopped in the middle of a request."""
    monkeypatch.setattr(listening, "PATIENCE", 0.2)
    monkeypatch.setattr(listening, "AT_ONCE", 1)
    with serving(place / "s"):
        for part in (b"", b"\x00\x00\x00\x05ab"):
            with connected(place / "s") as connection:
                connection.sendall(part)
                assert closed(connection)


@contextlib.contextmanager
def dripping(path: Path) -> Iterator[None]:
    """Send one byte of a long request now and then, until the other side has closed."""
    ended = threading.Event()
    with connected(path) as connection:

        def drip() -> None:
            with contextlib.suppress(OSError):
                connection.sendall(b"\x00\x00\x03\x00")
                while not ended.wait(0.05):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(SOON)


def test_a_request_that_comes_byte_by_byte_does_not_hold_its_place(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee of dpfedsyn.daemon.listener.Listener: no request longer than `most` is read, and
    none that takes longer than `PATIENCE`, also where no pause between its bytes is long."""
    monkeypatch.setattr(listening, "PATIENCE", 0.4)
    monkeypatch.setattr(listening, "AT_ONCE", 1)

    def free() -> bool:
        try:
            return reach.call(place / "s", b"1") == b"<1>"
        except ConnectionError:
            return False

    with serving(place / "s"), dripping(place / "s"):
        until(lambda: not free())
        until(free)


def test_whoever_takes_all_places_takes_them_from_nobody_else(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee of dpfedsyn.daemon.listener.Listener: whatever one user does, others find their
    places: the silo's owner above all, who wants to know what goes on."""
    monkeypatch.setattr(listening, "AT_ONCE", 2)
    with serving(place / "s", allowed={ME, ME + 1}), contextlib.ExitStack() as stack:
        with monkeypatch.context() as other:
            other.setattr(listening, "_user", lambda connection: ME + 1)
            for _ in range(2):
                one = stack.enter_context(connected(place / "s"))
                assert exchanged(one, b"1") == b"<1>"
            assert closed(stack.enter_context(connected(place / "s")))
        assert reach.call(place / "s", b"2") == b"<2>"


def test_a_reply_that_comes_byte_by_byte_is_not_waited_for(place: Path) -> None:
    """The limit is for all of it: a silo cannot hold its asker by a byte now and then."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(place / "s"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"\x00\x00\x03\x00")
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            reach.call(place / "s", b"1", 0.4)
        assert time.monotonic() - began < SOON
        thread.join(SOON)


# --- beginning and end ---------------------------------------------------------------------------


def test_a_socket_that_a_killed_process_left_is_replaced(place: Path) -> None:
    """Nobody listens on it any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(place / "s"))
        dead.listen()
    assert (place / "s").is_socket()
    with serving(place / "s"):
        assert reach.call(place / "s", b"1") == b"<1>"


def test_a_socket_in_use_is_refused_and_goes_on(place: Path) -> None:
    """The first process keeps it."""
    with serving(place / "s"):
        with pytest.raises(RunError, match="another process listens there"):
            Listener(place / "s", fail, most=10, allowed={ME})
        assert reach.call(place / "s", b"1") == b"<1>"
    assert not (place / "s").exists()


def test_what_is_no_socket_is_not_touched(place: Path) -> None:
    """A file of the user's, a folder, and a link to nowhere."""
    (place / "file").write_text("mine", encoding="utf-8")
    (place / "folder").mkdir()
    (place / "link").symlink_to(place / "nowhere")
    for name in ("file", "folder", "link"):
        with pytest.raises(RunError, match="nothing was started"):
            Listener(place / name, fail, most=10, allowed={ME})
    assert (place / "file").read_text(encoding="utf-8") == "mine"
    assert (place / "folder").is_dir()
    assert (place / "link").is_symlink()


def test_a_path_that_no_socket_can_have_is_refused(place: Path) -> None:
    """107 bytes are the most; counted in bytes, not in letters."""
    room = LONGEST_PATH - len(str(place)) - 1
    for name in ("s" * (room + 1), "ä" * (room // 2 + 1)):
        with pytest.raises(RunError, match=r"at most 107 bytes.*shorter --socket"):
            Listener(place / name, fail, most=10, allowed={ME})
    with serving(place / ("s" * room)):
        assert reach.call(place / ("s" * room), b"1") == b"<1>"


def test_a_socket_that_cannot_be_made_is_one_error(place: Path) -> None:
    """The folder is not there; the process's mask is as before."""
    mask = os.umask(0o022)
    try:
        with pytest.raises(RunError, match=r"cannot be made .*nothing was started"):
            Listener(place / "no" / "s", fail, most=10, allowed={ME})
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_group_that_cannot_be_given_leaves_no_socket(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was started, as the error says: the path is free, and nobody can connect."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(RunError, match=r"cannot be made .*the group"):
        Listener(place / "s", fail, most=10, allowed={ME}, group=1)
    gc.collect()
    assert not (place / "s").exists()


class Slow:
    """A handler that is at work until it is told to finish."""

    def __init__(self) -> None:
        self.begun, self.finish = threading.Event(), threading.Event()

    def __call__(self, request: bytes) -> bytes:
        self.begun.set()
        assert self.finish.wait(SOON)
        return echo(request)


def test_stop_waits_for_the_reply_in_progress(place: Path) -> None:
    """It is made and sent; nobody new is let in meanwhile; the socket is gone in the end."""
    slow, replies = Slow(), []
    server = Listener(place / "s", slow, most=10, allowed={ME})
    thread = threading.Thread(target=server.serve)
    thread.start()
    client = threading.Thread(target=lambda: replies.append(reach.call(place / "s", b"1")))
    client.start()
    assert slow.begun.wait(SOON)
    server.stop()

    def nobody_listens() -> bool:
        try:
            with connected(place / "s"):
                return False
        except OSError:
            return True

    until(nobody_listens)
    time.sleep(0.3)
    assert thread.is_alive()
    assert replies == []
    slow.finish.set()
    thread.join(SOON)
    client.join(SOON)
    assert not thread.is_alive()
    assert replies == [b"<1>"]
    assert not (place / "s").exists()


def test_stop_waits_for_a_reply_that_fails_too(place: Path) -> None:
    """The fixed sentence is sent before the end."""
    begun, finish = threading.Event(), threading.Event()

    def handle(request: bytes) -> bytes:
        begun.set()
        assert finish.wait(SOON)
        raise ValueError(SECRET)

    replies: list[bytes] = []
    with serving(place / "s", handle) as server:
        client = threading.Thread(target=lambda: replies.append(reach.call(place / "s", b"1")))
        client.start()
        assert begun.wait(SOON)
        server.stop()
        finish.set()
        client.join(SOON)
    assert replies == [envelope.encode(FAULT)]


def test_connections_that_are_idle_do_not_delay_the_end(place: Path) -> None:
    """One that never asked, one that asked before, and one in the middle of its request."""
    server = Listener(place / "s", echo, most=10, allowed={ME})
    thread = threading.Thread(target=server.serve)
    thread.start()
    with (
        connected(place / "s"),
        connected(place / "s") as second,
        connected(place / "s") as third,
    ):
        assert exchanged(second, b"1") == b"<1>"
        third.sendall(b"\x00\x00\x00\x05ab")
        began = time.monotonic()
        server.stop()
        thread.join(SOON)
        assert not thread.is_alive()
        assert time.monotonic() - began < SOON / 2 < listening.PATIENCE


def test_after_the_end_nobody_is_served(place: Path) -> None:
    """A connection that stayed open gets no reply once `serve` has returned."""
    asked = []

    def handle(request: bytes) -> bytes:
        asked.append(request)
        return echo(request)

    server = Listener(place / "s", handle, most=10, allowed={ME})
    thread = threading.Thread(target=server.serve)
    thread.start()
    with connected(place / "s") as connection:
        assert exchanged(connection, b"1") == b"<1>"
        server.stop()
        thread.join(SOON)
        with contextlib.suppress(OSError):
            exchanged(connection, b"2")
    assert asked == [b"1"]


def test_the_end_does_not_remove_a_successors_socket(place: Path) -> None:
    """Started while the first one made its last reply: it stays reachable."""
    slow = Slow()
    server = Listener(place / "s", slow, most=10, allowed={ME})
    thread = threading.Thread(target=server.serve)
    thread.start()
    client = threading.Thread(target=lambda: reach.call(place / "s", b"1"))
    client.start()
    assert slow.begun.wait(SOON)
    server.stop()

    found: list[bool] = []

    def started() -> bool:
        try:
            with serving(place / "s") as second:
                slow.finish.set()
                thread.join(SOON)
                client.join(SOON)
                found.append(second.path.exists())
        except RunError:
            return False
        return True

    until(started)
    assert found == [True]


def test_stop_before_serve_ends_it_at_once(place: Path) -> None:
    """A signal may come in between."""
    server = Listener(place / "s", fail, most=10, allowed={ME})
    server.stop()
    time.sleep(0.1)
    thread = threading.Thread(target=server.serve)
    thread.start()
    thread.join(SOON)
    assert not thread.is_alive()
    assert not (place / "s").exists()


# --- reach ---------------------------------------------------------------------------------------


def test_where_nobody_listens_is_one_error_with_its_path(place: Path) -> None:
    """No such socket, one that is dead, and a path that no socket can have."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(place / "dead"))
    for name in ("none", "dead", "x" * 200):
        with pytest.raises(ConnectionError, match=rf"{place / name}: no silo can be reached"):
            reach.call(place / name, b"1")


def test_a_reply_that_does_not_come_in_time_is_said_so(place: Path) -> None:
    """The silo goes on, and may have charged."""
    slow = Slow()
    with serving(place / "s", slow):
        with pytest.raises(TimeoutError):
            reach.call(place / "s", b"1", 0.1)
        slow.finish.set()
