"""What the evaluation may look at: every silo's real records and models, and public facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.comparison import Comparison
from dpfedsyn.data import Records
from dpfedsyn.domain import Encoder
from dpfedsyn.metrics.coverage import NEIGHBOURS
from dpfedsyn.silo import Model

Array = NDArray[np.float64]

SILO = "silo "  # a name that no column can have: they are stripped


@dataclass(frozen=True)
class Evaluated:
    """A run as its internal evaluation sees it; silos in one order.

    Attributes:
        comparison: training records, budgets and settings, as the trained baselines need them.
        test: real rows to test on.
        models: of the run.
        bases: the same with a network of zeros.
        label_shares: (classes,) of the mixture.
    """

    comparison: Comparison
    test: Mapping[str, Records]
    models: Mapping[str, Model]
    bases: Mapping[str, Model]
    label_shares: Array

    @property
    def train(self) -> Mapping[str, Records]:
        """The training part of every silo."""
        return self.comparison.records

    @property
    def encoder(self) -> Encoder:
        """Of records and synthetic rows."""
        return self.comparison.encoder

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of images; None for tables."""
        geometry = self.encoder.geometry
        return None if geometry is None else (geometry.height, geometry.width)


def possible(federation: Evaluated, rows: int) -> bool:
    """Whether there are real rows to train on and to test on, and synthetic rows with neighbours.

    Args:
        rows: of the smallest synthetic table.
    """
    return rows > NEIGHBOURS and all(
        any(len(part) for part in parts.values()) for parts in (federation.train, federation.test)
    )


def pooled(parts: Mapping[str, Records]) -> Records:
    """Return all silos' records as one set that remembers each record's silo (`groups`)."""
    parts = {name: p for name, p in parts.items() if len(p)} or dict(parts)
    together = list(parts.values())
    shared = set.intersection(*(set(p.groups) for p in together))
    groups = {c: np.concatenate([p.groups[c] for p in together]) for c in sorted(shared)}
    owners = [np.full(len(p), name, dtype=object) for name, p in parts.items()]
    return Records(
        np.concatenate([p.x for p in together]),
        np.concatenate([p.y for p in together]),
        tuple(f"{name}/{i}" for name, p in parts.items() for i in p.ids),
        plain=np.concatenate([p.plain for p in together]),
        groups={**groups, SILO: np.concatenate(owners)},
    )
