"""The summed noisy mean embedding: what DP-MERF releases, made by silos that only add up.

A record's random Fourier features (Rahimi & Recht 2007) times the indicator of its label are summed
over a silo's records, with that silo's own Gaussian noise; the server adds the silos' sums up and
fits a generator to their mean (Harder, Adamczewski & Park 2021, equations 5 to 8, where one party
holds everything). The features are of the encoded records, the network is theirs in kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpfedsyn.clipping import clip_rows
from dpfedsyn.comparison import learning, spending
from dpfedsyn.comparison.setting import Comparison
from dpfedsyn.lattice import checked
from dpfedsyn.noise import Keystream
from dpfedsyn.sums import Points
from dpfedsyn.units import Units, added, pieces, weighed

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

SCALES = (0.25, 0.5, 1.0)
"""Lengths of the kernels, in public clip radii: their mean is the kernel."""

FREQUENCIES = 999
CODES, HIDDEN = 32, 256
STEPS, BATCH, LEARNING_RATE = 1500, 500, 2e-3
STEPS_TOLD_AT_ONCE = 500
ROWS_AT_ONCE = 2000
FARTHEST = 1e6
"""Norm that no encoded record has: angles beyond it would lose their digits, or overflow."""


@dataclass(frozen=True, eq=False)
class Features:
    """Random Fourier features of Gaussian kernels: phi(x) = (cos W x, sin W x) / sqrt F.

    Attributes:
        frequencies: W (F, d), public.
    """

    frequencies: Array

    @classmethod
    def drawn(cls, dimension: int, radius: float, key: bytes) -> Features:
        """Draw frequencies for every length in `SCALES`, as many of each."""
        lengths = np.resize(np.array(SCALES) * radius, FREQUENCIES)
        return cls(Keystream(key).normal((FREQUENCIES, dimension)) / lengths[:, None])

    @property
    def length(self) -> int:
        """Numbers in one record's features."""
        return 2 * len(self.frequencies)

    def __call__(self, x: Array) -> Array:
        """Map records (n, d) to (n, 2 F)."""
        angles = x @ self.frequencies.T
        mapped: Array = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
        return mapped / math.sqrt(len(self.frequencies))

    def sums(self, x: Array, labels: Labels, classes: int, units: Units | None = None) -> Array:
        """Return the sums of phi(x) per label, exact, shape (classes * 2 F,)."""
        sums = np.zeros((classes, self.length))
        for rows in pieces(len(x), ROWS_AT_ONCE, units):
            np.add.at(sums, labels[rows], weighed(self(x[rows]), units and units.part(rows)))
        return sums.ravel()

    def points(
        self, x: Array, labels: Labels, classes: int, spacing: float, units: Units | None = None
    ) -> Points:
        """Return the sums of phi(x) per label on a lattice, shape (classes * 2 F,).

        Guarantee:
            One record adds a vector whose norm, times the spacing, is at most 1, whatever it holds:
            cos^2 + sin^2 = 1 for every frequency, and a record that is not finite counts as 0. A
            unit of several adds the mean of such vectors.
        """
        sums = np.zeros((classes, self.length), dtype=np.int64)
        for rows in pieces(len(x), ROWS_AT_ONCE, units):
            mapped = self(clip_rows(x[rows], FARTHEST)) * (1.0 - 1e-12)
            points, whose = checked(mapped, 1.0, spacing), units and units.part(rows)
            sums += added(points, labels[rows], classes, whose)
        return sums.ravel()


