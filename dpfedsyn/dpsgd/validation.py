"""Which layers of a module DP-SGD cannot take here, by name, and what would do instead.

By their classes and settings alone. What code between layers does is for `dpfedsyn.dpsgd.probe`.
"""

from __future__ import annotations

from collections.abc import Iterator

from opacus.validators import ModuleValidator
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.parametrize import ParametrizationList

KNOWN = (nn.Linear, nn.Conv2d, nn.GroupNorm)
"""Layers whose gradients `dpfedsyn.dpsgd.hooks` takes record by record.

These classes and no subclass of them: one may compute something else in `forward`, in a method that
`forward` calls, or as an attribute that is asked for the weights, and its gradient would be wrong.
"""

PROCESSORS = ("AttnProcessor", "AttnProcessor2_0")  # of diffusers' Attention: linear layers alone

_MENDS: dict[type[nn.Module], str] = {
    nn.Embedding: "give one-hot labels to an nn.Linear without bias",
    nn.LayerNorm: "use nn.GroupNorm(1, channels)",
    nn.ConvTranspose2d: "use nn.Upsample and nn.Conv2d",
    nn.MultiheadAttention: "write its projections as nn.Linear",
    ParametrizationList: "call torch.nn.utils.parametrize.remove_parametrizations before saving",
    nn.RNNBase: "use convolutions, or attention of nn.Linear layers",
}


def unsupported(module: nn.Module) -> list[str]:
    """Return a sentence for each layer that DP-SGD cannot take; none: it can take the module.

    A layer mixes records (batch norm), has parameters whose gradients are not known record by
    record, shares a parameter with another one, changes what it is given, or is attention by code
    that is not known. Dropout is no fault: it is off where brought models are trained. Nor is a
    layer of whatever class none of whose parameters needs a gradient.
    """
    found = [*_shared(module)]
    for name, layer in module.named_modules():
        if (fault := _fault(layer)) is not None:
            found.append(f"{name or 'the module'} ({type(layer).__name__}): {fault}.")
    if not found:
        # What Opacus refuses beside that; it wants to be given a module in training mode.
        training = nn.Sequential(module)
        found = [f"{error}" for error in ModuleValidator.validate(training, strict=False)]
    return found


def _fault(layer: nn.Module) -> str | None:
    if isinstance(layer, _BatchNorm):
        return (
            "batch normalisation mixes the records of a batch, which no clipping could undo; use "
            "nn.GroupNorm"
        )
    if isinstance(layer, _InstanceNorm) and layer.track_running_stats:
        return "its running statistics are of all records, without noise; use nn.GroupNorm"
    if getattr(layer, "inplace", False):
        return "it changes its input, of which gradients are taken; set inplace=False"
    processor = getattr(layer, "processor", None)
    if processor is not None and not _is_known(type(processor)):
        return (
            f"its processor {type(processor).__name__} is not known to keep records apart; call "
            "set_default_attn_processor() before saving"
        )
    if type(layer) in KNOWN:
        return _known_fault(layer)
    if any(p.requires_grad for p in layer.parameters(recurse=False)):
        return f"no gradient of single records is known for it; {_mend(layer)}"
    return None


def _is_known(processor: type) -> bool:
    """Whether it is one of diffusers' own: a name alone may be anybody's."""
    return processor.__module__.split(".")[0] == "diffusers" and processor.__name__ in PROCESSORS


def _known_fault(layer: nn.Module) -> str | None:
    """What is not plain in a layer of a known class."""
    own = dict(layer.named_parameters(recurse=False))
    if others := [name for name in own if name not in ("weight", "bias")]:
        return (
            f"its weights are computed from {', '.join(others)} in every pass; call "
            "torch.nn.utils.remove_weight_norm, or remove_spectral_norm, before saving"
        )
    if not any(parameter.requires_grad for parameter in own.values()):
        return None
    if "forward" in vars(layer):
        return "its forward was replaced, and what it does is not known; leave the class's own"
    if isinstance(layer, nn.Conv2d) and not (
        layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    ):
        return (
            'only plain convolutions are known; set groups=1, padding_mode="zeros", and padding to '
            "a number"
        )
    return None


def _mend(layer: nn.Module) -> str:
    for known in KNOWN:
        if isinstance(layer, known):
            return f"it is a subclass of nn.{known.__name__}, which has to be used itself"
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
