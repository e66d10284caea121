"""Two classifiers with a short training recipe, beside those of `dpfedsyn.metrics.utility`.

Reference figures for the digits (real images .93 and .95) were made with this recipe; the package's
own classifiers learn more from the same images. Pixels are scaled to [-1, 1]; AdamW (Loshchilov and
Hutter 2019) with batches of 64 and a learning rate that falls linearly to 0. It never reads or
moves torch's global generator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dpfedsyn.errors import DataError
from dpfedsyn.metrics.utility import checked
from dpfedsyn.threads import one_per_silo

BATCH = 64


@dataclass(frozen=True)
class Recipe:
    """How one classifier is trained; `hidden` = 0 is logistic regression."""

    epochs: int
    learning_rate: float
    weight_decay: float
    hidden: int = 0
    dropped: float = 0.0  # share of hidden units that a step leaves out


LOGISTIC = Recipe(epochs=20, learning_rate=2e-3, weight_decay=1e-2)
MLP = Recipe(epochs=15, learning_rate=1e-3, weight_decay=1e-4, hidden=256, dropped=0.2)


def accuracies(
    x: ArrayLike, y: ArrayLike, x_test: ArrayLike, y_test: ArrayLike, seed: int
) -> tuple[float, float]:
    """Return the test accuracies of logistic regression and of the network.

    Args:
        x, x_test: (n, d) and (m, d), pixels in [0, 1]. y, y_test: (n,) and (m,) labels from 0.
        seed: of initial weights, batches and dropout; both classifiers start from it.

    Raises:
        DataError: no rows, shapes that do not fit, a label below 0, or a pixel outside [0, 1].
    """
    train, test = _checked(x, y, "training"), _checked(x_test, y_test, "test")
    if train[0].shape[1] != test[0].shape[1]:
        raise DataError(
            f"training rows have {train[0].shape[1]} pixels, test rows {test[0].shape[1]}, so "
            "nothing was scored; give images of one size"
        )
    with one_per_silo():
        logistic, mlp = (_accuracy(recipe, train, test, seed) for recipe in (LOGISTIC, MLP))
    return logistic, mlp


def _accuracy(
    recipe: Recipe, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], seed: int
) -> float:
    random = torch.Generator().manual_seed(seed)
    classes = int(train[1].max()) + 1
    widths = (train[0].shape[1], *([recipe.hidden] if recipe.hidden else []), classes)
    layers = [_layer(*pair, random) for pair in pairwise(widths)]
    weights = [tensor for layer in layers for tensor in layer]
    adam = torch.optim.AdamW(
        weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=False
    )
    steps = recipe.epochs * math.ceil(len(train[0]) / BATCH)
    for step, rows in enumerate(_batches(len(train[0]), recipe.epochs, random)):
        adam.param_groups[0]["lr"] = recipe.learning_rate * (1.0 - step / steps)
        logits = _logits(layers, train[0][rows], recipe.dropped, random)
        adam.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits, train[1][rows]))
        adam.step()
    with torch.inference_mode():
        found = _logits(layers, test[0], 0.0, random).argmax(dim=1)
        return float((found == test[1]).double().mean())


def _layer(inputs: int, outputs: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weights and biases ~ U(-1, 1) / sqrt(inputs), torch's own default for a linear layer."""
    bound = 1.0 / math.sqrt(inputs)
    weight = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=random)
    bias = torch.empty(outputs).uniform_(-bound, bound, generator=random)
    return weight.requires_grad_(), bias.requires_grad_()


def _batches(rows: int, epochs: int, random: torch.Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        yield from torch.split(torch.randperm(rows, generator=random), BATCH)


def _logits(
    layers: list[tuple[Tensor, Tensor]], x: Tensor, dropped: float, random: torch.Generator
) -> Tensor:
    *hidden, last = layers
    for weight, bias in hidden:
        x = torch.relu(torch.nn.functional.linear(x, weight, bias))
        if dropped:
            x = x * (torch.rand(x.shape, generator=random) >= dropped) / (1.0 - dropped)
    return torch.nn.functional.linear(x, *last)


def _checked(x: ArrayLike, y: ArrayLike, what: str) -> tuple[Tensor, Tensor]:
    pixels, labels = checked(x, y, what)
    if not ((pixels >= 0.0) & (pixels <= 1.0)).all():
        raise DataError(
            f"{what} images hold pixels outside [0, 1], so nothing was scored; divide pixels by "
            "the largest value"
        )
    return torch.from_numpy(2.0 * pixels - 1.0).float(), torch.from_numpy(labels)
