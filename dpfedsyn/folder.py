"""The folder of a run: who may write into it, and what makes it resumable."""

from __future__ import annotations

import fcntl
import json
import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpfedsyn import checkpoint, marking, resolved
from dpfedsyn import config as configuration
from dpfedsyn.errors import ConfigError, RunError
from dpfedsyn.settings import Config

RUNNING, COMPLETE, PARTIAL = "running", "complete", "partial"


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run's folder, and its files written whole or not at all.

    Args:
        void: why the run promises nothing, or None where it does.

    Guarantee:
        What is written here and may be handed on is marked in such a run: NON-PRIVATE stands before
        its name, and in its content if that is JSON.
    """

    path: Path
    void: str | None = None

    def file(self, name: str) -> Path:
        """Where a file of this plain name is written."""
        return self.path / marking.named(name, private=self.void is None)

    def silo(self, name: str) -> Path:
        """The private folder of one silo."""
        return self.path / "silos" / name

    def saved(self, name: str) -> Path:
        """The server's checkpoint of one pass."""
        return self.path / "checkpoint" / f"{name}.safetensors"

    def anchor(self, name: str, ledger_id: str, elsewhere: str = "") -> Path:
        """Where the newest row of a silo's ledger is remembered: apart from the silo's folder."""
        folder = Path(elsewhere) if elsewhere else self.path / "anchors"
        return folder / f"{name}-{ledger_id}"

    def write_text(self, name: str, text: str) -> None:
        """Write a text file durably."""
        checkpoint.write_bytes(self.file(name), text.encode())

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file durably; infinities become null, since JSON has none."""
        if self.void is not None and name not in marking.STATE:
            content = {"marking": f"{marking.MARK}. {self.void}", **content}
        self.write_text(name, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file durably."""
        checkpoint.write_bytes(self.file(name), content)

    def state(self, status: str, reason: str | None = None) -> None:
        """Write how the run stands."""
        self.write_json("state.json", {"status": status, "reason": reason})


def start(path: Path, config: Config, *, resume: bool) -> RunFolder:
    """Open a run's folder: a new one, or with `resume` one of the same configuration.

    Who takes part, and the statement's words, may be configured anew on resumption; nothing else
    may.

    Raises:
        RunError: the folder holds a run already, or another one, or none to resume.
    """
    folder = RunFolder(path, marking.void_because(config))
    text = resolved.dump(resolved.absolute(config))
    _require_usable(path, config, resume)
    if not resume:
        _create(path)
    folder.write_text("config.toml", text)
    folder.state(RUNNING)
    return folder


def opened(path: Path) -> RunFolder:
    """Return the folder of a run that has begun, to write what is found about it.

    Raises:
        ConfigError: its configuration cannot be read.
    """
    config = configuration.load(str(path / "config.toml"), records=False)
    return RunFolder(path, marking.void_because(config))


@contextmanager
def held(path: Path, config: Config, *, resume: bool) -> Iterator[RunFolder]:
    """`start` a run's folder, and keep every other process out of it until the end.

    Raises:
        RunError: as `start`, or another process writes into the folder now.
    """
    _require_usable(path, config, resume)
    if not resume:
        _create(path)
    with locked(path):
        yield start(path, config, resume=resume)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other process that would write into a folder out of it.

    Raises:
        RunError: one is at it now.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)  # itself: no file is left behind
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"{path}: another process is at this run, so nothing was asked. Wait for it, or "
                "end it and continue with --resume."
            ) from None
        yield
    finally:
        os.close(folder)


def require_ended(path: Path) -> None:
    """Refuse a folder whose run has not come to its end.

    Raises:
        RunError: there is no run, or it goes on.
    """
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(
            f"{path}: holds no run, or one whose state.json is damaged; nothing was done. Give the "
            "folder that `dpfedsyn run --out` wrote."
        ) from None
    if state not in (COMPLETE, PARTIAL):
        raise RunError(
            f"{path}: this run has not ended, and nothing was done. Let it end first: "
            f"`dpfedsyn run --out {path} --resume`."
        )


