"""One writer: the second process waits, or is told who holds the ledger, where and since when."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from accountants import Gaussian, Header, Ledger, LedgerLocked, locks

KEY = b"k" * 32
HEADER = Header("0a", "va", "r", "record", "add-or-remove", 1e-5, (), 10.0, None, 3, "1")
HOLDER = """
import sys
from accountants import Ledger
with Ledger.open(sys.argv[1], key=b"k" * 32):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path):
    """A closed, empty ledger."""
    Ledger.create(tmp_path / "ledger.sqlite", HEADER, key=KEY).close()
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def other(path):
    """Another process that holds the ledger until it reads a line."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def charged(ledger):
    """Charge something, so that the ledger is known to be usable."""
    ticket = ledger.admit(digest=b"d", kind="answer", group="B", event=Gaussian(1.0), mu2=1.0)
    return ledger.commit(ticket, b"reply").seq


def test_the_second_process_is_told_who_holds_it_where_and_since_when(path, other):
    """Process, machine and time stand in the error, and the file is not touched."""
    with pytest.raises(LedgerLocked) as refused:
        Ledger.open(path, key=KEY)
    text = str(refused.value)
    assert f"pid {other.pid} on {socket.gethostname()}, since 20" in text
    assert "nothing was read or charged" in text


def test_the_second_process_waits_as_long_as_it_is_asked_to(path, other):
    """It gets the ledger when the first one leaves; before its time is over it does not give up."""
    timer = threading.Timer(0.3, lambda: other.stdin.write("go\n") and other.stdin.flush())
    timer.start()
    with Ledger.open(path, key=KEY, wait=60.0) as ledger:
        assert charged(ledger) == 1
    timer.join()


def test_waiting_ends_with_the_same_words(path, other):
    """A holder that stays: refused after the wait, not before."""
    began = time.monotonic()
    with pytest.raises(LedgerLocked, match=f"pid {other.pid}"):
        Ledger.open(path, key=KEY, wait=0.2)
    assert time.monotonic() - began >= 0.2


def test_kill_9_releases_the_lock_and_leaves_a_note_that_nobody_believes(path, other):
    """The kernel drops the lock; what the note says then decides nothing."""
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert path.with_name("ledger.sqlite.holder").exists()
    with Ledger.open(path, key=KEY) as ledger:
        assert charged(ledger) == 1
        with pytest.raises(LedgerLocked, match=f"pid {os.getpid()}"):
            Ledger.open(path, key=KEY)
    assert not path.with_name("ledger.sqlite.holder").exists()


@pytest.mark.parametrize("note", [None, b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": "x"}', b"\xff"])
def test_a_note_that_says_nothing_changes_nothing(path, note):
    """Missing, cut or edited: the lock holds all the same, and the error says what is known."""
    with Ledger.open(path, key=KEY):
        file = path.with_name("ledger.sqlite.holder")
        file.unlink()
        if note is not None:
            file.write_bytes(note)
        assert locks.holder(path) == "no note says which"
        with pytest.raises(LedgerLocked, match="another process"):
            Ledger.open(path, key=KEY)


def test_readers_do_not_lock_each_other_out(path):
    """Two looks at once; a writer waits for both."""
    first, second = locks.share(path, wait=0.0), locks.share(path, wait=0.0)
    with pytest.raises(LedgerLocked):
        Ledger.open(path, key=KEY)
    os.close(first)
    os.close(second)
    Ledger.open(path, key=KEY).close()


def test_the_note_is_the_owner_s_alone(path):
    """Mode 0600 whatever the process allows others, and it names this process."""
    before = os.umask(0)
    try:
        with Ledger.open(path, key=KEY):
            file = path.with_name("ledger.sqlite.holder")
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert json.loads(file.read_bytes())["pid"] == os.getpid()
    finally:
        os.umask(before)


def test_a_restored_copy_that_others_may_read_is_closed_to_them(path):
    """Opening takes everybody else's rights to the ledger and, with them, to its log."""
    path.chmod(0o644)
    with Ledger.open(path, key=KEY) as ledger:
        charged(ledger)
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
