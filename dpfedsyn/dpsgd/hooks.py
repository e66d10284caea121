"""Opacus's hooks, keeping per-record gradients in the form in which they are cheap.

Opacus forms every record's gradient, or (fast gradient clipping) goes backward twice and takes
float32 norms that cancelling draws defeat. Its hooks here capture activations and backprops only.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from opacus import GradSampleModule
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from dpfedsyn.dpsgd.gradients import Factored, Gradients, Whole
from dpfedsyn.dpsgd.validation import KNOWN, unsupported
from dpfedsyn.errors import ModelError


class RecordGradients(GradSampleModule):
    """`GradSampleModule` for networks on (B, M, features): a record is M rows, its draws.

    Layers inside may see (B, M, ...) or (B M, ...), a record's rows together. What mixes records
    between layers is not seen here: see `dpfedsyn.dpsgd.probe`.

    Raises:
        ModelError: names each layer that mixes records, or whose gradients are not known; a layer
            that was used twice, or on rows that are not a record's each.

    Guarantee:
        After one backward pass through the summed losses each parameter's `grad_sample` holds the
        gradients of the single records, a record's draws summed inside its own.
    """

    records = 0
    features: Tensor | None = None

    def __init__(self, network: nn.Module) -> None:
        if faults := unsupported(network):
            shown = "".join(f"\n  {fault}" for fault in faults)
            raise ModelError(f"DP-SGD cannot take this network, so nothing was trained:{shown}")
        super().__init__(network, loss_reduction="sum")
        for layer in network.modules():
            if type(layer) in KNOWN:
                # Opacus's hooks see layers in this mode alone; to these it makes no difference.
                layer.train()

    def forward(self, features: Tensor) -> Any:
        """Run the network on (B, M, features) and remember which rows make a record."""
        self.records, self.features = len(features), features
        return super().forward(features)

    def backward(self, losses: Tensor) -> None:
        """Go backward through the losses (B,) of the last `forward`, whose features need gradients.

        The gradient that is asked for is that of the features: autograd forms no sum over records
        of any parameter's, which nobody may see, and the hooks see every layer.
        """
        if self.features is None:
            raise AssertionError("a backward pass needs a forward pass of its own")
        torch.autograd.grad(losses.sum(), self.features)
        self.features = None

    def capture_backprops_hook(
        self,
        module: nn.Module,
        _forward_input: Any,
        forward_output: tuple[Tensor],
        loss_reduction: str,
        batch_first: bool,
    ) -> None:
        """Set `grad_sample` of the layer's parameters; called by autograd."""
        if not self.hooks_enabled:
            return
        activations, backprops = self.rearrange_grad_samples(
            module=module,
            backprops=forward_output[0].detach(),
            loss_reduction=loss_reduction,
            batch_first=batch_first,
        )
        if len(backprops) == 0 or len(backprops) % self.records:
            raise self._refusal(
                module,
                f"it is given {len(backprops)} rows where there are {self.records} records, so "
                "that whose they are is not known; keep records in dimension 0",
            )
        for parameter, gradients in _gradients(module, activations[0], backprops, self.records):
            if not parameter.requires_grad:
                continue
            if parameter.grad_sample is not None or parameter._forward_counter != 1:
                raise self._refusal(
                    module,
                    "it is used twice in a pass, and gradients are taken of single uses; give each "
                    "use a layer of its own",
                )
            parameter.grad_sample = gradients
            parameter._forward_counter = 0
        del module.max_batch_len

    def _refusal(self, layer: nn.Module, fault: str) -> ModelError:
        names = {id(module): name for name, module in self._module.named_modules()}
        return ModelError(f"{names[id(layer)] or 'the module'} ({type(layer).__name__}): {fault}.")


def _gradients(
    module: Any, activations: Tensor, backprops: Tensor, records: int
) -> list[tuple[Any, Gradients]]:
    """Return (parameter, its gradients per record) of a layer; draws are summed here."""
    if isinstance(module, nn.Linear):
        g = backprops.reshape(records, -1, backprops.shape[-1])
        a = activations.reshape(records, -1, activations.shape[-1])
        own: list[tuple[Any, Gradients]] = [(module.weight, Factored(g, a))]
        return own if module.bias is None else [*own, (module.bias, Whole(g.sum(dim=1)))]
    if isinstance(module, nn.Conv2d):
        return _convolution(module, activations, backprops, records)
    if isinstance(module, nn.GroupNorm):
        normal = functional.group_norm(activations, module.num_groups, eps=module.eps)
        sides = ((module.weight, normal * backprops), (module.bias, backprops))
        return [(p, Whole(_over_pixels(values, records))) for p, values in sides]
    raise AssertionError(f"no per-record gradient is known for {type(module).__name__}")


def _convolution(
    module: nn.Conv2d, activations: Tensor, backprops: Tensor, records: int
) -> list[tuple[Any, Gradients]]:
    """One convolution with a group for each record: its weights' gradient is the records' own."""
    shape = (records * module.out_channels, *module.weight.shape[1:])
    a, g = _groups(activations, records), _groups(backprops, records)
    rows: Tensor = conv2d_weight(
        a, shape, g, module.stride, module.padding, module.dilation, records
    )
    rows = rows.reshape(records, *module.weight.shape)
    own: list[tuple[Any, Gradients]] = [(module.weight, Whole(rows))]
    if module.bias is None:
        return own
    return [*own, (module.bias, Whole(_over_pixels(backprops, records)))]


def _groups(rows: Tensor, records: int) -> Tensor:
    """Bring (B M, channels, h, w) to (M, B channels, h, w)."""
    return rows.reshape(records, -1, *rows.shape[1:]).transpose(0, 1).flatten(1, 2)


def _over_pixels(values: Tensor, records: int) -> Tensor:
    """Sum (B M, channels, ...) over draws and places to (B, channels)."""
    channels, places = values.shape[1], math.prod(values.shape[2:])
    by_record = values.reshape(records, -1, channels, places)
    return by_record.sum(dim=(1, 3), dtype=torch.float64)
