"""A torch module of a silo's own, which `dpfedsyn.brought.declaration` names and describes.

The module is called as module(samples (N, *shape), steps (N,)), with labels (N,) as the third
argument where it knows them, and returns what `prediction_type` says, of the samples' shape.

Whoever names the declaration has its module imported and run. So it is named by a silo's own
configuration, on the silo's own disk, and nothing that a server sends is ever read for it.

The digest that a claim is of, and that a run holds to, is of the weights' file alone. Every number
of the module's state is compared with that file, and a buffer outside of its state must be the same
each time the module is made; but what the code does with them, and what it keeps elsewhere, no
digest covers. Nor does it cover the declaration.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dpfedsyn.brought import coordinates, declaration, foreign, levels, network_weights, trial
from dpfedsyn.brought.model import BroughtModel, fixed_of
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import ModelError


def read(path: Path, encoder: Encoder, device: torch.device) -> BroughtModel:
    """Return the declared model for records of a schema.

    Raises:
        ModelError: a declaration that is incomplete or does not fit the schema, a module that
            cannot be imported or made twice, weights that are not its own, or no finite output of
            the samples' shape.
    """
    declared = declaration.read(path)
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
    where = f"{path}: module = {declared['module']!r}"
    module = _made(declared["module"], where)
    _require_repeatable(module, _made(declared["module"], where), where)
    place = path.parent / declared["weights"]
    tensors, digest = network_weights.read(place)
    network_weights.put(module, tensors, place)
    fixed = fixed_of(module)
    with foreign.refused(f"{where} cannot be prepared for {device}", "Mend the module."):
        module.eval().requires_grad_(False).to(device)
    call = _with_labels if knows else _without_labels
    model = BroughtModel(module, call, known, map_, digest, device, knows, fixed)
    return trial.passed(model, len(encoder.labels), str(path))


def _made(named: str, where: str) -> nn.Module:
    """Import the factory and call it: code of the silo's owner, who named it."""
    package, _, name = named.partition(":")
    mend = (
        "Install the package in this environment, and name a function or class that needs no "
        "arguments."
    )
    with foreign.refused(f"{where} cannot be imported and called here", mend):
        made = getattr(importlib.import_module(package), name)()
    if not isinstance(made, nn.Module):
        raise ModelError(
            f"{where} makes a {type(made).__name__}, no torch.nn.Module; nothing was loaded. Name "
            "a function or class that makes one."
        )
    kept = [*made.parameters(), *made.buffers()]
    unfinished = {
        "compiled by torch.jit, whose code cannot be seen": isinstance(
            made, torch.jit.ScriptModule
        ),
        "lazy, without shapes until it is called": any(is_lazy(tensor) for tensor in kept),
        "on the meta device, without numbers": any(tensor.is_meta for tensor in kept),
    }
    for words, so in unfinished.items():
        if so:
            raise ModelError(
                f"{where} makes a module that is {words}; no weights can be set in it, so nothing "
                "was loaded. Name a function that makes the plain module, with its sizes, on the "
                "CPU."
            )
    return made


def _require_repeatable(module: nn.Module, again: nn.Module, where: str) -> None:
    """Refuse what two modules of one factory share, or have apart beside their weights.

    Shared weights would be those of the silo that was loaded last. A buffer outside of the state is
    in no file, so that it has to follow from the code.
    """
    own, other = module.state_dict(), again.state_dict()
    places = {tensor.data_ptr() for tensor in _tensors(own).values() if tensor.numel()}
    shared = [name for name, tensor in _tensors(other).items() if tensor.data_ptr() in places]
    if shared:
        raise ModelError(
            f"{where}: makes modules that share {network_weights.listed(shared)}, so that the "
            "weights of two silos would be one; nothing was loaded. Make them anew in each call."
        )
    fixed, repeated = (dict(one.named_buffers()) for one in (module, again))
    changed = [
        name
        for name in fixed
        if name not in own
        and not (name in repeated and network_weights.same_bits(fixed[name], repeated[name]))
    ]
    if changed:
        raise ModelError(
            f"{where}: its non-persistent buffers {network_weights.listed(changed)} are others "
            "each time it is made, and no weights' file holds them; nothing was loaded. Register "
            "them with persistent=True and save the weights again, or compute them without chance."
        )


def _tensors(state: dict[str, object]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _without_labels(module: nn.Module, samples: Tensor, steps: Tensor, _labels: Tensor) -> Tensor:
    predicted: Tensor = module(samples, steps)
    return predicted


def _with_labels(module: nn.Module, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
    predicted: Tensor = module(samples, steps, labels)
    return predicted
