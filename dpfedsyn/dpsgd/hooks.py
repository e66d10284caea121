"""Opacus's hooks, keeping per-record gradients in the form in which they are cheap.

Opacus forms every record's gradient, or (fast gradient clipping) goes backward twice and takes
float32 norms that cancelling draws defeat. Its hooks here capture activations and backprops only.
"""

from __future__ import annotations

from typing import Any

from opacus import GradSampleModule
from torch import Tensor, nn

from dpfedsyn.dpsgd.gradients import Factored, Whole


class RecordGradients(GradSampleModule):
    """`GradSampleModule` for linear layers on (B, M, in): one record is one row of M draws.

    Guarantee:
        After one backward pass through the summed losses each parameter's `grad_sample` holds the
        gradients of the single records, a record's draws summed inside its own.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, loss_reduction="sum")

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
        for parameter, gradients in _linear(module, activations[0], backprops):
            if parameter.grad_sample is not None or parameter._forward_counter != 1:
                raise AssertionError("a layer was used twice before its gradients were taken")
            parameter.grad_sample = gradients
            parameter._forward_counter = 0
        del module.max_batch_len


def _linear(module: Any, activations: Tensor, backprops: Tensor) -> list[tuple[Any, Any]]:
    if not isinstance(module, nn.Linear):
        raise AssertionError(f"no per-record gradient is known for {type(module).__name__}")
    return [
        (module.weight, Factored(backprops.double(), activations.double())),
        (module.bias, Whole(backprops.double().sum(dim=1))),
    ]
