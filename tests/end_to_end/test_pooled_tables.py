"""From four hospitals' records to synthetic rows, by released statistics alone."""

import math
from functools import partial

import numpy as np
import pytest

from accountants import Adjacency, Composed, Gaussian, epsilon, gaussian
from dpfedsyn import config as configuration
from dpfedsyn import plan as planning
from dpfedsyn import weights
from dpfedsyn.base import NoisyStatistics
from dpfedsyn.counts import count_points
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.marginals import MarginalQuery, corrected
from dpfedsyn.metrics.similarity import similarity
from dpfedsyn.metrics.utility import train_on_synthetic
from dpfedsyn.moments import MomentQuery
from dpfedsyn.pooling import pool
from dpfedsyn.records import read_records
from dpfedsyn.sums import privatise, sums_lattice

SHARES = {"counts": 0.1, "moments": 0.8, "marginals": 0.1}  # of mu^2
DELTA = 1e-5


@pytest.mark.parametrize(("budget", "auc", "alike"), [(10.0, 0.85, 0.92), (1.0, 0.80, 0.86)])
def test_released_statistics_make_useful_rows_within_the_budget(
    budget: float, auc: float, alike: float
) -> None:
    """Counts, moments and marginals through the lattice, each hospital's within epsilon.

    A development split with fixed keys; real rows have AUC .875 and marginals .95 alike.
    """
    config = configuration.load("hospitals", ['data.split_key="dev-0"'])
    encoder = planning.make(config).encoder
    assert isinstance(encoder, TableEncoder)
    silos = list(read_records(config, encoder).silos.values())
    mu = gaussian.mu(budget, DELTA) * (1.0 - 1e-9)
    stds = {name: 1.0 / (mu * math.sqrt(share)) for name, share in SHARES.items()}
    claim = Composed(tuple(Gaussian(std) for std in stds.values()))
    assert epsilon(claim, delta=DELTA, adjacency=Adjacency.ADD_OR_REMOVE).upper <= budget
    moments = MomentQuery(encoder.dimension, 2, 3.5, 0.8)
    marginals = MarginalQuery(encoder.numbers)
    statistics, histograms = [], []
    for k, silo in enumerate(silos):
        x, y = silo.train.x.astype(np.float64), silo.train.y
        summed = {
            "counts": partial(count_points, y, 2),
            "moments": partial(moments.points, x, y),
            "marginals": partial(marginals.points, x),
        }
        noisy = {}
        for name, points in summed.items():
            lattice = sums_lattice(stds[name])
            key = f"{k} {name}".encode().ljust(32, b".")
            noisy[name] = privatise(points(lattice.spacing), lattice, key) * lattice.spacing
        statistics.append(
            NoisyStatistics(noisy["counts"], stds["counts"], noisy["moments"], stds["moments"])
        )
        histograms.append(noisy["marginals"])
    rng = np.random.default_rng(1)
    counts = np.stack([s.counts for s in statistics])
    mixture = weights.from_counts(counts, np.full(len(silos), stds["counts"]))
    labels = weights.draw_labels(mixture, 3000, rng)
    owners = weights.draw_silos(mixture.weights, labels, rng)
    samples = np.empty((3000, encoder.dimension))
    for k, base in enumerate(pool(statistics, moments, encoder.two_valued, config.base)):
        samples[owners == k] = base.draw(labels[owners == k], rng)
    std = stds["marginals"] * math.sqrt(len(silos))
    synthetic = encoder.decode(
        corrected(samples, marginals, np.sum(histograms, axis=0), std), labels
    )
    x_test = np.concatenate([silo.test.x for silo in silos])
    y_test = np.concatenate([silo.test.y for silo in silos])
    found = train_on_synthetic(synthetic.x, synthetic.y, x_test, y_test, seed=1)
    assert found.logistic.auc is not None
    assert found.logistic.auc > auc
    assert synthetic.frame is not None
    real = encoder.frame(x_test, y_test)
    assert similarity(real, synthetic.frame, encoder.schema).marginal_mean > alike
