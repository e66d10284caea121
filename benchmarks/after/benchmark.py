"""Distilled rows beside the collaboration's: what classifiers learn from them, and their speed.

Whole runs of `hospitals` and `digits` by their own presets on several splits; from the rows of each
as many are distilled, with several seeds. The same classifiers are trained on both and tested on
the run's held-out real rows, which is internal evaluation.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Figures, Target, say
from benchmarks.run.splits import Mean
from dpfedsyn import config as configuration
from dpfedsyn import domain
from dpfedsyn import run as runner
from dpfedsyn.data import Records
from dpfedsyn.distill import distil
from dpfedsyn.distill.released_run import read
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.evaluation.setting import pooled
from dpfedsyn.metrics.utility import Utility, predictions
from dpfedsyn.records import read_records

SPLITS = {"hospitals": ("after-1", "after-2", "after-3", "after-4"), "digits": ("after-1",)}
SEEDS = (1, 2, 3)
SMALL = (
    "answers.rows=200",
    "train.steps=4",
    "sampler.levels=3",
    "sampler.steps_per_level=1",
    "best.levels=3",
)
MANY = 100_000
MOST_BEHIND, LEAST_PER_MINUTE = 0.015, 100_000.0  # accuracy; rows a minute


def measure(*, smoke: bool) -> Figures:
    """Return the figures; `smoke` measures one small run, which says nothing of accuracy."""
    rows, speeds = [], []
    for example in ("hospitals",) if smoke else SPLITS:
        differences: dict[str, list[float]] = {}
        for split in SPLITS[example][: 1 if smoke else None]:
            say(f"{example}, split {split}")
            with tempfile.TemporaryDirectory(prefix="after-") as folder:
                run = Path(folder) / "run"
                _run(example, split, run, SMALL if smoke else ())
                for classifier, points in _behind(run, SEEDS[: 1 if smoke else None]):
                    differences.setdefault(classifier, []).append(points)
                if example == "hospitals":
                    speeds.append(_per_minute(run))
        rows += [_row(example, name, points) for name, points in differences.items()]
    worst = max(rows, key=lambda row: row["points behind"])
    splits = ", ".join(f"{len(names)} of {example}" for example, names in SPLITS.items())
    reason = (
        f"{worst['data']}, {worst['classifier']}: the worst of {len(rows)} means over splits "
        f"({splits}) and {len(SEEDS)} seeds each"
    )
    value, error = worst["points behind"] / 100.0, worst["standard error"]
    error = None if error is None else error / 100.0
    behind = Target(value, MOST_BEHIND, at_least=False, reason=reason, standard_error=error)
    if smoke:
        reason = "smoke: one small run of few rows says nothing of accuracy"
        behind = Target(None, MOST_BEHIND, at_least=False, reason=reason)
    reason = f"{MANY:,} rows of hospitals as a file, reading and fitting included, the slowest run"
    return Figures(
        {
            "distilled_behind": behind,
            "distilled_per_minute": Target(min(speeds), LEAST_PER_MINUTE, True, reason),
        },
        {"accuracy on real rows, points behind the collaboration's rows": rows},
    )


def _run(example: str, split: str, folder: Path, overrides: tuple[str, ...]) -> None:
    settings = (f"data.split_key={split}", "evaluate.enabled=false")
    runner.run(configuration.load(example, [*overrides, *settings]), folder)


def _behind(run: Path, seeds: tuple[int, ...]) -> Iterator[tuple[str, float]]:
    """Yield (classifier, percentage points) for every seed: the run's rows less distilled ones."""
    config = configuration.load(str(run / "config.toml"))
    encoder = domain.encoder_of(config)
    reader = encoder
    if isinstance(encoder, TableEncoder):
        reader = TableEncoder(encoder.schema.of_synthetic)
    test = pooled({n: parts.test for n, parts in read_records(config, encoder).silos.items()})
    shape = None if encoder.geometry is None else (encoder.geometry.height, encoder.geometry.width)
    own = [reader.read(run / name) for name in read(run).sources]
    for seed in seeds:
        more = distil(run, sum(map(len, own)), None, seed=seed)
        scores = [
            _accuracies(records, test, seed, shape)
            for records in (own, [reader.read(more.files[0])])
        ]
        for classifier, accuracy in scores[0].items():
            yield classifier, 100.0 * (accuracy - scores[1][classifier])


def _accuracies(
    records: list[Records], test: Records, seed: int, shape: tuple[int, int] | None
) -> dict[str, float]:
    x = np.concatenate([each.plain for each in records])
    y = np.concatenate([each.y for each in records])
    found: Utility = predictions(x, y, test.plain, seed=seed, shape=shape).utility(test.y)
    scores = {"logistic regression": found.logistic, "MLP": found.mlp, "CNN": found.cnn}
    return {name: score.accuracy for name, score in scores.items() if score is not None}


def _per_minute(run: Path) -> float:
    """Rows a minute, from reading the run's rows to the file of new ones."""
    began = time.perf_counter()
    distil(run, MANY, run / "many.csv", seed=1)
    return 60.0 * MANY / (time.perf_counter() - began)


def _row(example: str, classifier: str, points: list[float]) -> dict[str, Any]:
    mean = Mean.of(points)
    return {
        "data": example,
        "classifier": classifier,
        "points behind": mean.value,
        "standard error": mean.standard_error,
        "draws": len(points),
    }
