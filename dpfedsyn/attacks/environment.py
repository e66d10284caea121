"""The interpreter that has anonymeter, apart from this one, and processes that run on it.

anonymeter 1.1 needs numpy < 1.27 and dpfedsyn numpy >= 2, so no environment holds both. The
versions that go into the other one are pinned in `requirements.txt`, beside this file.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dpfedsyn.errors import AttackError

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
MEND = "`dpfedsyn audit attack RUN --make-env` installs it apart from dpfedsyn"

_ASK = "from importlib.metadata import version; print(version('anonymeter'))"
_ANSWERS_WITHIN = 60.0  # seconds, for an interpreter to start on a busy machine
_LAST_LINES = 15


def default_folder() -> Path:
    """Where the environment lies unless another is named: other pins are another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pins = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return cache / "dpfedsyn" / f"attacks-{pins}"


def find(python: Path | None = None) -> Path:
    """Return an interpreter that has anonymeter: this one, or that of the default folder.

    Raises:
        AttackError: there is none, or it does not have anonymeter; says what mends it.
    """
    chosen = python or interpreter(default_folder())
    if not chosen.is_file():
        raise AttackError(f"anonymeter is not installed ({chosen} is not there); {MEND}.")
    try:
        call([str(chosen), "-I", "-c", _ASK], timeout=_ANSWERS_WITHIN)
    except AttackError as failure:
        raise AttackError(
            f"anonymeter is not installed for {chosen}; {MEND}, or give another --python.\n"
            f"{failure}"
        ) from None
    return chosen


def make(folder: Path, *, timeout: float) -> Path:
    """Make the environment anew, with the pinned requirements, and return its interpreter.

    Raises:
        AttackError: it could not be made, or not in time.
    """
    call([sys.executable, "-m", "venv", "--clear", str(folder)], timeout=timeout)
    made = interpreter(folder)
    options = ["--disable-pip-version-check", "--quiet", "--requirement", str(REQUIREMENTS)]
    call([str(made), "-I", "-m", "pip", "install", *options], timeout=timeout)
    return made


def interpreter(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / "bin" / "python"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back, and raise it at the end.

    By a handler and not by a mask: the system gives a process's signals to any thread without one.

    Raises:
        KeyboardInterrupt: one came, whatever else went wrong.
    """
    if (
        threading.current_thread() is not threading.main_thread()  # an interrupt never comes here
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if came:
            raise KeyboardInterrupt


def call(command: Sequence[str], *, timeout: float) -> None:
    """Run a command to its end, in a process group of its own; nothing of it outlives this call.

    Args:
        timeout: seconds.

    Raises:
        AttackError: it cannot be started, fails, or takes longer; with its last lines.
        KeyboardInterrupt: Ctrl-C, after the command was killed.
    """
    child: subprocess.Popen[str] | None = None
    try:
        # An interrupt while the child starts would leave it behind, so it waits until it is known.
        with _interrupts_held():
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            )  # fmt: skip
        output, _ = child.communicate(timeout=timeout)
    except OSError as error:
        raise AttackError(f"{command[0]}: cannot be started ({error.strerror}).") from None
    except BaseException as stopped:
        if child is None:
            raise
        with suppress(ProcessLookupError):  # it may have ended in this moment
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if isinstance(stopped, subprocess.TimeoutExpired):
            raise AttackError(
                f"{' '.join(command)}: killed after {timeout:g} s, without a result. Raise "
                "--timeout."
            ) from None
        raise
    if child.returncode != 0:
        last = "\n".join(output.splitlines()[-_LAST_LINES:])
        raise AttackError(f"{' '.join(command)}: failed with {child.returncode}.\n{last}")
