"""Read a run folder's JSON files: all that a report is made of."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any

from dpfedsyn import marking
from dpfedsyn.errors import DataError

PREVIEW_ROWS = 8


@dataclass(frozen=True)
class FinishedRun:
    """What a run left behind.

    Args:
        path: the folder.
        statement: statement.json, the claim.
        plan: plan.json; empty where the run has none.
        results: results.json; empty where the run ended before the evaluation.
        rounds: one entry per line of rounds.jsonl, oldest first.
        state: state.json.
        config: config.toml as text.
        preview: header and first rows of synthetic.csv; empty where there is none.
        federation: federation.json, who answered what; empty where the run has none.
        grids: synthetic images by file name, as PNG; none of a table.
        attacks: attacks.json, internal; empty where nobody attacked the run.
        audit: audit.json; empty where the run was not audited.
        digests: SHA-256 by name of the files of synthetic rows.
    """

    path: Path
    statement: dict[str, Any]
    plan: dict[str, Any]
    results: dict[str, Any]
    rounds: tuple[dict[str, Any], ...]
    state: dict[str, Any]
    config: str
    preview: tuple[tuple[str, ...], ...]
    federation: dict[str, Any]
    grids: dict[str, bytes]
    attacks: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def private(self) -> bool:
        """Whether the run promises anything; where not, everything of it is marked."""
        return bool(self.statement["private"])

    @property
    def status(self) -> str:
        """`complete`, `partial` or `running`; a whole statement never hides a broken state."""
        states = {self.statement.get("status"), self.state.get("status", "complete")}
        return next((s for s in ("running", "partial") if s in states), "complete")

    @property
    def reason(self) -> str:
        """Why the run is not complete, as the run wrote it."""
        return str(self.statement.get("reason") or self.state.get("reason") or "").rstrip(".")

    def passes(self) -> dict[str, list[dict[str, Any]]]:
        """Group the rounds by the server pass they belong to, in order."""
        grouped: dict[str, list[dict[str, Any]]] = {}
        for record in self.rounds:
            grouped.setdefault(str(record["pass"]), []).append(record)
        return grouped


def read(path: Path) -> FinishedRun:
    """Read a run folder.

    Raises:
        DataError: the folder is missing, holds no statement, or a file in it is damaged.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such run folder. Give the folder that `run --out` wrote.")
    if not marking.find(path, "statement.json").is_file():
        raise DataError(
            f"{path}: holds no statement.json, so there is no claim to report. Either this is "
            f"not a run folder, or the run has not ended: `{_resume(path)}`."
        )
    return FinishedRun(
        path=path,
        statement=_statement(marking.find(path, "statement.json")),
        plan=_object(marking.find(path, "plan.json")),
        results=_object(marking.find(path, "results.json")),
        rounds=tuple(_lines(path / "rounds.jsonl")),
        state=_object(path / "state.json"),
        config=_text(path / "config.toml"),
        preview=_preview(marking.find(path, "synthetic.csv")),
        federation=_object(marking.find(path, "federation.json")),
        grids={p.stem: p.read_bytes() for p in marking.every(path, "synthetic*.png")},
        attacks=_object(marking.find(path, "attacks.json")),
        audit=_object(marking.find(path, "audit.json")),
        digests={p.name: _digest(p) for p in marking.every(path, "synthetic*")},
    )


def _statement(path: Path) -> dict[str, Any]:
    """Read the claim; half a claim is damage, never a smaller claim."""
    statement = _object(path)
    needed = {"name", "unit", "adjacency", "delta", "epsilon", "readings", "risk"}
    silos = statement.get("silos")
    if (
        statement.get("statement_version") != 2
        or not isinstance(silos, list)
        or "private" not in statement
    ):
        raise _damaged(path, 1, "not a version 2 statement with `silos` and `private`")
    for silo in silos:
        if missing := sorted(needed - silo.keys()):
            raise _damaged(path, 1, f"a silo lacks {', '.join(missing)}")
    return statement


def _text(path: Path) -> str:
    """Read a file as text; an absent one is empty, for a partial run may lack it."""
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise _damaged(path, 1, str(error)) from error


def _object(path: Path) -> dict[str, Any]:
    text = _text(path)
    return _parse(text, path, 1) if text else {}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    lines = [line for line in enumerate(_text(path).splitlines(), 1) if line[1].strip()]
    for place, line in lines:
        record = _parse(line, path, place)
        if not {"pass", "round", "of", "silos"} <= record.keys():
            raise _damaged(path, place, "a round needs pass, round, of and silos")
        yield record


def _parse(text: str, path: Path, place: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _damaged(path, place + error.lineno - 1, error.msg) from error
    if not isinstance(value, dict):
        raise _damaged(path, place, "expected a JSON object")
    return value


def _damaged(path: Path, line: int, what: str) -> DataError:
    return DataError(
        f"{path}: line {line}: {what}. The report was not written. The file is damaged: "
        f"`{_resume(path.parent)}` writes it again at no cost."
    )


def _resume(folder: Path) -> str:
    return f"dpfedsyn run --out {quote(str(folder))} --resume"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _preview(path: Path) -> tuple[tuple[str, ...], ...]:
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(tuple(row) for row in islice(csv.reader(file), PREVIEW_ROWS + 1))
