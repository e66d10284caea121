"""Opacus's optimizer with the parts replaced on which the guarantee rests.

Opacus 1.6 divides by a batch size that it computes from the private record count, sums norms in
float32 (which lets 1.0025 C through at a million parameters) and draws noise from a Mersenne
Twister. Here the divisor is public, gradients are clipped and summed in integers, and the noise on
them is exact and cryptographic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from opacus.optimizers import DPOptimizer
from opacus.optimizers.optimizer import _check_processed_flag, _mark_as_processed
from torch import Tensor

from dpfedsyn.dpsgd.gradients import Gradients, activation_bits, gradients_of
from dpfedsyn.errors import MechanismError
from dpfedsyn.lattice import Lattice, lattice_for
from dpfedsyn.noise import Keystream

DECLARED_SLACK = 1e-6
"""By how much of itself DP-SGD's sensitivity is declared larger, for float32 gradients."""

LEAST_NOISE_MULTIPLIER = 2.0**-30
MOST_SUM = 2.0**61  # lattice points
CACHED = 2**19  # numbers of per-record gradients that are worked on at once
PROVEN = 1.0 - 2.0**-18  # of a squared norm: `squares` lies below it by at most 2^-20


def clip_scales(samples: Sequence[Tensor | Gradients], clip: float) -> tuple[Tensor, Tensor]:
    """Return (scale, finite), both (B,): the factor that brings each record's gradient to `clip`.

    Args:
        samples: for each parameter the gradients of B records; a tensor (B, *shape) has one a row.

    Guarantee:
        A record whose gradient holds a non-finite number counts as zero, before clipping; every
        other record's gradient times its scale has L2 norm at most clip * (1 + 1e-6). Norms are
        accumulated in float64.
    """
    finite, squares, _ = _finite(samples)
    return _scales(squares, clip), finite


def clipped_points(
    samples: Sequence[Tensor | Gradients], clip: float, spacing: float
) -> tuple[list[Gradients], Tensor]:
    """Return the records' clipped gradients in whole numbers of the spacing, and which count (B,).

    Guarantee:
        Of a record that counts, the integers k of all parameters together satisfy
        sum k^2 <= (clip / spacing)^2: `squares` is evaluated on the integers themselves, lies below
        the exact sum by at most 2^-20 of it, and has to lie below the limit by 2^-18. No rounding
        of a norm, of the clipping or of a sum over records is left to be charged.
    """
    bound = clip / spacing
    finite, squares, gradients = _finite(samples)
    # Rounding factors to whole numbers may add a little length, for which there has to be room.
    scale = _scales(squares, clip * (1.0 - 2.0 ** (2 - activation_bits(bound))))
    points = [part.on_lattice(scale, spacing, bound) for part in gradients]
    return points, finite & (_squares(points) <= bound**2 * PROVEN)


def _finite(samples: Sequence[Tensor | Gradients]) -> tuple[Tensor, Tensor, list[Gradients]]:
    """Return which records are finite (B,), squared norms (B,) and gradients in float64.

    Both are 0 for a record that is not finite. Squares of what comes from float32 do not overflow,
    so that they are finite where all numbers are, and nowhere else.
    """
    gradients = [gradients_of(sample).double() for sample in samples]
    squares = _squares(gradients)
    finite = torch.isfinite(squares)
    if not bool(finite.all()):
        gradients = [part.kept(finite) for part in gradients]
        squares = torch.where(finite, squares, 0.0)
    return finite, squares, gradients


