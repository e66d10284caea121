"""Classifiers trained on each table and tested on real rows, and each table's rows in features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.columns import token
from dpfedsyn.data import Records
from dpfedsyn.evaluation import untrained
from dpfedsyn.evaluation.claims import OURS
from dpfedsyn.evaluation.setting import SILO, Evaluated
from dpfedsyn.evaluation.untrained import TrainingTable, some
from dpfedsyn.metrics import classifier
from dpfedsyn.metrics.coverage import coverage
from dpfedsyn.metrics.frechet import frechet
from dpfedsyn.metrics.groups import by_group
from dpfedsyn.metrics.utility import Predictions

Array = NDArray[np.float64]

MOST_FEATURE_ROWS = 2000
CLASSIFIERS = {"logistic": "logistic regression", "mlp": "MLP", "cnn": "CNN"}
MEASURES = [(classifier, score) for classifier in CLASSIFIERS for score in ("auc", "accuracy")]


def utility(table: TrainingTable, found: Predictions, test: Records) -> dict[str, Any]:
    """Return the line of one training table."""
    scores = {k: v for k, v in asdict(found.utility(test.y)).items() if v is not None}
    return {"name": table.name, "kind": table.kind, "rows": len(table.y), **scores}


def groups(
    found: Predictions,
    real: Predictions | None,
    test: Records,
    labels: Sequence[str],
    columns: Sequence[str],
) -> list[dict[str, Any]]:
    """Return accuracy by label, by silo and by the values of public columns.

    Args:
        real: of classifiers trained on all silos' real records, to compare with; None: unknown.
    """
    names = {"label": [labels[y] for y in test.y], "silo": list(test.groups[SILO])}
    names |= {c: [_value(v) for v in test.groups[c]] for c in columns if c in test.groups}
    reference = None if real is None else real.correct(test.y)
    return [asdict(group) for group in by_group(found.correct(test.y), names, reference)]


def _value(cell: object) -> str:
    """Name a value as the schema compares it: files of two silos may write 1 and 1.0."""
    known = token(cell)
    return f"{known:g}" if isinstance(known, float) else known


def features(
    federation: Evaluated,
    tables: Sequence[TrainingTable],
    real: Records,
    test: Records,
    seed: int,
) -> dict[str, Any]:
    """Precision, recall, density, coverage and Frechet distance in a fixed classifier's features.

    The classifier is trained on the real training part, at most `untrained.MOST_ROWS` rows of it;
    real rows to compare with are held out.
    """
    truth, classes = real.y, len(federation.encoder.labels)
    if federation.shape is not None:
        # Images that are generated without labels still have true ones.
        names, truth = np.unique(real.groups["label"].astype(str), return_inverse=True)
        classes = len(names)
    rng = np.random.Generator(np.random.Philox(seed))
    seen = some(len(real), untrained.MOST_ROWS, np.random.Generator(np.random.Philox(seed)))
    fixed = classifier.fixed(real.plain[seen], truth[seen], federation.shape, classes, seed)
    held_out = fixed.apply(_some(test.plain, rng))
    rows = []
    for table in tables:
        found = fixed.apply(_some(table.x, rng))
        scores = {"frechet": frechet(held_out, found), **asdict(coverage(held_out, found))}
        rows.append({"name": table.name, "kind": table.kind, **scores})
    return {"space": fixed.name, "rows": rows}


def _some(x: NDArray[np.float32], rng: np.random.Generator) -> Array:
    chosen: Array = x[some(len(x), MOST_FEATURE_ROWS, rng)].astype(np.float64)
    return chosen


def winners(utility: list[dict[str, Any]]) -> list[str]:
    """Say in words where a baseline beats one of our passes, in any of the measures."""
    sentences = []
    for ours in (row for row in utility if row["kind"] == OURS):
        for row in (row for row in utility if row["kind"] != OURS):
            better = [_better(row, ours, *measure) for measure in MEASURES]
            told = [words for words in better if words]
            if told:
                sentences.append(f"{row['name']} wins over {ours['name']} in {', '.join(told)}.")
    return sentences


def _better(row: dict[str, Any], ours: dict[str, Any], classifier: str, score: str) -> str | None:
    theirs = (row.get(classifier) or {}).get(score)
    own = (ours.get(classifier) or {}).get(score)
    if theirs is None or own is None or theirs <= own:
        return None
    name = "AUC" if score == "auc" else score
    return f"{name} of the {CLASSIFIERS[classifier]} ({theirs:.4f} against {own:.4f})"
