"""The internal evaluation: synthetic rows against held-out real ones, beside the baselines.

Its numbers are computed from real records without noise. They stay with the silos' owners: the
statement names them as unpaid, and nothing here is fed back into sampling or training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpfedsyn import baselines
from dpfedsyn.data import Records
from dpfedsyn.diffusion import TRAINING_STEPS, signal_shares
from dpfedsyn.encoding import Encoder
from dpfedsyn.metrics.closeness import closeness
from dpfedsyn.metrics.similarity import similarity
from dpfedsyn.metrics.utility import train_on_synthetic
from dpfedsyn.silo import Model
from dpfedsyn.weights import draw_silos

Array = NDArray[np.float64]

DENOISING_TIMES = (50, 200, 400, 600, 800)
MOST_CLOSENESS_ROWS = 1000
CLASSIFIERS = {"logistic": "logistic regression", "mlp": "MLP"}
MEASURES = [(classifier, score) for classifier in CLASSIFIERS for score in ("auc", "accuracy")]
INTERNAL = (
    "Not differentially private: computed from real records without noise. It stays with the "
    "owners of the records and must not be published."
)


@dataclass(frozen=True)
class Synthetic:
    """A synthetic table: its rows in the schema's codes, and encoded again from them."""

    frame: pd.DataFrame
    x: NDArray[np.float32]
    y: NDArray[np.int64]


@dataclass(frozen=True)
class Federation:
    """What the evaluation may look at: every silo's real records and model, in one order."""

    train: Mapping[str, Records]
    test: Mapping[str, Records]
    models: Mapping[str, Model]
    bases: Mapping[str, Model]  # the same with a network of zeros
    label_weights: Array  # (K, classes), mixing weights
    label_shares: Array  # (classes,)


def decode(encoder: Encoder, x: NDArray[np.float32], y: NDArray[np.int64]) -> Synthetic:
    """Turn sampled vectors into rows of the schema, as they are written and as they are scored."""
    frame = encoder.decode(x, y)
    encoded, labels = encoder.encode(frame)
    return Synthetic(frame, encoded, labels)


def possible(federation: Federation) -> bool:
    """Whether there are real rows to train on and to test on."""
    return all(
        any(len(part) for part in parts.values()) for parts in (federation.train, federation.test)
    )


def evaluate(
    encoder: Encoder,
    ours: Mapping[str, Synthetic],
    federation: Federation,
    *,
    seed: int,
    on_step: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Return the tables of results.json.

    Args:
        ours: the run's synthetic tables by pass; the first is the main one.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    test = _pooled(federation.test)
    main = next(iter(ours.values()))
    tables = {name: ("ours", s.x, s.y) for name, s in ours.items()}
    tables |= _baseline_tables(encoder, federation, main.y, rng, on_step)
    utility = []
    for name, (kind, x, y) in tables.items():
        utility.append(_scored(name, kind, x, y, test, seed))
        on_step(name)
    real = _pooled(federation.train)
    return {
        "internal": INTERNAL,
        "test_rows": len(test.y),
        "train_rows": len(real.y),
        "utility": utility,
        "baselines_that_win": winners(utility),
        "similarity": {
            name: asdict(similarity(encoder.decode(test.x, test.y), s.frame, encoder.schema))
            for name, s in ours.items()
        },
        "closeness": {
            name: asdict(closeness(s.x[:MOST_CLOSENESS_ROWS], real.x, test.x, seed=seed))
            for name, s in ours.items()
        },
        "denoising": denoising(federation, main, rng),
    }


def denoising(
    federation: Federation, synthetic: Synthetic, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return the denoising error of base and network on synthetic rows, per silo and level."""
    rows = []
    x, y = synthetic.x.astype(np.float64), synthetic.y
    for name, model in federation.models.items():
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


def winners(utility: list[dict[str, Any]]) -> list[str]:
    """Say in words where a baseline beats one of our passes, in any of the four measures."""
    sentences = []
    for ours in (row for row in utility if row["kind"] == "ours"):
        for row in (row for row in utility if row["kind"] == "baseline"):
            better = [_better(row, ours, *measure) for measure in MEASURES]
            told = [words for words in better if words]
            if told:
                sentences.append(f"{row['name']} wins over {ours['name']} in {', '.join(told)}.")
    return sentences


def _better(row: dict[str, Any], ours: dict[str, Any], classifier: str, score: str) -> str | None:
    theirs, own = row[classifier][score], ours[classifier][score]
    if theirs is None or own is None or theirs <= own:
        return None
    name = "AUC" if score == "auc" else score
    return f"{name} of the {CLASSIFIERS[classifier]} ({theirs:.4f} against {own:.4f})"


def _scored(
    name: str, kind: str, x: NDArray[np.float32], y: NDArray[np.int64], test: Records, seed: int
) -> dict[str, Any]:
    scores = train_on_synthetic(x, y, test.x, test.y, seed=seed)
    return {"name": name, "kind": kind, "rows": len(y), **asdict(scores)}


def _pooled(parts: Mapping[str, Records]) -> Records:
    x = np.concatenate([p.x for p in parts.values()])
    y = np.concatenate([p.y for p in parts.values()])
    return Records(x, y, tuple(f"{name}/{i}" for name, p in parts.items() for i in p.ids))


def _baseline_tables(
    encoder: Encoder,
    federation: Federation,
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    on_step: Callable[[str], None],
) -> dict[str, tuple[str, Any, Any]]:
    """Encoded training tables of every baseline, by name."""
    dimension, tables = encoder.dimension, {}
    silos = draw_silos(federation.label_weights, labels, rng)

    def add(name: str, x: Array, y: NDArray[np.int64]) -> None:
        synthetic = decode(encoder, x.astype(np.float32), y)
        tables[name] = ("baseline", synthetic.x, synthetic.y)

    for group, name in (
        (federation.models, "union of local generators"),
        (federation.bases, "union of private bases (no network)"),
    ):
        add(name, baselines.union(group, silos, labels, dimension, rng), labels)
        on_step(name)
    for k, (name, model) in enumerate(federation.models.items()):
        shares = federation.label_weights[k] * federation.label_shares
        if shares.sum() > 0.0:
            y = rng.choice(len(shares), len(labels), p=shares / shares.sum()).astype(np.int64)
            add(
                f"{name} alone: its own generator",
                baselines.local_samples(model, y, dimension, rng),
                y,
            )
            on_step(name)
    for name, records in federation.train.items():
        if len(records):
            tables[f"{name} alone: its real records"] = ("baseline", records.x, records.y)
    real = _pooled(federation.train)
    tables["pooled real records (no privacy)"] = ("baseline", real.x, real.y)
    return tables
