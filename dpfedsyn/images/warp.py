"""Turn, stretch, slant and shift released pictures a little: a public map of released images.

A classifier trained on pictures that vary so learns to look past it (Simard et al. 2003, "Best
practices for convolutional neural networks"). No record takes part: this is post-processing, with
randomness that anybody may know.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]

# At amount 1, each drawn evenly from -1 ... 1 times this. Fixed in advance, for glyphs.
TURN = math.radians(12.0)
STRETCH = 0.1
SLANT = 0.15
SHIFT = 0.05  # of half a side
SEED = 1


def warped(images: Images, amount: float, first: int = 0) -> Images:
    """Return images (n, h, w) in [0, 1], each moved by up to `amount`; 0 returns them as they are.

    Args:
        first: place of the first image among all that are released: an image's movement depends on
            its place alone.
    """
    if amount == 0.0 or not len(images):
        return images
    turn, across, down, slant, right, up = _draws(len(images), first).T * amount
    sine, cosine = np.sin(TURN * turn), np.cos(TURN * turn)
    matrix = np.empty((len(images), 2, 3))
    matrix[:, 0, 0] = (1.0 + STRETCH * across) * cosine
    matrix[:, 0, 1] = SLANT * slant - sine
    matrix[:, 1, 0] = sine
    matrix[:, 1, 1] = (1.0 + STRETCH * down) * cosine
    matrix[:, 0, 2], matrix[:, 1, 2] = SHIFT * right, SHIFT * up
    return _sampled(images, matrix)


def _draws(count: int, first: int) -> NDArray[np.float64]:
    """Six numbers in (-1, 1) for each place from `first` on, (count, 6)."""
    # A counter of 256 bits goes on by one for each four numbers; eight are drawn for a place.
    generator = np.random.Generator(np.random.Philox(key=SEED).advance(2 * first))
    drawn: NDArray[np.float64] = 2.0 * generator.random((count, 8))[:, :6] - 1.0
    return drawn


def _sampled(images: Images, matrix: NDArray[np.float64]) -> Images:
    """Return images that show at (x, y) what was at matrix (x, y, 1); linear between pixels."""
    _, height, width = images.shape
    y, x = ((2 * np.arange(side) + 1) / side - 1 for side in (height, width))
    grid = np.stack([*np.meshgrid(x, y), np.ones((height, width))])
    at = np.einsum("nij,jhw->nihw", matrix, grid)
    column, row = ((at[:, k] + 1) * (side / 2) - 0.5 for k, side in ((0, width), (1, height)))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    left, top = np.floor(column), np.floor(row)
    to_right, below = (column - left).astype(np.float32), (row - top).astype(np.float32)
    number = np.arange(len(images))[:, None, None]
    total = np.zeros(at.shape[:1] + at.shape[2:], dtype=np.float32)
    for down, share_down in ((0, 1 - below), (1, below)):
        for right, share_right in ((0, 1 - to_right), (1, to_right)):
            rows = np.clip(top + 1 + down, 0, height + 1).astype(np.intp)
            columns = np.clip(left + 1 + right, 0, width + 1).astype(np.intp)
            total += share_down * share_right * padded[number, rows, columns]
    return np.clip(total, 0.0, 1.0)
