"""The internal evaluation: synthetic rows against held-out real ones, beside the baselines.

Its numbers are computed from real records without noise. They stay with the silos' owners: the
statement names them as unpaid, and nothing here is fed back into sampling or training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import baselines
from dpfedsyn.data import Records, Synthetic
from dpfedsyn.diffusion import TRAINING_STEPS, signal_shares
from dpfedsyn.domain import Encoder
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.metrics import classifier
from dpfedsyn.metrics.closeness import closeness
from dpfedsyn.metrics.coverage import coverage
from dpfedsyn.metrics.frechet import frechet
from dpfedsyn.metrics.groups import by_group
from dpfedsyn.metrics.memorisation import memorisation
from dpfedsyn.metrics.similarity import similarity
from dpfedsyn.metrics.utility import Predictions, predictions
from dpfedsyn.silo import Model
from dpfedsyn.weights import draw_silos

Array = NDArray[np.float64]

DENOISING_TIMES = (50, 200, 400, 600, 800)
MOST_CLOSENESS_ROWS = 1000
MOST_FEATURE_ROWS = 2000
CLASSIFIERS = {"logistic": "logistic regression", "mlp": "MLP", "cnn": "CNN"}
MEASURES = [(classifier, score) for classifier in CLASSIFIERS for score in ("auc", "accuracy")]
SILO = "silo "  # a name that no column can have: they are stripped
INTERNAL = (
    "Not differentially private: computed from real records without noise. It stays with the "
    "owners of the records and must not be published."
)


@dataclass(frozen=True)
class Federation:
    """What the evaluation may look at: every silo's real records and model, in one order."""

    train: Mapping[str, Records]
    test: Mapping[str, Records]
    models: Mapping[str, Model]
    bases: Mapping[str, Model]  # the same with a network of zeros
    label_weights: Array  # (K, classes), mixing weights
    label_shares: Array  # (classes,)


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
    groups: Sequence[str] = (),
    on_step: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Return the tables of results.json.

    Args:
        ours: the run's synthetic rows by pass; the first is the main one.
        groups: public columns of the records; utility is shown for each of their values.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    real, test = _pooled(federation.train), _pooled(federation.test)
    main = next(iter(ours.values()))
    tables = {name: ("ours", s.plain, s.y) for name, s in ours.items()}
    tables |= _baseline_tables(encoder, federation, main.y, rng, on_step)
    utility, by_groups = [], []
    if len(encoder.labels) > 1:
        for name, (kind, x, y) in tables.items():
            found = predictions(x, y, test.plain, seed=seed, shape=_shape(encoder))
            scores = {k: v for k, v in asdict(found.utility(test.y)).items() if v is not None}
            utility.append({"name": name, "kind": kind, "rows": len(y), **scores})
            if name == next(iter(ours)):
                by_groups = _by_groups(found, test, encoder, groups)
            on_step(name)
    return {
        "internal": INTERNAL,
        "test_rows": len(test.y),
        "train_rows": len(real.y),
        "utility": utility,
        "groups": by_groups,
        "baselines_that_win": winners(utility),
        "similarity": _similarity(encoder, ours, test),
        "features": _features(encoder, tables, real, test, seed),
        "closeness": {
            name: asdict(closeness(_first(s.plain), real.plain, test.plain, seed=seed))
            for name, s in ours.items()
        },
        "memorisation": {
            name: asdict(memorisation(_first(s.plain), real.plain, _first(test.plain)))
            for name, s in ours.items()
        },
        "denoising": denoising(federation, main, rng),
    }


def _shape(encoder: Encoder) -> tuple[int, int] | None:
    geometry = encoder.geometry
    return None if geometry is None else (geometry.height, geometry.width)


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


def _by_groups(
    found: Predictions, test: Records, encoder: Encoder, columns: Sequence[str]
) -> list[dict[str, Any]]:
    names = {"label": [encoder.labels[y] for y in test.y], "silo": list(test.groups[SILO])}
    names |= {c: [str(v) for v in test.groups[c]] for c in columns if c in test.groups}
    return [asdict(group) for group in by_group(found.correct(test.y), names)]


def _features(
    encoder: Encoder,
    tables: Mapping[str, tuple[str, Any, Any]],
    real: Records,
    test: Records,
    seed: int,
) -> dict[str, Any]:
    """Precision, recall, density, coverage and Frechet distance in a fixed classifier's features.

    The classifier is trained on the real training part; real rows to compare with are held out.
    """
    truth, classes = real.y, len(encoder.labels)
    if encoder.geometry is not None:
        # Images that are generated without labels still have true ones.
        names, truth = np.unique(real.groups["label"].astype(str), return_inverse=True)
        classes = len(names)
    fixed = classifier.fixed(real.plain, truth, _shape(encoder), classes, seed)
    rng = np.random.Generator(np.random.Philox(seed))
    held_out = fixed.apply(_some(test.plain, rng))
    rows = []
    for name, (kind, x, _) in tables.items():
        found = fixed.apply(_some(x, rng))
        scores = {"frechet": frechet(held_out, found), **asdict(coverage(held_out, found))}
        rows.append({"name": name, "kind": kind, **scores})
    return {"space": fixed.name, "rows": rows}


def _first(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples are in no order, so the first ones are as good as any."""
    return x[:MOST_CLOSENESS_ROWS]


def _some(x: NDArray[np.float32], rng: np.random.Generator) -> Array:
    chosen = np.sort(rng.permutation(len(x))[:MOST_FEATURE_ROWS])
    some: Array = x[chosen].astype(np.float64)
    return some


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
    """Say in words where a baseline beats one of our passes, in any of the measures."""
    sentences = []
    for ours in (row for row in utility if row["kind"] == "ours"):
        for row in (row for row in utility if row["kind"] == "baseline"):
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


def _pooled(parts: Mapping[str, Records]) -> Records:
    """Return all silos' records as one set that remembers each record's silo (`groups`)."""
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
        synthetic = encoder.decode(x.astype(np.float32), y)
        tables[name] = ("baseline", synthetic.plain, synthetic.y)

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
            tables[f"{name} alone: its real records"] = ("baseline", records.plain, records.y)
    real = _pooled(federation.train)
    tables["pooled real records (no privacy)"] = ("baseline", real.plain, real.y)
    return tables
