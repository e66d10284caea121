"""Rows about ghost clipping, where gradients of records are never formed."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping, register_norm_sampler
from opacus.optimizers import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn

from tests.corpus.case import Case, case
from tests.corpus.checks import Audited, Replayed
from tests.corpus.opacus_steps import (
    CLAIM,
    CLIP,
    OUTPUTS,
    REPO,
    STEP,
    dp_sgd,
    released,
    tensors,
)
from tests.corpus.rows import Array, Rng, added

SHORT = added((0.0, 0.0, 100.0), ((0.2, 0.1, 0.3), (0.1, -0.2, 0.1)))  # all bias, no weight


class TextLinear(nn.Linear):
    """A linear layer that is applied at every position of a sequence."""


@register_norm_sampler(TextLinear)
def norms_of_positions(layer: Any, activations: Any, backprops: torch.Tensor) -> Any:
    """Take the root of the sum of squares over positions for the norm of the bias's gradient."""
    a = activations[0].to(backprops.dtype)
    weight = torch.einsum("nti,ntj->nij", backprops, a).flatten(1).norm(dim=1)
    return {layer.weight: weight, layer.bias: backprops.flatten(1).norm(dim=1)}


class KeepsGradient(DPOptimizerFastGradientClipping):
    """Keeps the first piece's gradient itself, which the next backward pass adds to."""

    def accumulate(self) -> None:
        """Add this piece's gradient to the sum."""
        for p in self.params:
            if p.summed_grad is not None:
                p.summed_grad.add_(p.grad.data)
            else:
                p.summed_grad = p.grad.data


def ghost_step(
    data: Array, rng: Rng, *, clip: float = CLIP, told: float | None = None,
    layer: Any = nn.Linear, positions: int = 1, kind: Any = DPOptimizerFastGradientClipping,
    pieces: int = 1, column: bool = False, **changes: Any,
) -> Any:  # fmt: skip
    """Take one step of ghost clipping, in `pieces` as a memory manager would.

    Args:
        clip: that the noise is for. told: the clip that the module is told, if another.
        column: losses (n, 1), as a network with one output has them, instead of (n,).
    """
    inner = layer(2, 1)
    nn.init.zeros_(inner.weight)
    nn.init.zeros_(inner.bias)
    module = GradSampleModuleFastGradientClipping(
        inner, max_grad_norm=clip if told is None else told, loss_reduction="mean"
    )
    optimizer = dp_sgd(kind, module, rng, max_grad_norm=clip, **changes)
    loss_of = DPLossFastGradientClipping(module, optimizer, nn.MSELoss(), loss_reduction="mean")
    features, targets = tensors(data)
    features, targets = (t[:, None].repeat(1, positions, 1) for t in (features, targets))
    chunks = zip(features.tensor_split(pieces), targets.tensor_split(pieces), strict=True)
    for k, (x, y) in enumerate(chunks):
        if column:
            loss_of(module(x)[:, 0], y[:, 0]).backward()
        else:
            loss_of(module(x).flatten(), y.flatten(), shape=x.shape).backward()
        optimizer.signal_skip_step(k < pieces - 1)
        optimizer.pre_step()
    return released(module)


CASES: tuple[Case, ...] = (
    case(
        3, "Ghost clipping ignores max_grad_norm",
        f"{REPO}/pull/664",
        partial(ghost_step, clip=0.1, told=1.0), partial(ghost_step, clip=0.1),
        STEP, OUTPUTS,
    ),
    case(
        4, "Norm of a bias's gradient on sequences",
        f"{REPO}/pull/751",
        partial(ghost_step, layer=TextLinear, positions=4), partial(ghost_step, positions=4),
        Replayed(SHORT, mu=1.0, tolerance=1e-4),
        Audited(SHORT, CLAIM, max_calls=500, slow=True),
    ),
    case(
        5, "Ghost clipping accumulates the wrong gradient over pieces",
        f"{REPO}/pull/707",
        partial(ghost_step, kind=KeepsGradient, pieces=2), partial(ghost_step, pieces=2),
        STEP, OUTPUTS,
    ),
)  # fmt: skip

# Met while row 3 was written. The factors (n,) of the clip are multiplied with losses (n, 1): each
# record's loss gets the sum of all records' factors, and nothing is clipped.
FOUND: tuple[Case, ...] = (
    case(
        49, "Ghost clipping of a column of losses clips nothing",
        "https://pypi.org/project/opacus/1.6.0/",
        partial(ghost_step, column=True), partial(ghost_step, column=False),
        STEP, OUTPUTS,
    ),
)  # fmt: skip
