"""The other interpreter and its processes: absent, failing, slow, interrupted; none outlives us."""

import os
import signal
import subprocess
import sys
import threading
import time
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn.attacks import environment
from dpfedsyn.errors import AttackError
from tests.end_to_end.small import environment as child_environment


def script(path: Path, body: str) -> Path:
    """A file that stands for an interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return path


def ended(pid_file: Path) -> bool:
    """Whether the process whose id is in a file is gone, within ten seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text()
        except OSError:
            return True
        if state.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of our own, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_an_absent_environment_is_said_with_its_mend(cache: Path) -> None:
    """Not installed, where it was looked for, and the command that installs it."""
    with pytest.raises(AttackError, match="not installed") as refused:
        environment.find()
    assert str(cache) in str(refused.value)
    assert "--make-env" in str(refused.value)
    assert refused.value.exit_code == 2


def test_an_interpreter_without_anonymeter_is_refused() -> None:
    """This one cannot have it: its numpy is too new."""
    with pytest.raises(AttackError, match=r"(?s)not installed for.*PackageNotFoundError"):
        environment.find(Path(sys.executable))


def test_a_named_interpreter_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """And one that is no program."""
    with pytest.raises(AttackError, match="is not there"):
        environment.find(tmp_path / "python")
    (tmp_path / "python").write_text("no program")
    with pytest.raises(AttackError, match="cannot be started"):
        environment.find(tmp_path / "python")


def test_the_default_environment_is_found_where_it_has_the_package(cache: Path) -> None:
    """The folder's name holds a digest of the pins: other pins are not taken for these."""
    made = script(environment.interpreter(environment.default_folder()), "echo 1.1.0")
    assert environment.find() == made
    assert made.is_relative_to(cache)


def test_a_failure_shows_the_last_lines() -> None:
    """Standard error too, and the status."""
    with pytest.raises(AttackError, match=r"(?s)failed with 3.*the reason"):
        environment.call(["sh", "-c", "seq 100; echo the reason >&2; exit 3"], timeout=30)
    with pytest.raises(AttackError) as failed:
        environment.call(["sh", "-c", "seq 100; exit 3"], timeout=30)
    assert "\n85\n" not in str(failed.value)
    assert "\n86\n" in str(failed.value)


def test_what_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    """The process and what it started; the error names --timeout."""
    pid = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(AttackError, match=r"killed after 0.5 s.*--timeout"):
        environment.call(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"], timeout=0.5)
    assert time.monotonic() - began < 20
    assert ended(pid)


def test_ctrl_c_while_the_child_starts_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt comes before anybody knows the child, and nothing of it is left."""
    started: list[subprocess.Popen[str]] = []
    real = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> Any:
        started.append(real(*arguments, **options))
        os.kill(os.getpid(), signal.SIGINT)
        return started[0]

    monkeypatch.setattr(environment.subprocess, "Popen", interrupted)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    # A signal goes to any thread that takes it, so the one that starts the child is not alone.
    other = threading.Thread(target=time.sleep, args=(2.0,))
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            environment.call(["sleep", "60"], timeout=60)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, handler)
        other.join()
    assert started[0].poll() == -signal.SIGKILL


def test_ctrl_c_is_heard_where_the_child_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt came first, so it and not the failure is what ends the command."""

    def missing(*_: Any, **__: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(environment.subprocess, "Popen", missing)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            environment.call(["sleep", "60"], timeout=60)
    finally:
        signal.signal(signal.SIGINT, handler)


def test_ctrl_c_kills_the_child(tmp_path: Path) -> None:
    """The interrupt reaches this process alone; the child's whole group goes with it."""
    pid = tmp_path / "pid"
    command = f"sleep 60 & echo $! > {pid}.part; mv {pid}.part {pid}; wait"
    code = (  # where tests run in the background, interrupts are ignored, and a child inherits it
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from dpfedsyn.attacks import environment\n"
        f"environment.call(['sh', '-c', {command!r}], timeout=60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env=child_environment(), stderr=subprocess.PIPE, text=True
    )
    while not pid.exists() and parent.poll() is None:
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGINT)
    _, told = parent.communicate(timeout=30)
    assert "KeyboardInterrupt" in told
    assert ended(pid)


def test_an_environment_that_cannot_be_made_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the way of its folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(AttackError, match="failed with"):
        environment.make(tmp_path / "file" / "env", timeout=60)


def test_every_requirement_is_pinned_and_none_is_one_of_ours() -> None:
    """The pins name one version each; this package itself requires no anonymeter, in no extra."""
    lines = environment.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(len(pin.split("==")) == 2 for pin in pins)
    assert "anonymeter==1.1.0" in pins
    assert "numpy==1.26.4" in pins
    assert not any("anonymeter" in line for line in requires("dpfedsyn") or [])
