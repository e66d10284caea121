"""What a silo needs to make its model, and the one way in which a mechanism runs while it does.

Every mechanism is charged once: killed and started again, it finds its charge in the ledger, reads
back what it released or computes it again from the same key.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from accountants import Adjacency, Event, Gaussian
from accountants.ledger import Ledger
from dpfedsyn.architecture import Architecture, Arrays
from dpfedsyn.brought import BroughtModel
from dpfedsyn.budget import Budget
from dpfedsyn.data import Records
from dpfedsyn.domain import Encoder
from dpfedsyn.keys import SiloKey
from dpfedsyn.lattice import Lattice
from dpfedsyn.moments import MomentQuery, query_of
from dpfedsyn.settings import Config, SiloSettings
from dpfedsyn.sums import Points, privatise, sums_lattice

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Preparation:
    """Records and public facts of one silo, its ledger and key.

    Attributes:
        charging: held from the look whether something is charged until it is: two threads that
            both found nothing would both ask for the same row.
    """

    config: Config
    silo: SiloSettings
    records: Records
    encoder: Encoder  # public
    classes: int
    budget: Budget
    ledger: Ledger
    key: SiloKey
    folder: Path
    device: torch.device
    start: Arrays | None = None  # pretrained weights (public), or None: the silo draws its own
    brought: BroughtModel | None = None  # instead of one that is trained here
    charging: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def query(self) -> MomentQuery:
        """The moment mechanism of this silo."""
        return query_of(self.encoder.dimension, self.classes, self.config.base)

    @property
    def architecture(self) -> Architecture:
        """The network of this silo, before it has weights; where it brings none."""
        encoder, settings = self.encoder, self.config.network
        return Architecture(settings, encoder.dimension, self.classes, encoder.geometry)

    @property
    def adjacency(self) -> Adjacency:
        """The run's adjacency."""
        return Adjacency(self.config.privacy.adjacency)


def charge_once(
    preparation: Preparation, kind: str, index: int, event: Event, uses: int, group: str, draws: int
) -> tuple[bytes, Callable[[bytes | None], bytes | None]]:
    """Return (noise key, commit): a charge found in the ledger, or a new one to be committed.

    `commit(reply)` writes charge and reply together and returns the committed bytes; where the
    charge exists already it ignores its argument and returns the bytes of that time. Whoever calls
    this holds `preparation.charging` until it has committed.
    """
    ledger, key, digest = preparation.ledger, preparation.key, _digest(preparation, kind, index)
    known = ledger.find(digest)
    if known is not None:
        reply = known.reply
        return key.noise(digest, known.seq), lambda _: reply
    ticket = ledger.admit(
        digest=digest, kind=kind, group=group, event=event, uses=uses, draws=draws
    )

    def commit(reply: bytes | None) -> bytes | None:
        ledger.commit(ticket, reply)
        return reply

    return key.noise(digest, ticket.seq), commit


def noisy_sum(
    preparation: Preparation,
    kind: str,
    index: int,
    group: str,
    event: Gaussian,
    std: float,
    summed: Callable[[float], Points],
) -> tuple[Array, float]:
    """Charge one vector of sums of radius 1, and return it with its noise and the noise's std.

    Args:
        index: which of the mechanism's uses this is. summed: given the spacing of a lattice, the
            sums in whole numbers of it.

    Guarantee:
        Charge and noisy sums are committed together; asked again, the committed ones are returned
        and no noise is drawn for others.
    """
    lattice = sums_lattice(std)
    with preparation.charging:
        if (known := committed_sum(preparation, kind, index, std)) is not None:
            return known
        exact = summed(lattice.spacing)
        key, commit = charge_once(preparation, kind, index, event, 1, group, exact.size)
        noisy = commit(privatise(exact, lattice, key).tobytes())
    assert noisy is not None
    return _unpacked(noisy, lattice)


def committed_sum(
    preparation: Preparation, kind: str, index: int, std: float
) -> tuple[Array, float] | None:
    """Return what `noisy_sum` returned for this use; None: it was never asked."""
    known = preparation.ledger.find(_digest(preparation, kind, index))
    if known is None:
        return None
    assert known.reply is not None
    return _unpacked(known.reply, sums_lattice(std))


def _unpacked(noisy: bytes, lattice: Lattice) -> tuple[Array, float]:
    points = np.frombuffer(noisy, dtype=np.int64)
    return points.astype(np.float64) * lattice.spacing, lattice.std


def _digest(preparation: Preparation, kind: str, index: int) -> bytes:
    """What a ledger finds a mechanism's use by: its kind, its number and the silo's model."""
    context = (kind.encode(), index.to_bytes(8, "big"), preparation.key.model_nonce)
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in context)).digest()


def steps(config: Config, silo: SiloSettings) -> int:
    """Return how many steps of progress a silo's training makes, from the start that it has."""
    if silo.brings:
        return config.train.steps if silo.tunes else 1
    match config.train.method:
        case "dp-sgd" if config.network.kind == "none":
            return 1
        case "dp-sgd":
            return config.train.steps
        case "ensemble":
            return config.train.parts
    return 1
