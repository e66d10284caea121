"""A small U-Net with group normalisation: the residual network of silos that hold images.

It sees two pictures, the noisy sample and what the base makes of it, on the smallest grid that
holds their frequencies. Two resolutions, as in Ho et al. (2020, appendix B) but without attention;
time, label and pose enter each block as a scale and shift per channel (Nichol and Dhariwal 2021,
section 3.1). Batch normalisation would mix records, which no clipping could undo.
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
LAYERS = 24  # about how many pictures of full size and `channels` a backward pass remembers
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
        grid = geometry.smallest()
        self.size = (grid.height, grid.width)
        # No buffer, which Opacus refuses: it is public and no part of the weights.
        self.basis = torch.from_numpy(grid.basis).float()
        self.dimension, self.linear = len(grid.basis), grid.frequencies
        pose = self.dimension - self.linear
        condition = 2 * TIME_FEATURES + classes + 2 * pose
        self.enter = nn.Conv2d(2, channels, 3, padding=1)
        self.fine = Block(channels, condition)
        self.down = nn.Conv2d(channels, 2 * channels, 2, stride=2)
        self.coarse = Block(2 * channels, condition)
        self.coarser = Block(2 * channels, condition)
        self.up = nn.Conv2d(2 * channels, 4 * channels, 1)
        self.refine = Block(channels, condition)
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.output = nn.Conv2d(channels, 1, 3, padding=1)
        self.pose = nn.Linear(2 * channels, pose) if pose else None
        for layer in self._last():
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        remembered = LAYERS * channels * grid.height * grid.width
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
        """Map features (..., 2 d + 2 * TIME_FEATURES + classes) to residuals (..., d)."""
        rows = features.flatten(0, -2)
        basis = self.basis.to(rows)
        guess, noisy = rows[:, : self.dimension], rows[:, self.dimension : 2 * self.dimension]
        given = rows[:, 2 * self.dimension :]
        pictures = (torch.stack([noisy, guess], dim=1) @ basis).reshape(-1, 2, *self.size)
        condition = torch.cat([noisy[:, self.linear :], guess[:, self.linear :], given], dim=1)
        fine = self.fine(self.enter(pictures), condition)
        coarse = self.coarse(self.down(fine), condition)
        coarse = self.coarser(coarse, condition)
        fine = self.refine(functional.pixel_shuffle(self.up(coarse), 2) + fine, condition)
        picture = self.output(functional.silu(self.norm(fine))).flatten(1)
        residual: Tensor = picture @ basis.T
        if self.pose is not None:
            moved = self.pose(functional.silu(coarse).mean(dim=(2, 3)))
            residual = torch.cat([residual[:, : self.linear], moved], dim=1)
        return residual.reshape(*features.shape[:-1], self.dimension)

    def _last(self) -> list[nn.Conv2d | nn.Linear]:
        return [self.output] if self.pose is None else [self.output, self.pose]
