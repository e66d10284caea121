"""A small convolutional classifier of grayscale images, with public settings.

Two convolutions with pooling, a hidden layer, and a softmax (LeCun et al. 1998, section II, with
today's rectifiers and dropout). It scores synthetic images, and its hidden layer is a feature space
of few dimensions. It never reads or moves torch's global generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from dpfedsyn.errors import DataError
from dpfedsyn.threads import one_per_silo

CHANNELS = (16, 32)
HIDDEN = 64
DROPPED = 0.3
BATCH = 64
LEARNING_RATE = 2e-3
"""Of the first step; it falls linearly to 0, which steadies what few steps on synthetic images
leave."""
WEIGHT_DECAY = 1e-4
LEAST_SIDE = 4
"""Pixels: two poolings halve the image twice."""

_EPOCHS = 8
_LEAST_STEPS, _MOST_STEPS = 600, 3000
_ROWS_AT_ONCE = 1000


class ConvolutionalNetwork(nn.Module):
    """Convolution and pooling, twice; a hidden layer; one logit for each class."""

    def __init__(self, shape: tuple[int, int], classes: int, random: torch.Generator) -> None:
        super().__init__()
        first, second = CHANNELS
        flat = second * (shape[0] // 4) * (shape[1] // 4)
        # On the device "meta" no layer draws its weights from the global generator.
        self.first = nn.Conv2d(1, first, 3, padding=1, device="meta")
        self.second = nn.Conv2d(first, second, 3, padding=1, device="meta")
        self.hidden = nn.Linear(flat, HIDDEN, device="meta")
        self.output = nn.Linear(HIDDEN, classes, device="meta")
        self.to_empty(device="cpu")
        for layer in (self.first, self.second, self.hidden, self.output):
            assert layer.bias is not None
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=random)
            nn.init.zeros_(layer.bias)

    def pooled(self, images: Tensor) -> Tensor:
        """Map images (n, 1, h, w) to (n, flat)."""
        once = nn.functional.max_pool2d(nn.functional.relu(self.first(images)), 2)
        twice = nn.functional.max_pool2d(nn.functional.relu(self.second(once)), 2)
        return twice.flatten(1)

    def features(self, pooled: Tensor) -> Tensor:
        """Map (n, flat) to (n, HIDDEN), none of them negative."""
        return nn.functional.relu(self.hidden(pooled))


@dataclass(frozen=True, eq=False)
class Convolutional:
    """A trained classifier of images.

    Args:
        network: its weights. shape: (h, w) of the images.
        seen: (classes,) whether the training part had the label.
    """

    network: ConvolutionalNetwork
    shape: tuple[int, int]
    seen: NDArray[np.bool_]

    def scores(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return probabilities (m, classes) for images (m, h * w).

        A label that training lacked has probability 0.

        Raises:
            DataError: x is not (m, h * w), or not finite.
        """
        with torch.inference_mode():
            logits = self.network.output(torch.from_numpy(self.features(x)).float())
        known = np.where(self.seen, logits.double().numpy(), -np.inf)
        odds = np.exp(known - known.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
        return shares

    def features(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the hidden layer (m, HIDDEN) for images (m, h * w), without dropout.

        Raises:
            DataError: x is not (m, h * w), or not finite.
        """
        images = _images(x, self.shape)
        with torch.inference_mode(), one_per_silo():
            # In pieces: the first convolution makes 16 images of each.
            pieces = torch.split(images, _ROWS_AT_ONCE)
            layers = [self.network.features(self.network.pooled(piece)) for piece in pieces]
        return np.concatenate([layer.double().numpy() for layer in layers])


def fit(
    x: ArrayLike, y: ArrayLike, shape: tuple[int, int], classes: int, seed: int
) -> Convolutional:
    """Train on images for a number of steps that depends on the number of rows alone.

    AdamW (Loshchilov & Hutter 2019) on the cross entropy, with a learning rate that falls linearly
    to 0; batches of 64 in a new order each epoch: 8 epochs, at least about 600 and at most about
    3,000 steps. One thread, so that a seed gives the same weights again.

    Args:
        x: (n, h * w) pixels in [0, 1], row-major. y: (n,) labels in 0 ... classes - 1.
        shape: (h, w), both at least 4.
        seed: of initial weights, batches and dropout.

    Raises:
        DataError: shapes that do not fit, no rows, a value that is not finite, a label out of
            range, or images too small to be pooled twice.
    """
    images, labels = _images(x, shape), np.asarray(y, dtype=np.int64)
    if labels.shape != (len(images),) or not len(labels):
        raise DataError(
            f"{len(images)} images and labels {labels.shape} train no classifier; give (n, h * w) "
            "and (n,) with n > 0"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels go from {labels.min()} to {labels.max()}, but there are {classes} classes, so "
            f"nothing was trained; give labels in 0 ... {classes - 1}"
        )
    random = torch.Generator().manual_seed(seed)
    with one_per_silo():
        network = ConvolutionalNetwork(shape, classes, random)
        _train(network, images, torch.from_numpy(labels), random)
    return Convolutional(network, shape, np.bincount(labels, minlength=classes) > 0)


def _train(
    network: ConvolutionalNetwork, images: Tensor, labels: Tensor, random: torch.Generator
) -> None:
    adam = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, foreach=False
    )
    steps = epochs(len(images)) * math.ceil(len(images) / BATCH)
    rates = (learning_rate(step, steps) for step in range(steps))
    for _ in range(epochs(len(images))):
        for batch in torch.split(torch.randperm(len(images), generator=random), BATCH):
            adam.param_groups[0]["lr"] = next(rates)
            pooled = network.pooled(images[batch])
            # `nn.Dropout` would draw from the global generator.
            kept = torch.rand(pooled.shape, generator=random) >= DROPPED
            hidden = network.features(pooled * kept / (1.0 - DROPPED))
            loss = nn.functional.cross_entropy(network.output(hidden), labels[batch])
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()


def learning_rate(step: int, steps: int) -> float:
    """Return the learning rate of one step of so many: `LEARNING_RATE` at step 0, 0 after all."""
    return LEARNING_RATE * (1.0 - step / steps)


def epochs(rows: int) -> int:
    """Return how often all rows are seen: a function of their public number alone."""
    batches = math.ceil(rows / BATCH)
    steps = min(max(_EPOCHS * batches, _LEAST_STEPS), _MOST_STEPS)
    return math.ceil(steps / batches)


def _images(x: ArrayLike, shape: tuple[int, int]) -> Tensor:
    """Check pixels and return them as (n, 1, h, w) float32."""
    height, width = shape
    pixels = np.asarray(x, dtype=np.float32)
    if min(shape) < LEAST_SIDE or pixels.ndim != 2 or pixels.shape[1] != height * width:
        raise DataError(
            f"rows {pixels.shape} are no images of {height} x {width} pixels that can be pooled "
            f"twice; give (n, {height * width}), and sides of at least {LEAST_SIDE}"
        )
    if not np.isfinite(pixels).all():
        raise DataError("images hold NaN or infinity, so nothing was classified; mend them")
    return torch.from_numpy(pixels.copy()).reshape(-1, 1, height, width)
