"""Where every silo's DP-SGD starts: a network pretrained on samples of the released base.

Samples are decoded to records and encoded again, as whoever had only the released base would see
them. All of it is post-processing of that base, made once for all silos and kept in the run folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dpfedsyn import checkpoint
from dpfedsyn.architecture import Architecture, Arrays
from dpfedsyn.base import Base
from dpfedsyn.domain import Encoder
from dpfedsyn.pretrain import pretrain
from dpfedsyn.settings import Config

FILE = "pretrained.safetensors"
SEED = hashlib.sha256(b"dpfedsyn pretraining").digest()  # public, like all that it makes


def pretrained(
    config: Config,
    encoder: Encoder,
    base: Base,
    device: torch.device,
    on_step: Callable[[], None] = lambda: None,
) -> Arrays:
    """Return the weights that every silo starts from, by parameter name.

    Guarantee:
        A function of the released base and public settings: it reads no record and costs nothing.
    """
    classes = len(encoder.labels)
    labels = np.arange(config.pretrain.rows, dtype=np.int64) % classes
    drawn = base.draw(labels, np.random.default_rng(int.from_bytes(SEED[:8], "big")))
    return pretrain(
        encoder.still.decode(drawn.astype(np.float32), labels).x.astype(np.float64),
        labels,
        base=base,
        architecture=Architecture(config.network, encoder.dimension, classes, encoder.geometry),
        settings=config.pretrain,
        seed=SEED,
        device=device,
        on_step=on_step,
    )


def kept(folder: Path, make: Callable[[], Arrays]) -> Arrays:
    """Return the weights that a run's folder keeps, or make and keep them."""
    known = checkpoint.load(folder / FILE)
    if known is None:
        made = make()
        checkpoint.save(folder / FILE, dict(made))
        return made
    return {name: value.astype(np.float32) for name, value in known.items()}
