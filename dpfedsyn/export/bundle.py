"""What leaves with the data: the rows, their claim, a card for people and one for machines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpfedsyn import config as configuration
from dpfedsyn import domain
from dpfedsyn.errors import RunError, StatementCorrupt
from dpfedsyn.export import card, croissant
from dpfedsyn.export.files import DataFile
from dpfedsyn.folder import vacant
from dpfedsyn.marking import find, named, plain
from dpfedsyn.publication import NOT_STATED
from dpfedsyn.report.finished import FinishedRun, read
from dpfedsyn.settings import Config
from dpfedsyn.statement import FILE, RECORD
from dpfedsyn.statement.signing import SIGNATURES, digest
from dpfedsyn.statement.verifying import verify

KINDS = {".csv": "text/csv", ".npz": "application/x-npz"}


def write(run: Path, folder: Path, *, title: str = "", licence: str = "") -> list[Path]:
    """Write the folder, and return its files.

    Args:
        run: folder of a run that has ended.
        folder: new.
        title: of the data set; empty: the statement's, or the run's name.
        licence: of the data set, as its owners decide; empty: not stated.

    Guarantee:
        Rows, claim and public settings are all that is in it: nothing that was measured on real
        records, no ledger, no key. Of rows there are those that the statement names, to the byte;
        whatever else lies in the run's folder stays there. The names of files of a run without
        privacy begin with `NON-PRIVATE-`. A signature goes along only where it still is of these
        bytes.

    Raises:
        DataError: no run is there, or it is damaged. RunError: the run has no rows, or the folder
            is in use. StatementCorrupt: a file of rows is missing or is not the statement's, or
            the run was signed and is not what was signed.
    """
    finished = read(run)
    rows = [_released(run, file) for file in finished.statement["release"]["files"]]
    if not rows:
        raise RunError(f"{run}: holds no synthetic rows, so nothing was exported. Let it end.")
    if not vacant(folder):
        raise RunError(f"{folder}: is not empty, so nothing was exported. Name a new folder.")
    if find(run, SIGNATURES).is_file():
        verify(run)
    config = configuration.load(str(run / "config.toml"), records=False)
    stated = config.statement.title
    title = title or (config.name if stated == NOT_STATED else stated)
    folder.mkdir(parents=True, exist_ok=True)
    files = [_copied(path, folder, finished) for path in rows]
    return [*(folder / file.name for file in files), *_described(
        finished, config, files, folder, title, licence
    )]  # fmt: skip


def _released(run: Path, file: Mapping[str, Any]) -> Path:
    path = find(run, str(file["name"]))
    if not path.is_file() or digest(path) != file["sha256"]:
        raise StatementCorrupt(
            f"{path}: is missing, or differs from the rows that the statement speaks of, so the "
            "claim is not of these and nothing was exported. Put the released file back."
        )
    return path


def _copied(path: Path, folder: Path, finished: FinishedRun) -> DataFile:
    name = named(plain(path.name), private=finished.private)
    shutil.copyfile(path, folder / name)
    copy = folder / name
    return DataFile(name, KINDS[path.suffix], copy.stat().st_size, digest(copy))


def _described(
    finished: FinishedRun,
    config: Config,
    files: list[DataFile],
    folder: Path,
    title: str,
    licence: str,
) -> list[Path]:
    encoder = domain.encoder_of(config)
    claims = []
    for name in (FILE, RECORD, SIGNATURES):
        source = find(finished.path, name)
        if source.is_file():
            claims.append(folder / named(name, private=finished.private))
            shutil.copyfile(source, claims[-1])
    page, metadata = (
        folder / named(name, private=finished.private) for name in ("README.md", "croissant.json")
    )
    page.write_text(card.text(finished, config, files, title, licence), encoding="utf-8")
    described = croissant.metadata(finished, encoder, files, title, licence)
    metadata.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return [*claims, page, metadata]