def _require_usable(path: Path, config: Config, resume: bool) -> None:
    before = path / "config.toml"
    if not resume and not unused(path):
        raise RunError(
            f"{path}: this folder is not empty, and a run would mix with what is there. "
            "Continue that run with --resume, or name another folder with --out."
        )
    if not resume:
        return
    if not before.is_file():
        raise RunError(f"{path}: there is no run to resume here. Start it without --resume.")
    if not _same_run(before, config):
        raise RunError(
            f"{path}: the run in this folder has another configuration ({before}); its ledgers and "
            "checkpoints do not fit this one. Resume it without --set (but for participation.* and "
            "statement.*), or use another --out; a larger cap is a new budget, which composes "
            "with this run's."
        )


def _same_run(stored: Path, config: Config) -> bool:
    """Whether a stored configuration is this one, but for who takes part and what is said."""
    try:
        before = configuration.load(str(stored), records=False)  # others' may lie elsewhere
    except ConfigError:
        return False
    return resolved.digest(before) == resolved.digest(config)


def unused(path: Path) -> bool:
    """Whether a run may begin here: nothing lies here but what a kill left half-written."""
    return not path.exists() or all(entry.suffix == ".part" for entry in path.iterdir())


def vacant(path: Path) -> bool:
    """Whether nothing lies at a path, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _create(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{path}: this folder cannot be made ({error.strerror}); nothing was run. "
            "Name another folder with --out."
        ) from None
    for left_over in path.glob("*.part"):
        left_over.unlink()


def anchor_of(ledger: Path, ledger_id: str) -> Path | None:
    """Return where the anchor of RUN/silos/NAME/ledger.sqlite has to be; None outside of a run.

    Reads the run's configuration only: an auditor need not have the records.
    """
    silo = ledger.resolve().parent
    run = RunFolder(silo.parent.parent)
    try:
        text = (run.path / "config.toml").read_text(encoding="utf-8")
        elsewhere = tomllib.loads(text)["privacy"]["anchors"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run.anchor(silo.name, ledger_id, str(elsewhere))


def void_of(ledger: Path) -> str | None:
    """Say why the run that a ledger lies in promises nothing; None also outside of a run."""
    try:
        return opened(ledger.resolve().parents[2]).void
    except (ConfigError, IndexError):
        return None


class RoundLog:
    """rounds.jsonl: one line per round, appended as rounds are taken, each round once.

    A round that is taken again, since a kill came before its checkpoint, replaces what it was: who
    answered may differ.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            names = [self._name(json.loads(line)) for line in self._lines()]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path}: a line is damaged ({error}); the report would miss rounds. Move the file "
                "away and resume: charges are in the ledgers, not here."
            ) from None
        self._places = {name: place for place, name in enumerate(names)}

    def append(self, record: dict[str, Any]) -> None:
        """Append a round; one that an earlier, interrupted attempt wrote is written anew."""
        line, name = json.dumps(finite(record), allow_nan=False), self._name(record)
        if name in self._places:
            lines = self._lines()
            lines[self._places[name]] = line
            checkpoint.write_bytes(self._path, ("\n".join(lines) + "\n").encode())
            return
        self._places[name] = len(self._places)
        self._path.touch(mode=0o600)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the rounds of one pass, oldest first."""
        records = [json.loads(line) for line in self._lines()]
        return [record for record in records if record["pass"] == name]

    def _lines(self) -> list[str]:
        """Whole lines of the file; a line that a kill cut short is dropped."""
        if not self._path.exists():
            return []
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            checkpoint.write_bytes(self._path, whole.encode())
        return whole.splitlines()

    @staticmethod
    def _name(record: dict[str, Any]) -> tuple[str, int]:
        return record["pass"], record["round"]


def next_free(config: Config) -> Path:
    """Return the first unused folder runs/NAME-1, runs/NAME-2, ..."""
    number = 1
    while (path := Path("runs") / f"{config.name}-{number}").exists():
        number += 1
    return path


def finite(value: Any) -> Any:
    """Return a value that JSON can hold: a bound that is not finite is written as null."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
