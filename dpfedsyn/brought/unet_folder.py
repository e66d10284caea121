"""Read a folder that `diffusers` saved: a UNet2DModel and the configuration of its scheduler.

    model_index.json                             optional; of a pipeline
    unet/config.json                             or config.json, beside the weights
    unet/diffusion_pytorch_model.safetensors
    scheduler/scheduler_config.json

Only these files are read. `diffusers` is asked for the module alone: nothing is downloaded, and no
code that the folder may hold is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dpfedsyn.brought import coordinates, foreign, json_object, levels, network_weights, trial
from dpfedsyn.brought.model import BroughtModel, fixed_of
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import ModelError

CLASS = "UNet2DModel"
SCHEDULERS = ("DDPMScheduler", "DDIMScheduler")
WEIGHTS = "diffusion_pytorch_model.safetensors"
INSTALL = "pip install 'dpfedsyn[diffusers]'"
_MEND = "Give a folder that save_pretrained wrote, with unet/ and scheduler/ in it."


def read(folder: Path, encoder: Encoder, device: torch.device) -> BroughtModel:
    """Return the folder's model for records of a schema.

    Raises:
        ModelError: a file that is missing or damaged, a class, key, shape or schedule that is not
            understood or does not fit the schema, a module that does not answer; `diffusers` is
            not installed.
    """
    index = _optional(folder / "model_index.json")
    if index.get("unet", ["diffusers", CLASS]) != ["diffusers", CLASS]:
        raise ModelError(
            f"{folder / 'model_index.json'}: unet is {index['unet']}; nothing was loaded. A "
            f"{CLASS} of diffusers can be brought, or a module of your own with a JSON file that "
            "declares it."
        )
    place = folder / "unet" if (folder / "unet").is_dir() else folder
    where = place / "config.json"
    config = json_object.read(where, _MEND)
    schedule = folder / "scheduler" / "scheduler_config.json"
    known = _scheduled(json_object.read(schedule, _MEND), schedule)
    _require_kinds(config, where)
    _require(config, len(encoder.labels), where)
    size = config["sample_size"]
    sides = [size, size] if type(size) is int else size
    map_ = coordinates.of_pixels(encoder, (config.get("in_channels", 3), *sides), str(where))
    module = _module(config, where)
    tensors, digest = network_weights.read(_weights(place))
    network_weights.put(module, tensors, place / WEIGHTS)
    fixed = fixed_of(module)
    module.eval().requires_grad_(False).to(device)
    knows = config.get("num_class_embeds") is not None
    call = _with_labels if knows else _without_labels
    model = BroughtModel(module, call, known, map_, digest, device, knows, fixed)
    return trial.passed(model, len(encoder.labels), str(where))


def _optional(path: Path) -> dict[str, Any]:
    return json_object.read(path, _MEND) if path.exists() else {}


def _weights(place: Path) -> Path:
    """The weights' file; where there is none, what else lies there is refused by name."""
    if not (place / WEIGHTS).exists():
        for other in sorted(place.iterdir()):
            if other.suffix in network_weights.CODE:
                return other
    return place / WEIGHTS


def _scheduled(content: Mapping[str, Any], where: Path) -> levels.Levels:
    name = content.get("_class_name", SCHEDULERS[0])
    if name not in SCHEDULERS:
        raise ModelError(
            f"{where}: _class_name = {name!r}: its noise levels are not those of a DDPM, so "
            f"nothing was loaded. Understood are {', '.join(SCHEDULERS)}; save the scheduler that "
            "the model was trained with."
        )
    return levels.of_scheduler(content, str(where))


def _require_kinds(config: Mapping[str, Any], where: Path) -> None:
    """Refuse numbers that are no whole ones, of what is read here; diffusers checks nothing."""
    size = config.get("sample_size")
    sides = size if isinstance(size, list) and len(size) == 2 else [size]
    if not all(_is_count(side) for side in sides):
        raise ModelError(
            f"{where}: sample_size = {size!r}: is no whole number of pixels, nor [height, width]; "
            "nothing was loaded. Give the size that the model was trained on."
        )
    for key, default in (("in_channels", 3), ("out_channels", 3), ("num_class_embeds", None)):
        value = config.get(key, default)
        if not (_is_count(value) or (value is None and default is None)):
            raise ModelError(
                f"{where}: {key} = {value!r}: is no whole number from 1; nothing was loaded. Give "
                f"the config.json that save_pretrained wrote."
            )


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _require(config: Mapping[str, Any], labels: int, where: Path) -> None:
    """Refuse a class, an output and labels that are not those of the run."""
    if config.get("_class_name", CLASS) != CLASS:
        raise ModelError(
            f"{where}: _class_name = {config['_class_name']!r}; nothing was loaded. A {CLASS} can "
            "be brought, or a module of your own with a JSON file that declares it."
        )
    taken, given = config.get("in_channels", 3), config.get("out_channels", 3)
    if given != taken:
        raise ModelError(
            f"{where}: out_channels = {given}, in_channels = {taken}: it predicts something beside "
            "one value per pixel (a variance?); nothing was loaded. Bring a model with as many "
            "channels out as in."
        )
    embedded, kind = config.get("num_class_embeds"), config.get("class_embed_type")
    if kind is not None:
        raise ModelError(
            f"{where}: class_embed_type = {kind!r}: labels are no class indices to it; nothing was "
            "loaded. Bring a model with num_class_embeds, or without labels."
        )
    if embedded is None and labels > 1:
        raise ModelError(
            f"{where}: num_class_embeds is null, and the schema has {labels} labels, for all of "
            "which it would answer alike; nothing was loaded. Set data.conditional = false, or "
            f"bring a model with num_class_embeds = {labels}."
        )
    if embedded is not None and embedded != labels:
        raise ModelError(
            f"{where}: num_class_embeds = {embedded}, the run has {labels} labels; nothing was "
            "loaded. Bring a model of the schema's labels, in their order"
            + (", or set data.conditional = true." if labels == 1 else ".")
        )


def _module(config: Mapping[str, Any], where: Path) -> nn.Module:
    try:
        from diffusers import UNet2DModel
    except ImportError:
        raise ModelError(
            f"{where}: a {CLASS} needs diffusers, which is not installed; nothing was loaded. "
            f"Run: {INSTALL}"
        ) from None
    kind: Any = UNet2DModel
    mend = "Give the config.json that save_pretrained wrote."
    with foreign.refused(f"{where}: diffusers makes no {CLASS} of it", mend):
        module: nn.Module = kind.from_config(dict(config))
    return module


def _without_labels(module: nn.Module, samples: Tensor, steps: Tensor, _labels: Tensor) -> Tensor:
    predicted: Tensor = module(samples, steps).sample
    return predicted


def _with_labels(module: nn.Module, samples: Tensor, steps: Tensor, labels: Tensor) -> Tensor:
    predicted: Tensor = module(samples, steps, class_labels=labels).sample
    return predicted
