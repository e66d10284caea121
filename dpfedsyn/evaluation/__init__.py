"""The internal evaluation: synthetic rows against held-out real ones, beside the baselines.

Its numbers are computed from real records without noise. They stay with the silos' owners: the
statement names them as unpaid, and nothing here is fed back into sampling or training.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from dpfedsyn import baselines
from dpfedsyn.data import Records, Synthetic
from dpfedsyn.diffusion import TRAINING_STEPS, signal_shares
from dpfedsyn.domain import Encoder
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.evaluation import scores, trained, untrained
from dpfedsyn.evaluation.scores import winners
from dpfedsyn.evaluation.setting import Evaluated, pooled, possible
from dpfedsyn.evaluation.side_by_side import SideBySide
from dpfedsyn.evaluation.trained import LeftOut
from dpfedsyn.evaluation.untrained import TrainingTable
from dpfedsyn.metrics.closeness import closeness
from dpfedsyn.metrics.groups import SMALL
from dpfedsyn.metrics.memorisation import memorisation
from dpfedsyn.metrics.similarity import similarity
from dpfedsyn.metrics.utility import Predictions, predictions
from dpfedsyn.progress import Progress, Silent

__all__ = ["Evaluated", "evaluate", "possible", "winners"]

DENOISING_TIMES = (50, 200, 400, 600, 800)
MOST_CLOSENESS_ROWS = 1000
INTERNAL = (
    "Not differentially private: computed from real records without noise. It stays with the "
    "owners of the records and must not be published."
)

Scored = tuple[TrainingTable, Predictions | None]


def evaluate(
    ours: Mapping[str, Synthetic],
    federation: Evaluated,
    *,
    progress: Progress | None = None,
    kept: Path | None = None,
) -> dict[str, Any]:
    """Return the tables of results.json.

    Args:
        ours: the run's synthetic rows by pass; the first is the main one.
        kept: a folder where finished trained baselines wait, in case this is interrupted.
    """
    progress = progress or Silent()
    comparison, encoder = federation.comparison, federation.encoder
    settings = comparison.config.evaluate
    rng = np.random.Generator(np.random.Philox(settings.seed))
    real, test = pooled(federation.train), pooled(federation.test)
    main = next(iter(ours.values()))
    progress.stage("evaluate", _steps(ours, federation))
    labels = main.y[: untrained.MOST_ROWS]  # samples are in no order
    before = [
        *untrained.ours(ours),
        *untrained.unions(federation, labels, rng, progress.advance),
    ]
    after = [
        *untrained.silos_alone(federation, len(labels), rng, progress.advance),
        *untrained.real(federation),
    ]
    scored, missing = _scored(federation, before, after, labels, test, progress, kept)
    tables = [table for table, _ in scored]
    lines = [scores.utility(table, found, test) for table, found in scored if found is not None]
    found = scored[0][1]
    return {
        "internal": INTERNAL,
        "test_rows": len(test.y),
        "train_rows": len(real.y),
        "utility": lines,
        "claims": {table.name: table.claim for table in tables if table.claim is not None},
        "left_out": [asdict(one) for one in missing],
        "baseline_notes": trained.notes(comparison),
        "groups": []
        if found is None
        else scores.groups(found, scored[-1][1], test, encoder.labels, settings.groups),
        "least_group": SMALL,
        "baselines_that_win": winners(lines),
        "similarity": _similarity(encoder, ours, test),
        "features": scores.features(federation, tables, real, test, settings.seed),
        "closeness": {
            name: asdict(closeness(_first(s.plain), real.plain, test.plain, seed=settings.seed))
            for name, s in ours.items()
        },
        "memorisation": {
            name: asdict(memorisation(_first(s.plain), real.plain, _first(test.plain)))
            for name, s in ours.items()
        },
        "denoising": denoising(federation, main, rng),
    }


def _steps(ours: Mapping[str, Synthetic], federation: Evaluated) -> int:
    """Return how many steps of progress there are at most (a silo may generate nothing)."""
    comparison, silos = federation.comparison, len(federation.models)
    tables = len(ours) + 2 + 2 * silos + 1 + len(trained.wanted(comparison))
    return 2 + silos + trained.steps(comparison) + tables


def _scored(
    federation: Evaluated,
    before: list[TrainingTable],
    after: list[TrainingTable],
    labels: NDArray[np.int64],
    test: Records,
    progress: Progress,
    kept: Path | None,
) -> tuple[list[Scored], list[LeftOut]]:
    """Make the trained baselines and score every table, on two threads, the longest work first."""
    beside = SideBySide()
    comparison = replace(federation.comparison, on_step=beside.check)

    def step(name: str) -> None:
        beside.check()
        progress.advance(name)

    def score(table: TrainingTable) -> Scored:
        beside.check()
        found, seed = None, comparison.config.evaluate.seed
        table = untrained.limited(table, seed)
        if len(federation.encoder.labels) > 1:
            found = predictions(table.x, table.y, test.plain, seed=seed, shape=federation.shape)
        progress.advance(table.name)
        return table, found

    def make(key: str) -> Scored | LeftOut:
        made = trained.table(comparison, key, labels, step, kept)
        if isinstance(made, LeftOut):
            progress.note(f"  {made.name} is left out: {made.reason}")
            return made
        progress.note(f"  {made.name}: made")
        return score(made)

    keys = trained.wanted(comparison)
    work: list[Callable[[], Scored | LeftOut]] = [partial(make, key) for key in keys]
    work += [partial(score, table) for table in (*before, *after)]
    with warnings.catch_warnings():
        # The classifiers ignore it too; but filters are not each thread's own.
        warnings.simplefilter("ignore", ConvergenceWarning)
        done = beside.run(work)
    ready = [one for one in done[len(keys) :] if not isinstance(one, LeftOut)]
    made = [one for one in reversed(done[: len(keys)]) if not isinstance(one, LeftOut)]
    missing = [one for one in done if isinstance(one, LeftOut)]
    order = [*ready[: len(before)], *made, *ready[len(before) :]]
    return order, [*trained.left_out(comparison), *missing]


def _similarity(
    encoder: Encoder, ours: Mapping[str, Synthetic], test: Records
) -> dict[str, dict[str, Any]]:
    """Compare columns and pairs of columns; images have none."""
    if not isinstance(encoder, TableEncoder):
        return {}
    real = encoder.frame(test.x, test.y)
    return {
        name: asdict(similarity(real, s.frame, encoder.schema))
        for name, s in ours.items()
        if s.frame is not None
    }


def _first(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples are in no order, so the first ones are as good as any."""
    return x[:MOST_CLOSENESS_ROWS]


def denoising(
    federation: Evaluated, synthetic: Synthetic, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return the denoising error of base and network on synthetic rows, per silo and level."""
    rows = []
    x, y = synthetic.x.astype(np.float64), synthetic.y
    for name in federation.bases:
        model = federation.models[name]
        for t in DENOISING_TIMES:
            signal = signal_shares()[t]
            noise = rng.standard_normal(x.shape)  # the same for both, so that they compare
            errors = [
                baselines.denoising_error(m, x, y, signal, noise)
                for m in (federation.bases[name], model)
            ]
            level = float(np.sqrt((1.0 - signal) / signal))
            rows.append(
                {
                    "silo": name,
                    "t": t,
                    "of": TRAINING_STEPS,
                    "noise_level": level,
                    "base": errors[0],
                    "network": errors[1],
                }
            )
    return rows
