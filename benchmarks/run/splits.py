"""How useful the embedded example's synthetic rows are: whole runs on several splits.

The settings were chosen on splits whose keys begin with `dev-`. The splits `report-0` ... are used
here and nowhere else; each is a whole run with fresh noise, and its result is kept in a file of its
own, so that an interrupted measurement goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.kept import read_or_make
from benchmarks.record import ERROR
from dpfedsyn import __version__, config, resolved
from dpfedsyn import run as runner
from dpfedsyn.marking import find
from dpfedsyn.metrics import convolutional
from dpfedsyn.settings import Config

CLASSIFIERS = ("logistic", "mlp", "cnn")
SPLITS = tuple(f"report-{k}" for k in range(10))


@dataclass(frozen=True)
class Mean:
    """A mean over splits and its standard error (None for a single split)."""

    value: float
    standard_error: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Return the mean of independent values."""
        error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        return cls(fmean(values), error)


def measure(
    splits: Sequence[str],
    kept: Path,
    overrides: Sequence[str],
    say: Callable[[str], None],
    example: str = "hospitals",
    also: Callable[[Config, Path], dict[str, Any]] = lambda config, folder: {},
) -> list[dict[str, Any]]:
    """Return each split's utility, similarity and epsilon; finished ones are read back.

    Args:
        also: what else to keep of a run, from its configuration and folder.
    """
    results, began, taken = [], time.perf_counter(), 0
    simulated = config.load(example, overrides).partition is not None
    seeded = ("sampler", "evaluate", *(["partition"] if simulated else []))
    for k, split in enumerate(splits):
        settings = [
            *overrides,
            f'data.split_key="{split}"',
            *(f"{section}.seed={k + 1}" for section in seeded),
        ]
        loaded = config.load(example, settings)
        found, fresh = read_or_make(
            kept / f"{split}.json", bound_to(loaded), partial(_one, loaded, split, also)
        )
        taken += fresh
        results.append(found)
        each = (time.perf_counter() - began) / max(taken, 1)
        say(f"{split}: {k + 1} of {len(splits)} splits done, {each:.0f} s each")
    return results


def bound_to(loaded: Config) -> str:
    """Return what a kept result belongs to: version and settings, wherever the records lie.

    The recipe of the convolutional classifier, which no configuration names, is part of it.
    """
    anywhere = replace(loaded, data=replace(loaded.data, folder=""))
    recipe = f"{convolutional.LEARNING_RATE} to 0, decay {convolutional.WEIGHT_DECAY}"
    return f"{__version__}\n{recipe}\n{resolved.dump(anywhere)}"


def _one(
    loaded: Config, split: str, also: Callable[[Config, Path], dict[str, Any]]
) -> dict[str, Any]:
    """Take one whole run and keep what it says of itself."""
    with tempfile.TemporaryDirectory(prefix="split-") as folder:
        began = time.perf_counter()
        result = runner.run(loaded, Path(folder) / "run")
        seconds = time.perf_counter() - began
        results = json.loads(find(result.folder, "results.json").read_text(encoding="utf-8"))
        federation = find(result.folder, "federation.json").read_text(encoding="utf-8")
        statement = json.loads(find(result.folder, "statement.json").read_text(encoding="utf-8"))
        more = also(loaded, result.folder)
    return {
        "split": split,
        "status": result.status,
        "seconds": seconds,
        "epsilon": _worst(statement["silos"]),
        "delta": max(silo["delta"] for silo in statement["silos"]),
        "test_rows": results["test_rows"],
        "utility": results["utility"],
        "federation": json.loads(federation),
        "similarity": {
            name: {key: found[key] for key in ("marginal_mean", "pairwise_mean")}
            for name, found in results["similarity"].items()
        },
        **more,
    }


def _worst(silos: Sequence[dict[str, Any]]) -> float | None:
    """The largest claim; None where a run without privacy claims nothing."""
    claims = [silo["epsilon"] for silo in silos]
    return None if None in claims else max(claim["upper"] for claim in claims)


def utility(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per training table: means over the splits, with standard errors."""
    rows = []
    for first in results[0]["utility"]:
        row: dict[str, Any] = {"trained on": first["name"], "kind": first["kind"]}
        for model in (m for m in CLASSIFIERS if m in first):
            for score in ("auc", "accuracy"):
                values = [scored[model][score] for scored in _same(results, first["name"])]
                known = [value for value in values if value is not None]
                mean = Mean.of(known) if known else Mean(math.nan, None)
                row[f"{model} {score}"] = mean.value if known else None
                row[f"{ERROR}{model} {score}"] = mean.standard_error
        row["splits"] = len(_same(results, first["name"]))
        rows.append(row)
    return rows


def auc(results: Sequence[dict[str, Any]], name: str) -> Mean:
    """Return the mean AUC of the logistic regression trained on this table."""
    return Mean.of([scored["logistic"]["auc"] for scored in _same(results, name)])


def lead(results: Sequence[dict[str, Any]], ours: str) -> list[dict[str, Any]]:
    """Return by how much our table leads each baseline, split by split (negative: it trails)."""
    mine = {r["split"]: _named(r, ours)["logistic"]["auc"] for r in results}
    rows = []
    for first in results[0]["utility"]:
        pairs = [(r["split"], _named(r, first["name"])) for r in results]
        leads = [mine[split] - found["logistic"]["auc"] for split, found in pairs if found]
        mean = Mean.of(leads)
        rows.append(
            {
                "against": first["name"],
                f"AUC of {ours} less its": mean.value,
                f"{ERROR}AUC of {ours} less its": mean.standard_error,
            }
        )
    return [row for row in rows if row["against"] != ours]


def similarity(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean marginal and pairwise similarity of our tables to the real test rows."""
    rows = []
    for name in results[0]["similarity"]:
        row: dict[str, Any] = {"synthetic rows": name}
        for key in ("marginal_mean", "pairwise_mean"):
            mean = Mean.of([result["similarity"][name][key] for result in results])
            row |= {key: mean.value, f"{ERROR}{key}": mean.standard_error}
        rows.append(row)
    return rows


def accuracy(results: Sequence[dict[str, Any]], name: str, model: str) -> Mean:
    """Return the mean accuracy of a classifier trained on this table."""
    return Mean.of([scored[model]["accuracy"] for scored in _same(results, name)])


def behind(results: Sequence[dict[str, Any]], ours: str, other: str, model: str) -> Mean:
    """Return by how much our table trails another in accuracy, split by split."""
    pairs = zip(_same(results, ours), _same(results, other), strict=True)
    return Mean.of([o[model]["accuracy"] - m[model]["accuracy"] for m, o in pairs])


def _same(results: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the table's scores on every split that has it (a silo may lack a label in one)."""
    found = [_named(result, name) for result in results]
    return [scored for scored in found if scored and scored["logistic"]["auc"] is not None]


def _named(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next((row for row in result["utility"] if row["name"] == name), {})
