"""Which layers of a module DP-SGD cannot take here, by name, and what would do instead."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from opacus.validators import ModuleValidator
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

KNOWN = (nn.Linear, nn.Conv2d, nn.GroupNorm)
"""Layers whose gradients `dpfedsyn.dpsgd.hooks` takes record by record."""

PROCESSORS = ("AttnProcessor", "AttnProcessor2_0")  # of diffusers' Attention: linear layers alone

_MENDS: dict[type[nn.Module], str] = {
    nn.Embedding: "give one-hot labels to an nn.Linear without bias",
    nn.LayerNorm: "use nn.GroupNorm(1, channels)",
    nn.ConvTranspose2d: "use nn.Upsample and nn.Conv2d",
    nn.MultiheadAttention: "write its projections as nn.Linear",
    nn.RNNBase: "use convolutions, or attention of nn.Linear layers",
}


def unsupported(module: nn.Module) -> list[str]:
    """Return a sentence for each layer that DP-SGD cannot take; none: it can take the module.

    A layer mixes records (batch norm), has parameters whose gradients are not known record by
    record, shares a parameter with another one, changes what it is given, or is attention by code
    that is not known. Dropout is no fault: it is off where brought models are trained.
    """
    found = [*_shared(module)]
    for name, layer in module.named_modules():
        if (fault := _fault(layer)) is not None:
            found.append(f"{name or 'the module'} ({type(layer).__name__}): {fault}.")
    if not found:
        # What Opacus refuses beside that.
        trained = copy.deepcopy(module).train()  # as Opacus wants it
        found = [f"{error}" for error in ModuleValidator.validate(trained, strict=False)]
    return found


def _fault(layer: nn.Module) -> str | None:
    own = [p for p in layer.parameters(recurse=False) if p.requires_grad]
    if isinstance(layer, _BatchNorm):
        return (
            "batch normalisation mixes the records of a batch, which no clipping could undo; use "
            "nn.GroupNorm"
        )
    if isinstance(layer, nn.InstanceNorm2d) and layer.track_running_stats:
        return "its running statistics are of all records, without noise; use nn.GroupNorm"
    if getattr(layer, "inplace", False):
        return "it changes its input, of which gradients are taken; set inplace=False"
    processor = getattr(layer, "processor", None)
    if processor is not None and type(processor).__name__ not in PROCESSORS:
        return (
            f"its processor {type(processor).__name__} is not known to keep records apart; call "
            "set_default_attn_processor() before saving"
        )
    if own and not isinstance(layer, KNOWN):
        return f"no gradient of single records is known for it; {_mend(layer)}"
    if isinstance(layer, nn.Conv2d) and (layer.groups != 1 or isinstance(layer.padding, str)):
        return "only plain convolutions are known; set groups=1, and padding to a number"
    return None


def _mend(layer: nn.Module) -> str:
    for kind, mend in _MENDS.items():
        if isinstance(layer, kind):
            return mend
    names = ", ".join(kind.__name__ for kind in KNOWN)
    return f"build it of {names}"


def _shared(module: nn.Module) -> Iterator[str]:
    """Name parameters that two layers use: each would add its part to one record's gradient."""
    first: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        other = first.setdefault(id(parameter), name)
        if other != name and parameter.requires_grad:
            yield f"{name}: is the same parameter as {other}; give each layer one of its own."
