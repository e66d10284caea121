"""A brought model's weights: safetensors, whose every key, shape and kind is the module's own.

Formats that can hold code are refused by name, and never opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import torch
from safetensors.torch import load
from torch import Tensor, nn

from dpfedsyn.brought import foreign
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
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(
            f"{path}: the weights cannot be read ({reason}), so nothing was loaded. Save the model "
            "as safetensors."
        ) from None
    mend = "Copy it again, or save the model again."
    with foreign.refused(f"{path}: is damaged, or no safetensors file", mend):
        tensors = load(content)
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

    Floating-point numbers are rounded to the module's own type, where the file has another; whole
    numbers and truth values must be of its own type. Afterwards the module's state is these very
    bits, whatever its code does while it is loaded.

    Raises:
        ModelError: names missing keys, unexpected ones, shapes and kinds that differ, numbers that
            are not finite in the module, and what the module did not take.
    """
    mend = "Bring a module that torch's load_state_dict fills."
    with foreign.refused(f"{path}: the weights cannot be set in the module", mend):
        own = module.state_dict()
    faults = _faults(own, tensors)
    if faults:
        raise ModelError(
            f"{path}: the weights are not those of the module that the configuration beside them "
            f"describes ({'; '.join(faults)}), so nothing was loaded. Bring the configuration and "
            "the weights of one model."
        )
    wanted = {name: tensors[name].to(own[name].dtype) for name in own}
    bad = [
        _cast(name, tensors[name], held) for name, held in wanted.items() if not _is_finite(held)
    ]
    if bad:
        raise ModelError(
            f"{path}: {listed(bad)} holds values that are not finite, so every answer would be "
            "zero; nothing was loaded. Bring a checkpoint from before training diverged, of "
            "numbers that the module's type holds."
        )
    with foreign.refused(f"{path}: the weights cannot be set in the module", mend):
        module.load_state_dict(dict(tensors))
        held = module.state_dict()
        other = [name for name in wanted if not same_bits(held[name], wanted[name])]
    if other:
        raise ModelError(
            f"{path}: after loading, the module holds other numbers in {listed(other)}, so it "
            f"would not answer with these weights; nothing was loaded. {mend}"
        )


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors have one type, one shape and the same bits; NaN is equal to itself."""
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    bits = (tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            for tensor in (first, second))  # fmt: skip
    return torch.equal(*bits)


def listed(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _faults(own: Mapping[str, object], tensors: Mapping[str, Tensor]) -> list[str]:
    kept = {name: value for name, value in own.items() if isinstance(value, Tensor)}
    both = [name for name in kept if name in tensors]
    found = {
        "missing": [name for name in own if name not in tensors],
        "unexpected": sorted(name for name in tensors if name not in own),
        "no tensor in the module": [name for name in own if name not in kept],
        "wrong shape": [
            f"{name} {tuple(tensors[name].shape)}, not {tuple(kept[name].shape)}"
            for name in both
            if tensors[name].shape != kept[name].shape
        ],
        "wrong kind": [
            f"{name} {_type(tensors[name])}, not {_type(kept[name])}"
            for name in both
            if not _is_of_kind(tensors[name], kept[name])
        ],
    }
    return [f"{what}: {listed(names)}" for what, names in found.items() if names]


def _is_of_kind(given: Tensor, own: Tensor) -> bool:
    real = given.is_floating_point() and own.is_floating_point()
    return real or given.dtype == own.dtype


def _is_finite(tensor: Tensor) -> bool:
    # torch tells it of no number of eight bits.
    return bool(torch.isfinite(tensor.double() if tensor.is_floating_point() else tensor).all())


def _cast(name: str, given: Tensor, held: Tensor) -> str:
    return name if given.dtype == held.dtype else f"{name} ({_type(given)} as {_type(held)})"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
