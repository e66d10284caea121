"""Runs on images: digits with privacy on ten splits, MNIST in the authors' setting without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.examples import short
from benchmarks.record import ERROR, Target
from benchmarks.run import splits
from benchmarks.run.splits import Mean
from dpfedsyn import domain
from dpfedsyn.marking import find
from dpfedsyn.records import read_records
from dpfedsyn.settings import Config

REAL = "pooled real records (no privacy)"
BEHIND = 0.01  # accuracy on digits may trail real data by so much
MODELS = ("logistic", "mlp")
# Accuracies with 2,000 rows, ten silos of 300, Dirichlet(0.1), no privacy.
WANTED = {"logistic": 0.86, "mlp": 0.87, "cnn": 0.88}
PUBLISHED = {"logistic": 0.785, "mlp": 0.781, "cnn": 0.789}  # Hahn and Lee (2025), table 1


def digits(
    names: Sequence[str], kept: Path, overrides: Sequence[str], say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return the splits' results; each also holds the accuracies under the short recipe."""
    return splits.measure(names, kept, overrides, say, "digits", _short)


def mnist(folder: Path, kept: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the result of one partition."""
    return splits.measure(("report-0",), kept, (f'data.folder="{folder}"',), say, "mnist")


def _short(config: Config, folder: Path) -> dict[str, Any]:
    """Train the short recipe's classifiers on a run's images and on the real ones."""
    encoder = domain.encoder(config.path(config.data.schema))
    silos = read_records(config, encoder).silos.values()
    test = np.concatenate([parts.test.plain for parts in silos])
    truth = np.concatenate([parts.test.y for parts in silos])
    tables = {
        REAL: (
            np.concatenate([parts.train.plain for parts in silos]),
            np.concatenate([parts.train.y for parts in silos]),
        )
    }
    for name, file in (("default", "synthetic.npz"), ("best", "synthetic-best.npz")):
        records = encoder.read(find(folder, file))
        tables[name] = records.plain, records.y
    seed = config.evaluate.seed
    found = {k: short.accuracies(x, y, test, truth, seed) for k, (x, y) in tables.items()}
    return {"short": {name: dict(zip(MODELS, both, strict=True)) for name, both in found.items()}}


def short_table(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per training table: means over the splits under the short recipe."""
    rows = []
    for name in results[0]["short"]:
        row: dict[str, Any] = {"trained on": name}
        for model in MODELS:
            mean = Mean.of([result["short"][name][model] for result in results])
            row |= {
                f"{model} accuracy": mean.value,
                f"{ERROR}{model} accuracy": mean.standard_error,
            }
        rows.append({**row, "splits": len(results)})
    return rows


def behind(results: Sequence[dict[str, Any]], name: str, model: str, absent: str | None) -> Target:
    """By how much accuracy trails that of real data on the same splits."""
    if absent is not None:
        return Target(None, BEHIND, at_least=False, reason=absent)
    gap = splits.behind(results, name, REAL, model)
    ours, real = (splits.accuracy(results, table, model) for table in (name, REAL))
    reason = f"{ours.value:.3f} against {real.value:.3f} of real data, {len(results)} splits"
    return Target(gap.value, BEHIND, False, reason, gap.standard_error)


def behind_short(
    results: Sequence[dict[str, Any]], name: str, model: str, absent: str | None
) -> Target:
    """The same under the short recipe, with which real data reach what the target speaks of."""
    if absent is not None:
        return Target(None, BEHIND, at_least=False, reason=absent)
    found = [result["short"] for result in results]
    gap = Mean.of([scores[REAL][model] - scores[name][model] for scores in found])
    ours, real = (Mean.of([scores[table][model] for scores in found]) for table in (name, REAL))
    reason = (
        f"short training: {ours.value:.3f} against {real.value:.3f} of real data, "
        f"{len(results)} splits"
    )
    return Target(gap.value, BEHIND, False, reason, gap.standard_error)


def accuracy(results: Sequence[dict[str, Any]] | None, model: str, absent: str) -> Target:
    """The accuracy on MNIST by preset `best`."""
    if results is None:
        return Target(None, WANTED[model], at_least=True, reason=absent)
    mean = splits.accuracy(results, "best", model)
    reason = f"{len(results)} partition; the paper's figure is {PUBLISHED[model]:.3f}"
    return Target(mean.value, WANTED[model], True, reason, mean.standard_error)


def published() -> dict[str, Any]:
    """Return the authors' own figures as a row beside the measured ones."""
    row: dict[str, Any] = {"trained on": "the paper's own figures", "kind": "published"}
    return row | {f"{model} accuracy": value for model, value in PUBLISHED.items()}
