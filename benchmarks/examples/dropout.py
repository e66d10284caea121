"""What a run loses when silos leave: MNIST in the authors' setting, two of ten silos missing.

Whole runs of the embedded example `mnist` by preset `best`, several partitions; each once with all
silos, once with two that are lost for good after half of the rounds, once with two that miss every
other round. Only the participation differs: same partitions, same settings.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.kept import read_or_make
from benchmarks.record import ERROR, Target
from benchmarks.run.splits import Mean, bound_to
from dpfedsyn import config
from dpfedsyn import run as runner
from dpfedsyn.images import ImageSchema, archive
from dpfedsyn.marking import find
from dpfedsyn.metrics.utility import predictions
from dpfedsyn.settings import Config

PARTITIONS = (1, 2, 3)  # seeds
LOST = ("silo-0", "silo-1")  # whoever these are: silos of a partition are in no order
ROUNDS = 30
MOST_LOST = 0.02  # accuracy
CLASSIFIERS = ("logistic", "mlp", "cnn")
CASES: Mapping[str, Sequence[str]] = {
    "all silos": (),
    "two lost after half the rounds": [f"{name} {ROUNDS // 2 + 1}-" for name in LOST],
    "two missing every other round": [
        f"{name} {number}-{number}" for name in LOST for number in range(2, ROUNDS + 1, 2)
    ],
}


def measure(mnist: Path, kept: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return one result per partition and case; finished ones are read back."""
    results = []
    for seed in PARTITIONS:
        for case, away in CASES.items():
            settings = [
                f'data.folder="{mnist}"',
                f"partition.seed={seed}",
                f"sampler.seed={seed}",
                "evaluate.enabled=false",
                f"participation.away={json.dumps(list(away))}",
            ]
            loaded = config.load("mnist", settings)
            path = kept / f"{seed}-{'-'.join(case.split())}.json"
            found, _ = read_or_make(
                path, bound_to(loaded), partial(_one, loaded, mnist, seed, case)
            )
            say(f"partition {seed}, {case}: done")
            results.append(found)
    return results


def _one(loaded: Config, mnist: Path, seed: int, case: str) -> dict[str, Any]:
    """Take a whole run, and score its images on the public test set."""
    schema = ImageSchema.load(loaded.path(loaded.data.schema))
    with tempfile.TemporaryDirectory(prefix="dropout-") as folder:
        result = runner.run(loaded, Path(folder) / "run")
        federation = json.loads(find(result.folder, "federation.json").read_text(encoding="utf-8"))
        x, y = archive.read(find(result.folder, "synthetic.npz"), schema)
    test, truth = archive.read(mnist / "test.npz", schema)
    rows, test_rows = x.reshape(len(x), -1), test.reshape(len(test), -1)
    shape = (schema.height, schema.width)
    found = predictions(rows, y, test_rows, seed=seed, shape=shape).utility(truth)
    return {
        "partition": seed,
        "case": case,
        "status": result.status,
        "rows": len(x),
        "accuracy": {name: getattr(found, name).accuracy for name in CLASSIFIERS},
        "participation": federation["participation"]["best"],
        "moved": federation["moved"]["best"],
    }


def table(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per case: accuracies, and how many steps and rows it touched."""
    rows = []
    for case in CASES:
        own = [result for result in results if result["case"] == case]
        row: dict[str, Any] = {"silos": case}
        for name in CLASSIFIERS:
            mean = Mean.of([result["accuracy"][name] for result in own])
            row |= {name: mean.value, f"{ERROR}{name}": mean.standard_error}
        moved = [result["moved"] for result in own]
        steps = sum(m["row_steps"] for m in moved)
        row["steps without an answer"] = sum(m["unanswered"] for m in moved) / steps
        row["rows handed over"] = sum(m["handed_over"] for m in moved) / sum(
            result["rows"] for result in own
        )
        row["partitions"] = len(own)
        rows.append(row)
    return rows


def target(results: Sequence[dict[str, Any]] | None, absent: str) -> Target:
    """By how much accuracy falls, in the worst case and classifier (paired over partitions)."""
    if results is None:
        return Target(None, MOST_LOST, at_least=False, reason=absent)
    losses = {
        (case, name): Mean.of(_losses(results, case, name))
        for case in CASES
        for name in CLASSIFIERS
    }
    (case, name), worst = max(losses.items(), key=lambda item: item[1].value)
    reason = (
        f"{name}, {case}; mean of {len(PARTITIONS)} partitions, every run completed: "
        f"{all(result['status'] == 'complete' for result in results)}"
    )
    return Target(worst.value, MOST_LOST, False, reason, worst.standard_error)


def _losses(results: Sequence[dict[str, Any]], case: str, name: str) -> list[float]:
    accuracy = {(r["partition"], r["case"]): r["accuracy"][name] for r in results}
    return [accuracy[seed, "all silos"] - accuracy[seed, case] for seed in PARTITIONS]