def _pieces(gradients: Sequence[Gradients]) -> Iterator[list[Gradients]]:
    """Yield a few records' gradients at a time, which stay in a processor's cache.

    Sums are exact, so that pieces change no bit. A batch without records is one piece.
    """
    records = len(gradients[0].parts[0])
    numbers = sum(part.numel() for sample in gradients for part in sample.parts)
    size = max(1, records * CACHED // max(numbers, 1))
    for start in range(0, max(records, 1), size):
        yield [sample.of(slice(start, start + size)) for sample in gradients]


def _squares(gradients: Sequence[Gradients]) -> Tensor:
    return torch.stack([part.squares() for part in gradients]).sum(dim=0)


def _scales(squares: Tensor, clip: float) -> Tensor:
    return torch.clamp(clip / squares.sqrt().clamp_min(1e-300), max=1.0)


def gradient_lattice(noise_multiplier: float, clip: float) -> Lattice:
    """Return the lattice of a step's summed gradients, with noise of at least the declared std.

    As fine as the sampler's cells allow: a 2^40th of the clip for noise of up to half a clip, a
    2^26th for 5000 clips. Where gradients are products of factors, either factor gets about half of
    these bits.

    Raises:
        MechanismError: noise of less than 2^-30 clips; sums would not fit their integers.
    """
    std = noise_multiplier * clip * (1.0 + DECLARED_SLACK)
    if not noise_multiplier >= LEAST_NOISE_MULTIPLIER:
        raise MechanismError(
            f"a noise multiplier of {noise_multiplier:g} leaves the lattice of the gradients too "
            "fine for integers of 64 bits. Nothing was trained. Ask for at least "
            f"{LEAST_NOISE_MULTIPLIER:.3g}."
        )
    bits = min(40, 39 - math.ceil(math.log2(noise_multiplier)))
    return lattice_for(std, clip * 2.0 ** (20 - bits))


class PublicRateOptimizer(DPOptimizer):
    """`DPOptimizer` with a public divisor, clipping and sums in integers, and a keystream's noise.

    Guarantee:
        One step is the Gaussian mechanism with sensitivity C (1 + 1e-6) under add-or-remove:
        grad = (sum of clipped per-record gradients + N(0, (noise_multiplier C (1 + 1e-6))^2)) /
        expected_batch_size, rounded afterwards, whatever the records are: gradients lie on a
        lattice, where each has norm <= C in integers, their sum is exact and the noise is a rounded
        Gaussian. The divisor is public; an empty batch is noise alone and is a step like any other.
        A record's gradient is what the backward pass gives, whose float32 rounding may depend on
        the shape of the batch: the slack is for that alone.

    Attributes:
        lattice: of the summed gradients: `p.summed_grad` counts its spacings, in int64.

    Raises:
        MechanismError: noise or batch so large, or noise so small, that integers could overflow.
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
        self.lattice = gradient_lattice(noise_multiplier, clip)
        self.keystream: Keystream | None = None
        if not expected_batch_size * clip <= MOST_SUM * self.lattice.spacing:
            raise MechanismError(
                f"a batch of {expected_batch_size:g} records: the sum of their gradients, each up "
                f"to {clip / self.lattice.spacing:.3g} lattice points long, could leave 64 bits. "
                "Nothing was trained. Lower train.sampling_rate."
            )

    def use(self, keystream: Keystream) -> None:
        """Draw the noise of the coming steps from this stream."""
        self.keystream = keystream

    @property
    def accumulated_iterations(self) -> int:
        """1: into how many pieces a batch was cut must not change the public divisor."""
        return 1

    def clip_and_accumulate(self) -> None:
        """Clip each record's gradient and add it to `p.summed_grad`, in whole numbers."""
        samples = self.grad_samples
        for sample in samples:
            _check_processed_flag(sample.parts)
        clip, spacing = self.max_grad_norm, self.lattice.spacing
        for piece in _pieces(samples):
            points, counting = clipped_points(piece, clip, spacing)
            for parameter, part in zip(self.params, points, strict=True):
                total, before = part.kept(counting).total(clip / spacing), parameter.summed_grad
                parameter.summed_grad = total if before is None else before + total
        for sample in samples:
            _mark_as_processed(sample.parts)

    def _get_flat_grad_sample(self, p: Any) -> Gradients:
        """Called by `grad_samples`, once for each parameter."""
        return gradients_of(p.grad_sample)

    def add_noise(self) -> None:
        """Add the step's noise, drawn once per logical batch from the keystream."""
        if self.keystream is None:
            raise AssertionError("a step without a keystream would be a step without noise")
        for parameter in self.params:
            _check_processed_flag(parameter.summed_grad)
            noise = torch.from_numpy(self.lattice.noise(self.keystream, parameter.numel()))
            noisy = parameter.summed_grad + noise.to(parameter.device).view_as(parameter)
            parameter.grad = (noisy.double() * self.lattice.spacing).to(parameter.dtype)
            _mark_as_processed(parameter.summed_grad)
