"""Files that a kill cannot leave half-written: arrays only, no pickle, no random state."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import RunError


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file durably and at once: a new file beside it, fsync, rename; owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a power cut could undo the rename
    finally:
        os.close(folder)


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as one NPZ file."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def load(path: Path) -> dict[str, NDArray[Any]] | None:
    """Read named arrays; None where there is no file.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, KeyError) as error:
        raise RunError(
            f"{path}: this checkpoint is damaged ({error}); the run cannot go on from it. What was "
            "charged stays charged. Start a new run in another folder with --out."
        ) from None
