"""Who may use a ledger's file: one writer, in one process, on one machine.

`flock` on the file itself: the kernel drops it when the process ends, also by kill -9, so nothing
has to be cleaned up. Beside the file lies a note of who holds it, for messages alone: the lock
decides, never the note. On network file systems that ignore `flock` there is no single writer.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from accountants.errors import LedgerError, LedgerLocked

_PAUSE = 0.02  # seconds between two attempts


def hold(path: Path, *, wait: float) -> int:
    """Take the file for writing, within `wait` seconds, and note who has it; returns a descriptor.

    Raises:
        LedgerLocked: another process has it; says which one, where and since when.
        LedgerError: there is no such file.
    """
    descriptor = _lock(path, fcntl.LOCK_EX, wait)
    _write_note(path)
    return descriptor


def share(path: Path, *, wait: float) -> int:
    """Take the file for reading beside other readers; errors as `hold`."""
    return _lock(path, fcntl.LOCK_SH, wait)


def release(path: Path, descriptor: int) -> None:
    """Give back what `hold` took."""
    with contextlib.suppress(OSError):
        _note(path).unlink(missing_ok=True)
    os.close(descriptor)


def holder(path: Path) -> str:
    """Who holds the file, in words; it is a note, and a killed process leaves its own behind."""
    try:
        found = json.loads(_note(path).read_bytes())
        return f"pid {int(found['pid'])} on {found['host']!s}, since {found['since']!s}"
    except (OSError, ValueError, KeyError, TypeError):
        return "no note says which"


def _lock(path: Path, kind: int, wait: float) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be opened ({error.strerror}); no budget can be read from it. "
            "Check the path and its permissions."
        ) from error
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return descriptor
        except OSError as error:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise LedgerLocked(
                    f"{path} is held by another process ({holder(path)}); nothing was read or "
                    "charged. Wait until it ends, or stop it."
                ) from error
        except BaseException:
            os.close(descriptor)
            raise
        time.sleep(_PAUSE)


def _write_note(path: Path) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    # Not durable, and a disk that refuses it does not matter: it is only told to who must wait.
    with contextlib.suppress(OSError):
        descriptor = os.open(_note(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".holder")