def mean_embedding(
    c: Comparison, on_step: Callable[[], None], labels: Labels, rng: np.random.Generator
) -> Array:
    """Sums of random features with every silo's own noise, and a generator that is fitted to them.

    Not released here; it would be charged counts and one Gaussian mechanism with the rest.
    """
    features = Features.drawn(
        c.encoder.dimension, c.config.base.clip_radius, c.key("embedding-frequencies")
    )
    total, counts = np.zeros((c.classes, features.length)), np.zeros(c.classes)
    for silo in c.config.silos:
        spent = spending.embedding(c.config, silo, c.budgets[silo.name])
        records = c.records[silo.name]
        counts += learning.noisy_counts(c, records, spent, "embedding", silo.name)[0]
        given = records.x.astype(np.float64), records.y, c.classes
        if spent.embedding is None:
            found = features.sums(*given, records.units)
        else:
            std, key = spent.embedding.noise_multiplier, c.key("embedding", silo.name)
            summed = partial(features.points, *given, units=records.units)
            found, _ = learning.noisy(std, key, summed)
        total += found.reshape(total.shape)
        on_step()
    wanted = total / np.maximum(counts, 1.0)[:, None]
    generator = fitted(c, features, wanted, counts, on_step)
    with torch.inference_mode():
        codes = torch.from_numpy(rng.standard_normal((len(labels), CODES))).float()
        made: Array = generator(codes, torch.from_numpy(labels)).double().numpy()
    return made


class Generator:
    """A network of two hidden layers from (code, label) to an encoded record."""

    def __init__(self, classes: int, dimension: int, key: bytes) -> None:
        stream, widths = Keystream(key), (CODES + classes, HIDDEN, HIDDEN, dimension)
        self.classes = classes
        self.layers = [
            (_tensor(stream, inputs, outputs), torch.zeros(outputs, requires_grad=True))
            for inputs, outputs in pairwise(widths)
        ]

    @property
    def parameters(self) -> list[Tensor]:
        """All weights and biases."""
        return [tensor for layer in self.layers for tensor in layer]

    def __call__(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Map codes (n, CODES) and labels (n,) to records (n, d)."""
        x = torch.cat([codes, torch.nn.functional.one_hot(labels, self.classes).float()], dim=1)
        for weight, bias in self.layers[:-1]:
            x = torch.relu(torch.addmm(bias, x, weight))
        return torch.addmm(self.layers[-1][1], x, self.layers[-1][0])


def fitted(
    c: Comparison,
    features: Features,
    wanted: Array,
    counts: Array,
    on_step: Callable[[], None],
) -> Generator:
    """Return a generator whose features have the wanted means (classes, 2 F), label by label.

    Post-processing: it sees sums and counts alone. Labels without records are left as they are.
    """
    stream = Keystream(c.key("embedding-generator"))
    generator = Generator(c.classes, c.encoder.dimension, c.key("embedding-weights"))
    adam = torch.optim.Adam(generator.parameters, lr=LEARNING_RATE, foreach=False)
    present = np.flatnonzero(counts >= 1.0)
    if not len(present):
        return generator
    frequencies = torch.from_numpy(features.frequencies).float()
    target = torch.from_numpy(wanted[present]).float()
    each = math.ceil(BATCH / len(present))
    labels = torch.from_numpy(np.repeat(present, each))
    for step in range(STEPS):
        adam.param_groups[0]["lr"] = LEARNING_RATE * (1.0 - step / STEPS)
        codes = torch.from_numpy(stream.normal((len(labels), CODES))).float()
        angles = generator(codes, labels) @ frequencies.T
        mapped = torch.cat([angles.cos(), angles.sin()], dim=1) / math.sqrt(len(frequencies))
        means = mapped.reshape(len(present), each, -1).mean(dim=1)
        adam.zero_grad()
        torch.autograd.backward(((means - target) ** 2).sum())
        adam.step()
        c.on_step()
        if (step + 1) % STEPS_TOLD_AT_ONCE == 0:
            on_step()
    return generator


def _tensor(stream: Keystream, inputs: int, outputs: int) -> Tensor:
    """He et al. (2015): N(0, 2 / inputs)."""
    weight = stream.normal((inputs, outputs)) * math.sqrt(2.0 / inputs)
    return torch.from_numpy(weight).float().requires_grad_()
