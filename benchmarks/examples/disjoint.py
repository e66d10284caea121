"""Four silos that share no digit, their trained DDPMs, and who tells the silos' samples apart.

Nothing here is private: what is measured is the sampler, and its models should be good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dpfedsyn.architecture import Architecture
from dpfedsyn.base import LEAST_VARIANCE, AnalyticBase
from dpfedsyn.images import archive
from dpfedsyn.images.encoder import ImageEncoder
from dpfedsyn.images.schema import ImageSchema
from dpfedsyn.metrics import convolutional
from dpfedsyn.metrics.convolutional import Convolutional
from dpfedsyn.metrics.frechet import frechet
from dpfedsyn.network import Denoiser
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import noised, record_losses
from dpfedsyn.settings import NetworkSettings
from dpfedsyn.threads import one_per_silo

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Pictures = NDArray[np.float32]


@dataclass(frozen=True)
class Setting:
    """What the figures depend on, beside the archive of images.

    Attributes:
        example: whose schema encodes the images. digits: of each silo; digits that are easily
            mistaken for one another share a silo, so that the classifier's own error stays small.
        weights: the wanted shares. images: that each silo trains on. judged, tested: that the
            classifier trains on, and is scored on. rows: samples of a pass.
        hidden, data_std: of the networks. steps, batch, learning_rate: of their training.
    """

    example: str = "mnist"
    digits: tuple[tuple[int, ...], ...] = ((0, 6), (1, 2, 7), (3, 5, 8), (4, 9))
    weights: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    images: int = 2500
    judged: int = 10_000
    tested: int = 5000
    rows: int = 4000
    hidden: int = 1024
    data_std: float = 0.5
    steps: int = 5000
    batch: int = 128
    learning_rate: float = 1e-3
    seed: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The silos, named by their digits."""
        return tuple("".join(map(str, own)) for own in self.digits)

    def encoder(self) -> ImageEncoder:
        """The example's public encoder; the federation knows no labels."""
        schema = files("dpfedsyn") / "examples" / self.example / "schema.toml"
        return ImageEncoder(ImageSchema.load(Path(str(schema))), conditional=False)


@dataclass(frozen=True, eq=False)
class Judge:
    """A classifier that assigns pictures (N, pixels) to silos by the digit that it sees.

    Attributes:
        silo: (classes,) the silo that holds each digit. accuracy: on real images, of silos.
        reference: (rows, f) features of real images in the wanted shares.
    """

    classifier: Convolutional
    silo: Labels
    accuracy: float
    reference: Array

    def silos(self, pictures: Pictures) -> Labels:
        """Return the silo (N,) that each picture most likely comes from."""
        found: Labels = self.silo[self.classifier.scores(pictures).argmax(axis=1)]
        return found

    def distance(self, pictures: Pictures) -> float:
        """Return the Frechet distance to real images, in the classifier's features."""
        return frechet(self.reference, self.classifier.features(pictures))


@dataclass(frozen=True, eq=False)
class Federation:
    """The silos' models by name, the encoder of what they model, and the judge."""

    models: Mapping[str, Denoiser]
    encoder: ImageEncoder
    judge: Judge

    def pictures(self, x: NDArray[np.float32]) -> Pictures:
        """Decode samples (N, d) to pictures (N, pixels)."""
        return decoded(self.encoder, x)


def prepare(setting: Setting, images: Path, say: Callable[[str], None]) -> Federation:
    """Train every silo's model and the judge, on images that no two of them share."""
    encoder = setting.encoder()
    pictures, digits = archive.read(images, encoder.schema)
    silo = np.full(len(encoder.schema.labels), -1)
    for k, own in enumerate(setting.digits):
        silo[list(own)] = k
    order = np.random.default_rng(setting.seed).permutation(len(pictures))
    owner = silo[digits[order]]
    models, mine = {}, [order[owner == k][: setting.images] for k in range(len(setting.digits))]
    with one_per_silo():
        for name, rows in zip(setting.names, mine, strict=True):
            key = hashlib.sha256(f"{setting.seed} {name}".encode()).digest()
            models[name] = train(encoder.encode(pictures[rows]), setting, key)
            say(f"silo shares: trained the model of digits {name} on {len(rows)} images")
    rest = order[(owner >= 0) & ~np.isin(order, np.concatenate(mine))]
    judge = _judge(setting, encoder, pictures[rest], digits[rest], silo)
    say(f"silo shares: the classifier finds the silo of {judge.accuracy:.2%} of real images")
    return Federation(models, encoder, judge)


def decoded(encoder: ImageEncoder, x: NDArray[np.float32]) -> Pictures:
    """Decode vectors (N, d) of a federation without labels."""
    return encoder.decode(x, np.zeros(len(x), dtype=np.int64)).plain


def train(x: NDArray[np.float32], setting: Setting, key: bytes) -> Denoiser:
    """Return a DDPM of x (n, d): a Gaussian's exact denoiser and a network for the rest of it.

    Adam on batches of records, with a learning rate that goes to 0 as half a cosine.
    """
    base, stream, cpu = _gaussian(x.astype(np.float64)), Keystream(key), torch.device("cpu")
    settings = NetworkSettings(hidden=setting.hidden, data_std=setting.data_std)
    network = Architecture(settings, x.shape[1], classes=1).drawn(stream)
    adam = torch.optim.Adam(network.parameters(), lr=setting.learning_rate)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, setting.steps)
    labels = np.zeros(setting.batch, dtype=np.int64)
    for _ in range(setting.steps):
        chosen = (stream.words(setting.batch) % np.uint64(len(x))).astype(np.int64)
        batch = noised(x[chosen].astype(np.float64), labels, base, 1, stream)
        losses = record_losses(network, batch, settings, 1, cpu)
        adam.zero_grad()
        torch.autograd.backward(losses.mean())
        adam.step()
        rate.step()
    return Denoiser(base, network, settings, cpu)


def _gaussian(x: Array) -> AnalyticBase:
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    return AnalyticBase(x.mean(axis=0)[None], np.maximum(values, LEAST_VARIANCE), vectors)


def _judge(
    setting: Setting,
    encoder: ImageEncoder,
    images: NDArray[np.float32],
    digits: Labels,
    silo: Labels,
) -> Judge:
    """Train the classifier on the first images, score it on the next, compare with the last.

    It sees them decoded: a sample has no more detail than its coordinates.
    """

    def pictures(rows: Labels) -> Pictures:
        return decoded(encoder, encoder.encode(images[rows]))

    learnt, tested, last = np.split(
        np.arange(len(images)), [setting.judged, setting.judged + setting.tested]
    )
    shape, classes = images.shape[1:], len(silo)
    classifier = convolutional.fit(pictures(learnt), digits[learnt], shape, classes, setting.seed)
    found = silo[classifier.scores(pictures(tested)).argmax(axis=1)]
    accuracy = float((found == silo[digits[tested]]).mean())
    owner = silo[digits[last]]
    counts = [round(weight * setting.rows) for weight in setting.weights]
    chosen = np.concatenate([last[owner == k][:count] for k, count in enumerate(counts)])
    return Judge(classifier, silo, accuracy, classifier.features(pictures(chosen)))
