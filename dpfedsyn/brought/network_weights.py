"""A brought model's weights: safetensors, whose every key and shape must be the module's own.

Formats that can hold code are refused by name, and never opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from dpfedsyn.errors import ModelError

CODE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
_NAMED = 5  # keys that a message names


def read(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a safetensors file by name, and the SHA-256 (hex) of its bytes.

    Raises:
        ModelError: no such file, a format that can hold code, or a damaged file.
    """
    if path.suffix in CODE:
        refuse(path)
    try:
        content = path.read_bytes()
        tensors = load(content)
    except OSError as error:
        raise ModelError(
            f"{path}: the weights cannot be read ({error.strerror}), so nothing was loaded. Save "
            "the model as safetensors."
        ) from None
    except SafetensorError as error:
        raise ModelError(
            f"{path}: is damaged, or no safetensors file ({error}), so nothing was loaded. Copy it "
            "again, or save the model again."
        ) from None
    return tensors, hashlib.sha256(content).hexdigest()


def refuse(path: Path) -> NoReturn:
    """Refuse a file of a format that can hold code.

    Raises:
        ModelError: always.
    """
    raise ModelError(
        f"{path}: files of this kind can run code when they are read, so it was not opened. Save "
        "the model again with safe_serialization=True, or its state_dict() with "
        "safetensors.torch.save_file."
    )


def put(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Set a module's weights; every one of its own must be there, and no other.

    Raises:
        ModelError: names missing keys, unexpected ones, and shapes that differ.
    """
    own = module.state_dict()
    faults = []
    if missing := [name for name in own if name not in tensors]:
        faults.append(f"missing: {_list(missing)}")
    if unknown := sorted(name for name in tensors if name not in own):
        faults.append(f"unexpected: {_list(unknown)}")
    wrong = [
        f"{name} {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if wrong:
        faults.append(f"wrong shape: {_list(wrong)}")
    if faults:
        raise ModelError(
            f"{path}: the weights are not those of the module that the configuration beside them "
            f"describes ({'; '.join(faults)}), so nothing was loaded. Bring the configuration and "
            "the weights of one model."
        )
    bad = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise ModelError(
            f"{path}: {_list(bad)} holds values that are not finite, so every answer would be "
            "zero; nothing was loaded. Bring a checkpoint from before training diverged."
        )
    module.load_state_dict(dict(tensors))


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
