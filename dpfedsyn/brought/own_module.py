"""A torch module of a silo's own, declared by a JSON file beside its weights.

    {
      "module": "my_package.models:denoiser",     what to import, and call without arguments
      "weights": "weights.safetensors",           beside this file
      "shape": [14],                              of a sample: coordinates, or [1, height, width]
      "range": [-1, 1],                           pictures only: black and white; this is default
      "labels": true,                             whether it is called with labels
      "schedule": {"prediction_type": "epsilon", "beta_schedule": "linear",
                   "beta_start": 0.0001, "beta_end": 0.02, "num_train_timesteps": 1000}
    }

The module is called as module(samples (N, *shape), steps (N,)), with labels (N,) as the third
argument where it knows them, and returns what `prediction_type` says, of the samples' shape.

Whoever names this file has its module imported and run. So it is named by a silo's own
configuration, on the silo's own disk, and nothing that a server sends is ever read for it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dpfedsyn.brought import coordinates, levels, network_weights
from dpfedsyn.brought.model import BroughtModel
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import ModelError

KEYS = ("module", "weights", "shape", "range", "labels", "schedule")
NEEDED = ("module", "weights", "shape", "schedule")


def read(path: Path, encoder: Encoder, device: torch.device) -> BroughtModel:
    """Return the declared model for records of a schema.

    Raises:
        ModelError: a declaration that is incomplete or does not fit the schema, a module that
            cannot be imported, weights that are not its own, or an output of another shape.
    """
    declared = _declared(path)
    shape = tuple(declared["shape"])
    knows = declared.get("labels", len(encoder.labels) > 1)
    if not knows and len(encoder.labels) > 1:
        raise ModelError(
            f"{path}: labels = false, and the schema has {len(encoder.labels)} labels, for all of "
            "which it would answer alike; nothing was loaded. Bring a module that takes labels"
            + (", or set data.conditional = false." if encoder.geometry is not None else ".")
        )
    known = levels.of_scheduler(declared["schedule"], f"{path}: schedule")
    if len(shape) == 3:
        ends = declared.get("range", list(coordinates.PIXEL_RANGE))
        map_ = coordinates.of_pixels(encoder, shape, str(path), (float(ends[0]), float(ends[1])))
    else:
        map_ = coordinates.of_vectors(encoder, shape, str(path))
    module = _made(declared["module"], path)
    place = path.parent / declared["weights"]
    tensors, digest = network_weights.read(place)
    network_weights.put(module, tensors, place)
    module.eval().requires_grad_(False).to(device)
    call = _with_labels if knows else _without_labels
    _try(module, call, shape, path, device)
    return BroughtModel(module, call, known, map_, digest, device, knows)


def _declared(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path}: the model's declaration cannot be read ({error}); nothing was loaded. Give "
            "a JSON file, or a folder that diffusers saved."
        ) from None
    faults = _faults(content) if isinstance(content, dict) else ["it is no JSON object"]
    if faults:
        raise ModelError(
            f"{path}: {'; '.join(faults)}; nothing was loaded. A declaration has "
            f"{', '.join(NEEDED)}, and may have range and labels."
        )
    known: dict[str, Any] = content
    return known


def _faults(content: Mapping[str, Any]) -> list[str]:
    faults = [f"`{key}` is missing" for key in NEEDED if key not in content]
    faults += [f"`{key}` is unknown" for key in content if key not in KEYS]
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "module": (_is_factory, '"package.module:name"'),
        "weights": (_is_name, "the name of a file beside this one"),
        "shape": (_is_shape, "[d] or [1, height, width]"),
        "range": (_is_range, "[black, white], two different numbers"),
        "labels": (lambda value: isinstance(value, bool), "true or false"),
        "schedule": (lambda value: isinstance(value, dict), "an object"),
    }
    for key, (test, words) in checks.items():
        if key in content and not test(content[key]):
            faults.append(f"`{key}` = {content[key]!r} is not {words}")
    return faults


def _is_factory(value: Any) -> bool:
    parts = value.split(":") if isinstance(value, str) else []
    return len(parts) == 2 and all(
        name.isidentifier() for part in parts for name in part.split(".")
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != "" and Path(value).name == value


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (1, 3)
        and all(type(side) is int and side > 0 for side in value)
    )


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, list) and all(type(end) in (int, float) for end in value)
    return numbers and len(value) == 2 and value[0] < value[1]


def _made(named: str, path: Path) -> nn.Module:
    """Import the factory and call it: code of the silo's owner, who named it."""
    package, _, name = named.partition(":")
    try:
        made = getattr(importlib.import_module(package), name)()
    except Exception as error:
        raise ModelError(
            f"{path}: module = {named!r} cannot be imported and called here "
            f"({type(error).__name__}: {error}); nothing was loaded. Install the package in this "
            "environment, and name a function or class that needs no arguments."
        ) from error
    if not isinstance(made, nn.Module):
        raise ModelError(
            f"{path}: module = {named!r} makes a {type(made).__name__}, no torch.nn.Module; "
            "nothing was loaded. Name a function or class that makes one."
        )
    return made


def _try(
    module: nn.Module,
    call: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor],
    shape: tuple[int, ...],
    path: Path,
    device: torch.device,
) -> None:
    """Call the module once, on zeros: while it answers nobody may see what is wrong with it."""
    samples = torch.zeros((2, *shape), device=device)
    nothing = torch.zeros(2, dtype=torch.int64, device=device)
    try:
        with torch.inference_mode():
            found = call(module, samples, nothing, nothing)
        problem = None if found.shape == samples.shape else f"returns shape {tuple(found.shape)}"
    except Exception as error:
        problem = f"fails ({type(error).__name__}: {error})"
    if problem is not None:
        raise ModelError(
            f"{path}: called with samples {tuple(samples.shape)} and steps (2,), its module "
            f"{problem}; nothing was loaded. It has to return the samples' shape."
        )


def _without_labels(module: nn.Module, samples: Tensor, steps: Tensor, _labels: Tensor) -> Tensor:
    predicted: Tensor = module(samples, steps)
    return predicted


def _with_labels(module: nn.Module, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
    predicted: Tensor = module(samples, steps, labels)
    return predicted
