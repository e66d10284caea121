"""Files that a kill cannot leave half-written: arrays as safetensors, no code and no random state.

A safetensors file is a JSON header and raw numbers; nothing in it can be executed. Its header holds
a digest of the arrays, so that damage is found wherever it lies.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors import numpy as tensors

from dpfedsyn.errors import RunError

SUFFIX = ".safetensors"
FORMAT = "dpfedsyn-checkpoint/1"


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
    """Write named arrays of numbers as one safetensors file."""
    # The format knows no strides, and would write another order of the same numbers.
    plain = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    write_bytes(path, tensors.save(plain, {"format": FORMAT, "sha256": digest(plain)}))


def load(path: Path) -> dict[str, NDArray[Any]] | None:
    """Read named arrays; None where there is no file.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            kept = file.metadata() or {}
            if kept.get("format") != FORMAT:
                raise ValueError(f"its format is {kept.get('format')!r}, not {FORMAT!r}")
            # Copies: those of the file may not be written to.
            arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        if kept.get("sha256") != digest(arrays):
            raise ValueError("its arrays are not those whose digest it holds")
    # numpy's own errors for types that it lacks, such as bfloat16, are of the last two kinds.
    except (OSError, ValueError, SafetensorError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: this checkpoint is damaged ({error}); the run cannot go on from it. What was "
            "charged stays charged. Start a new run in another folder with --out."
        ) from None
    return arrays


def digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 (hex) of named arrays: names, types, shapes and numbers, in any order."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        for part in (name, array.dtype.str, repr(arrays[name].shape)):
            found.update(len(part.encode()).to_bytes(8, "big") + part.encode())
        found.update(array.data)
    return found.hexdigest()
