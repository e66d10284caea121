"""One rule for every column: classifiers trained on its rows, its distance, its denoising error."""

from __future__ import annotations

import time
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.utility.columns import Made
from benchmarks.utility.ground import Ground
from dpfedsyn import baselines
from dpfedsyn.metrics.frechet import frechet
from dpfedsyn.metrics.utility import predictions
from dpfedsyn.threads import one_per_silo

Array = NDArray[np.float64]

MOST_COMPARED = 5000  # rows of each set whose Frechet distance is taken
LEVELS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # noise levels sqrt((1 - abar) / abar)
LOW = 0.4  # up to here the network has to gain
MOST_DENOISED = 1000  # real test rows per silo


def score(made: Made, ground: Ground) -> dict[str, Any]:
    """Return accuracies and areas by classifier, the Frechet distance and processor seconds."""
    began, setting, test = time.process_time(), ground.setting, ground.test
    found = []
    with one_per_silo():
        for x, y in made.tables:
            predicted = predictions(x, y, test.plain, seed=ground.seed, shape=ground.shape)
            found.append(predicted.utility(test.y))
        distance = _distance(made.tables[0][0], ground)
    each: dict[str, dict[str, float | None]] = {"accuracy": {}, "auc": {}}
    for name in setting.classifiers:
        scores = [getattr(one, name) for one in found]
        each["accuracy"][name] = fmean(one.accuracy for one in scores)
        known = [one.auc for one in scores if one.auc is not None]
        each["auc"][name] = fmean(known) if known else None
    return {
        **each,
        "frechet": distance if len(made.tables) == 1 else None,
        "rows": len(made.tables[0][1]),
        "epsilon": made.epsilon,
        "bytes": made.sent,
        "versions": dict(made.versions),
        "seconds": {"make": made.seconds, "score": time.process_time() - began},
    }


def _distance(plain: NDArray[np.float32], ground: Ground) -> float:
    """Sets of equal size, for small ones are overrated."""
    rng = np.random.default_rng(0)
    count = min(len(plain), len(ground.test), MOST_COMPARED)
    parts = (ground.test.plain, plain)
    first, second = (ground.features(part[rng.permutation(len(part))[:count]]) for part in parts)
    return frechet(first, second)


def denoising(ground: Ground) -> list[dict[str, float]]:
    """Return per noise level the mean squared error of base and network, and of bases alone.

    On real test rows with labels that a silo holds, mean over silos. The bases alone are those of a
    run without a network, so they have the whole budget.
    """
    runs = [one.run.federation for one in (ground.networked, ground.bare)]
    c, records = runs[0].comparison, ground.test
    rng, errors = ground.generator("denoising"), np.zeros((len(LEVELS), 2))
    for k, silo in enumerate(c.config.silos):
        held = np.flatnonzero(c.label_weights[k][records.y] > 0.0)[:MOST_DENOISED]
        x, y = records.x[held].astype(np.float64), records.y[held]
        for place, level in enumerate(LEVELS):
            noise = rng.standard_normal(x.shape)  # the same for both, so that they compare
            for which, run in enumerate(runs):
                signal, model = 1.0 / (1.0 + level**2), run.models[silo.name]
                errors[place, which] += baselines.denoising_error(model, x, y, signal, noise)
    return [
        {"noise_level": level, "network": float(ours), "base": float(base)}
        for level, (ours, base) in zip(LEVELS, errors / len(c.config.silos), strict=True)
    ]
