"""Opacus's optimizer with the parts replaced on which the guarantee rests.

Opacus 1.6 divides by a batch size that it computes from the private record count, sums norms in
float32 (which lets 1.0025 C through at a million parameters) and draws noise from a Mersenne
Twister. Here the divisor is public, norms and sums are float64 and noise is cryptographic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from opacus.optimizers import DPOptimizer
from opacus.optimizers.optimizer import _check_processed_flag, _mark_as_processed
from torch import Tensor

from dpfedsyn.dpsgd.gradients import Gradients, gradients_of
from dpfedsyn.noise import Keystream

DECLARED_SLACK = 1e-6


def clip_scales(samples: Sequence[Tensor | Gradients], clip: float) -> tuple[Tensor, Tensor]:
    """Return (scale, finite), both (B,): the factor that brings each record's gradient to `clip`.

    Args:
        samples: for each parameter the gradients of B records; a tensor (B, *shape) has one a row.

    Guarantee:
        A record whose gradient holds a non-finite number counts as zero, before clipping; every
        other record's gradient times its scale has L2 norm at most clip * (1 + 1e-6). Norms are
        accumulated in float64.
    """
    gradients = [gradients_of(sample) for sample in samples]
    finite = torch.stack([part.finite() for part in gradients]).all(dim=0)
    norms = torch.stack([part.squares(finite) for part in gradients]).sum(dim=0).sqrt()
    return torch.clamp(clip / norms.clamp_min(1e-300), max=1.0), finite


class PublicRateOptimizer(DPOptimizer):
    """`DPOptimizer` with a public divisor, float64 clipping and noise from a keystream.

    Guarantee:
        One step is the Gaussian mechanism with sensitivity C (1 + 1e-6) under add-or-remove:
        grad = (sum of clipped per-record gradients + N(0, (noise_multiplier C (1 + 1e-6))^2)) /
        expected_batch_size, whatever the records are. The divisor is public; an empty batch is
        noise alone and is a step like any other. A record's gradient is what the backward pass
        gives, whose float32 rounding may depend on the shape of the batch; the slack has to hold
        that as well.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        noise_multiplier: float,
        clip: float,
        expected_batch_size: float,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=clip,
            expected_batch_size=expected_batch_size,
            loss_reduction="mean",
        )
        self.keystream: Keystream | None = None

    def use(self, keystream: Keystream) -> None:
        """Draw the noise of the coming steps from this stream."""
        self.keystream = keystream

    @property
    def accumulated_iterations(self) -> int:
        """1: into how many pieces a batch was cut must not change the public divisor."""
        return 1

    def clip_and_accumulate(self) -> None:
        """Clip each record's gradient and add it to `p.summed_grad`, in float64."""
        samples = self.grad_samples
        for sample in samples:
            _check_processed_flag(sample.parts)
        scale, finite = clip_scales(samples, self.max_grad_norm)
        for parameter, sample in zip(self.params, samples, strict=True):
            total, before = sample.total(scale, finite), parameter.summed_grad
            parameter.summed_grad = total if before is None else before + total
            _mark_as_processed(sample.parts)

    def _get_flat_grad_sample(self, p: Any) -> Gradients:
        """Called by `grad_samples`, once for each parameter."""
        return gradients_of(p.grad_sample)

    def add_noise(self) -> None:
        """Add the step's noise, drawn once per logical batch from the keystream."""
        if self.keystream is None:
            raise AssertionError("a step without a keystream would be a step without noise")
        std = self.noise_multiplier * self.max_grad_norm * (1.0 + DECLARED_SLACK)
        for parameter in self.params:
            _check_processed_flag(parameter.summed_grad)
            noise = torch.from_numpy(self.keystream.normal(tuple(parameter.shape)))
            noisy = parameter.summed_grad + std * noise.to(parameter.device)
            parameter.grad = noisy.to(parameter.dtype).view_as(parameter)
            _mark_as_processed(parameter.summed_grad)
