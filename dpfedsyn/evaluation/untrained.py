"""Tables to train classifiers on: ours, and the baselines that take no training of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import baselines
from dpfedsyn.data import Synthetic
from dpfedsyn.evaluation import claims
from dpfedsyn.evaluation.claims import OURS, WITHOUT_PRIVACY
from dpfedsyn.evaluation.setting import Evaluated, pooled
from dpfedsyn.weights import draw_silos

Labels = NDArray[np.int64]

MOST_ROWS = 100_000
"""Rows of any table that a classifier is trained on: more take longer, and teach it little."""


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """Rows that a classifier is trained on.

    Args:
        name, kind: for the reader. x: (n, p), as the owner of records sees them. y: (n,).
        claim: what a private baseline would promise; None of ours and without privacy.
    """

    name: str
    kind: str
    x: NDArray[np.float32]
    y: Labels
    claim: dict[str, Any] | None = None


def limited(table: TrainingTable, seed: int) -> TrainingTable:
    """Return a table of at most `MOST_ROWS` rows: those drawn at random, in the order they had."""
    rows = some(len(table.y), MOST_ROWS, np.random.Generator(np.random.Philox(seed)))
    return table if len(rows) == len(table.y) else replace(table, x=table.x[rows], y=table.y[rows])


def some(count: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return rising positions among `count`, all of them or `most` drawn at random."""
    return np.sort(rng.permutation(count)[:most])


def ours(tables: Mapping[str, Synthetic]) -> list[TrainingTable]:
    """Return the run's own synthetic rows, pass by pass."""
    return [TrainingTable(name, OURS, table.plain, table.y) for name, table in tables.items()]


def unions(
    federation: Evaluated, labels: Labels, rng: np.random.Generator, on_step: Callable[[str], None]
) -> list[TrainingTable]:
    """Return the union of local generators, and of their bases, for labels (N,)."""
    comparison, encoder, tables = federation.comparison, federation.encoder, []
    silos = draw_silos(comparison.label_weights, labels, rng)
    for group, network, name in (
        (federation.models, True, "union of local generators"),
        (federation.bases, False, "union of private bases (no network)"),
    ):
        if len(group) < len(federation.models):
            continue  # a brought model has no base
        x = baselines.union(group, silos, labels, encoder.dimension, rng)
        made = encoder.decode(x.astype(np.float32), labels)
        claim = claims.of_models(comparison, network=network)
        tables.append(
            TrainingTable(name, claims.kind_of_models(comparison), made.plain, made.y, claim)
        )
        on_step(name)
    return tables


def silos_alone(
    federation: Evaluated, rows: int, rng: np.random.Generator, on_step: Callable[[str], None]
) -> list[TrainingTable]:
    """Return what each silo's own generator makes, by its own shares of the labels."""
    comparison, encoder, tables = federation.comparison, federation.encoder, []
    claim = claims.of_models(comparison)
    for k, (silo, model) in enumerate(federation.models.items()):
        shares = comparison.label_weights[k] * federation.label_shares
        if shares.sum() > 0.0:
            name = f"{silo} alone: its own generator"
            y = rng.choice(len(shares), rows, p=shares / shares.sum()).astype(np.int64)
            x = baselines.local_samples(model, y, encoder.dimension, rng)
            made = encoder.decode(x.astype(np.float32), y)
            own = claims.of_silo(claim, silo)
            tables.append(
                TrainingTable(name, claims.kind_of_models(comparison), made.plain, made.y, own)
            )
            on_step(name)
    return tables


def real(federation: Evaluated) -> list[TrainingTable]:
    """Return the real training rows of each silo, and of all."""
    tables = [
        TrainingTable(f"{silo} alone: its real records", WITHOUT_PRIVACY, part.plain, part.y)
        for silo, part in federation.train.items()
        if len(part)
    ]
    whole = pooled(federation.train)
    last = TrainingTable("pooled real records (no privacy)", WITHOUT_PRIVACY, whole.plain, whole.y)
    return [*tables, last]
