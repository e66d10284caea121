"""What a run has released: its rows, checked against its statement, and what that claims."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpfedsyn import config as configuration
from dpfedsyn import domain, marking
from dpfedsyn.distill.smoothed import SmoothedRows
from dpfedsyn.domain import Encoder
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import RunError, StatementCorrupt
from dpfedsyn.folder import COMPLETE

STATEMENT = "statement.json"


@dataclass(frozen=True)
class ReleasedRun:
    """Public facts of a run that has ended.

    Attributes:
        told: its statement.
        files: of the rows to learn from, as the statement names them.
    """

    path: Path
    encoder: Encoder
    told: dict[str, Any]
    files: tuple[dict[str, Any], ...]

    @property
    def void(self) -> str | None:
        """Why nothing is promised, or None."""
        found: str | None = self.told["void"]
        return found

    @property
    def sources(self) -> dict[str, str]:
        """Digest of each file of rows, by name."""
        return {file["name"]: file["sha256"] for file in self.files}

    def rows(self) -> SmoothedRows:
        """Read the rows to learn from.

        Guarantee:
            Only files whose content is the statement's, to the byte: what was released.

        Raises:
            StatementCorrupt: a file is missing, or is another one. DataError: it holds no rows of
                the run's schema.
        """
        reader = self.encoder
        if isinstance(reader, TableEncoder):
            reader = TableEncoder(reader.schema.of_synthetic)
        records = [reader.read(self._checked(file)) for file in self.files]
        x = np.concatenate([each.x for each in records])
        return SmoothedRows(x, np.concatenate([each.y for each in records]))

    def _checked(self, file: dict[str, Any]) -> Path:
        path = marking.find(self.path, str(file["name"]))
        if not path.is_file():
            raise StatementCorrupt(
                f"{path}: is missing, so nothing was learnt. The statement names it: put it back."
            )
        with path.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file["sha256"]:
                raise StatementCorrupt(
                    f"{path}: differs from the rows that the statement speaks of, so whether they "
                    "are private is unknown and nothing was learnt. Put the released file back."
                )
        return path


def read(run: Path) -> ReleasedRun:
    """Read a run's public facts: rows by its own preset, those of top-ups with as little noise too.

    Raises:
        RunError: there is no ended run, or it has no rows, or its schema is another one now.
            ConfigError: its schema cannot be read.
    """
    path = marking.find(run, STATEMENT)
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        listed = [dict(file) for file in told["release"]["files"]]
        top_ups = {f"more-{one['number']}": one for one in told["top_ups"]}
        schema = told["settings"]["schema"]
        told["void"], told["silos"], told["across_silos"]  # half a statement is damage
    except OSError:
        raise RunError(
            f"{run}: holds no statement, so there is nothing to distil. Give the folder of a run "
            "that has ended."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: this statement is damaged ({type(error).__name__}: {error}), so nothing was "
            f"learnt. `dpfedsyn run --out {run} --resume` writes it again at no cost."
        ) from None
    config = configuration.load(str(run / "config.toml"), records=False)
    encoder = domain.encoder_of(config)
    if encoder.digest != schema:
        raise RunError(
            f"{config.path(config.data.schema)}: is no longer the schema of this run (its digest "
            f"is {encoder.digest[:16]}..., the statement's {schema[:16]}...), so its rows would be "
            "read as something else; nothing was learnt. Put the schema back."
        )
    files = tuple(_learnt_from(listed, top_ups, config.preset))
    if not files:
        raise RunError(
            f"{run}: has no rows by preset {config.preset!r}, so there is nothing to learn from."
        )
    return ReleasedRun(run, encoder, told, files)


def _learnt_from(
    listed: list[dict[str, Any]], top_ups: dict[str, dict[str, Any]], preset: str
) -> Iterator[dict[str, Any]]:
    for file in listed:
        more = top_ups.get(file["made_by"])
        if file["made_by"] == preset or (
            more is not None
            and (more["preset"], more["status"]) == (preset, COMPLETE)
            and more["noise"] <= 1.0
        ):
            yield file
