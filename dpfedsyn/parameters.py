"""How many numbers a residual network has: from public settings, without building it.

The noise of a DP-SGD step has as many draws, and a plan counts them before there is a network.
"""

from __future__ import annotations

from dpfedsyn.settings import NetworkSettings

TIME_FEATURES = 8


def parameters(settings: NetworkSettings, dimension: int, classes: int, pose: int = 0) -> int:
    """Return dim(theta) of the network that these settings ask for.

    Args:
        dimension: coordinates d of a record. pose: those of an image that move its pixels.
    """
    if settings.kind == "none":
        return 0
    if settings.kind == "unet":
        return _unet(settings.channels, 2 * TIME_FEATURES + classes + 2 * pose, pose)
    inputs = dimension + 2 * TIME_FEATURES + classes
    return settings.hidden * (inputs + 1) + dimension * (settings.hidden + 1)


def _unet(channels: int, condition: int, pose: int) -> int:
    wide = 2 * channels
    blocks = 2 * _block(channels, condition) + 2 * _block(wide, condition)
    ends = _convolution(2, channels, 3) + _convolution(channels, 1, 3)
    between = _convolution(channels, wide, 2) + _convolution(wide, 4 * channels, 1)
    return blocks + ends + between + 2 * channels + pose * (wide + 1)


def _block(channels: int, condition: int) -> int:
    """Count one affine norm, two convolutions and the layer of their condition."""
    conditioned = 2 * channels * (condition + 1)
    return 2 * channels + 2 * _convolution(channels, channels, 3) + conditioned


def _convolution(into: int, out: int, size: int) -> int:
    return out * (into * size * size + 1)
