"""A small U-Net with group normalisation: the residual network of silos that hold images.

Two resolutions, as in Ho et al. (2020, appendix B) but without attention; time and label enter each
block as a scale and shift per channel (Nichol and Dhariwal 2021, section 3.1). Batch normalisation
would mix records, which no clipping could undo.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpfedsyn.images import Geometry
from dpfedsyn.network import Network
from dpfedsyn.noise import Keystream
from dpfedsyn.parameters import TIME_FEATURES

GROUPS = 4
LAYERS = 16  # about how many pictures of full size and `channels` a backward pass remembers
NUMBERS_AT_ONCE = 2**26  # of them, or of per-record gradients: a quarter of a gigabyte


class Block(nn.Module):
    """Two 3 x 3 convolutions about a residual connection, conditioned between them."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.before = nn.GroupNorm(GROUPS, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.condition = nn.Linear(condition, 2 * channels)
        self.between = nn.GroupNorm(GROUPS, channels, affine=False)  # the condition scales it
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, pixels: Tensor, condition: Tensor) -> Tensor:
        """Map (N, channels, h, w) and conditions (N, condition) to (N, channels, h, w)."""
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        inner = self.between(self.first(functional.silu(self.before(pixels))))
        inner = self.second(functional.silu(inner * (1.0 + scale) + shift))
        result: Tensor = pixels + inner
        return result


class UNet(Network):
    """F of the denoiser in pixels; the last layers start at zero, so training starts at the base.

    Coordinates become a picture by the public basis and the picture becomes coordinates again by
    its transpose. Coordinates that move pixels (zero rows of the basis: slant and size) are part of
    the condition, and come from a linear head on the pooled features.
    """

    def __init__(self, geometry: Geometry, classes: int, channels: int) -> None:
        super().__init__()
        self.height, self.width = geometry.height, geometry.width
        # No buffer, which Opacus refuses: it is public and no part of the weights.
        self.basis = torch.from_numpy(geometry.basis).float()
        self.dimension = len(geometry.basis)
        self.linear = int(geometry.basis.any(axis=1).sum())  # coordinates that add a picture
        pose = self.dimension - self.linear
        condition = 2 * TIME_FEATURES + classes + pose
        self.enter = nn.Conv2d(1, channels, 3, padding=1)
        self.fine = Block(channels, condition)
        self.down = nn.Conv2d(channels, 2 * channels, 1)
        self.coarse = Block(2 * channels, condition)
        self.up = nn.Conv2d(2 * channels, channels, 1)
        self.refine = Block(channels, condition)
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.output = nn.Conv2d(channels, 1, 3, padding=1)
        self.pose = nn.Linear(2 * channels, pose) if pose else None
        for layer in self._last():
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        remembered = LAYERS * channels * self.height * self.width
        most = max(remembered, sum(parameter.numel() for parameter in self.parameters()))
        self.rows_at_once = max(1, NUMBERS_AT_ONCE // most)

    def draw(self, stream: Keystream) -> None:
        """Set weights from the stream, N(0, 1 / inputs); biases and the last layers are zero."""
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear) and layer not in self._last():
                    weight, bias = layer.parameters()
                    draws = torch.from_numpy(stream.normal(tuple(weight.shape)))
                    weight.copy_(draws / math.sqrt(weight[0].numel()))
                    bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Map features (..., d + 2 * TIME_FEATURES + classes) to residuals (..., d)."""
        rows = features.flatten(0, -2)
        basis = self.basis.to(rows)
        pixels = (rows[:, : self.dimension] @ basis).reshape(-1, 1, self.height, self.width)
        condition = rows[:, self.linear :]
        fine = self.fine(self.enter(pixels), condition)
        # An odd last row or column is pooled by itself and cropped again on the way up.
        pooled = functional.avg_pool2d(fine, 2, ceil_mode=True, count_include_pad=False)
        coarse = self.coarse(self.down(pooled), condition)
        above = functional.interpolate(self.up(coarse), scale_factor=2, mode="nearest")
        fine = fine + above[:, :, : self.height, : self.width]
        fine = self.refine(fine, condition)
        picture = self.output(functional.silu(self.norm(fine))).flatten(1)
        residual: Tensor = picture @ basis.T
        if self.pose is not None:
            moved = self.pose(functional.silu(coarse).mean(dim=(2, 3)))
            residual = torch.cat([residual[:, : self.linear], moved], dim=1)
        return residual.reshape(*features.shape[:-1], self.dimension)

    def _last(self) -> list[nn.Conv2d | nn.Linear]:
        return [self.output] if self.pose is None else [self.output, self.pose]
