"""From records to models, with the mechanisms of a `Spending` and without ledgers.

Without noise (`NO_NOISE`) everything here is exact: the non-private twin of the same baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn import dpsgd, plain_training
from dpfedsyn.architecture import Architecture
from dpfedsyn.base import AnalyticBase, NoisyStatistics, fit, label_means
from dpfedsyn.comparison.setting import Comparison
from dpfedsyn.comparison.spending import Spending
from dpfedsyn.data import Records
from dpfedsyn.dpsgd import TrainingState
from dpfedsyn.moments import count_points, counts_sensitivity, label_counts, query_of
from dpfedsyn.network import Denoiser
from dpfedsyn.settings import SiloSettings
from dpfedsyn.sums import Points, privatise, sums_lattice
from dpfedsyn.train import expected_batch_size

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[np.float32]]

UNCLIPPED = 1e4  # a gradient norm that none reaches
NOISELESS = 2.0**-30  # a noise multiplier that nothing feels: a lattice needs some


def noisy_counts(
    c: Comparison, records: Records, spent: Spending, *purpose: str
) -> tuple[Array, float]:
    """Return label counts (classes,) and the std of their noise."""
    if spent.counts is None:
        return label_counts(records.y, c.classes), 0.0
    std = spent.counts.noise_multiplier * counts_sensitivity(Adjacency(c.config.privacy.adjacency))
    return noisy(std, c.key("counts", *purpose), partial(count_points, records.y, c.classes))


def fitted_base(
    c: Comparison, records: Records, spent: Spending, *purpose: str
) -> tuple[AnalyticBase, NoisyStatistics]:
    """Return the analytic base of these records, fitted as the run fits its own."""
    query = query_of(c.encoder.dimension, c.classes, c.config.base)
    sensitivity = query.sensitivity(Adjacency(c.config.privacy.adjacency))
    two_valued, settings = c.encoder.two_valued, c.config.base
    x, y = records.x.astype(np.float64), records.y
    counts, counts_std = noisy_counts(c, records, spent, *purpose)
    statistics, means = NoisyStatistics(counts, counts_std, np.zeros(0), 0.0), None
    if query.residual_radius:
        sums, std = query.label_sums(x, y), 0.0
        if spent.means is not None:
            wanted, key = spent.means.noise_multiplier * sensitivity, c.key("means", *purpose)
            sums, std = noisy(wanted, key, partial(query.label_points, x, y))
        statistics = replace(statistics, label_sums=sums, label_sums_std=std)
        means = label_means(statistics, query, two_valued, settings, c.encoder.spectrum)
    sums, std = query.sums(x, y, means), 0.0
    if spent.moments is not None:
        wanted, key = spent.moments.noise_multiplier * sensitivity, c.key("moments", *purpose)
        sums, std = noisy(wanted, key, partial(query.points, x, y, means=means))
    statistics = replace(statistics, sums=sums, sums_std=std)
    return fit(statistics, query, two_valued, settings, c.encoder.spectrum), statistics


def data_free_base(c: Comparison) -> AnalyticBase:
    """Return N(0, data_std^2 I) for every label: with it the denoiser is a plain DDPM."""
    dimension = c.encoder.dimension
    variances = np.full(dimension, c.config.network.data_std**2)
    return AnalyticBase(np.zeros((c.classes, dimension)), variances, np.eye(dimension))


def draw(base: AnalyticBase, labels: NDArray[np.int64], rng: np.random.Generator) -> Array:
    """Return samples (N, d) of the base's own Gaussians."""
    x = rng.standard_normal((len(labels), base.means.shape[1]))
    shared = base.eigenvalues.ndim == 1
    for y in np.unique(labels):
        own = labels == y
        values = base.eigenvalues if shared else base.eigenvalues[y]
        vectors = base.eigenvectors if shared else base.eigenvectors[y]
        x[own] = base.means[y] + (x[own] * np.sqrt(values)) @ vectors.T
    return x


def model(
    c: Comparison,
    silo: SiloSettings,
    records: Records,
    base: AnalyticBase,
    spent: Spending,
    *purpose: str,
) -> Denoiser:
    """Return a network trained on the base's residuals: by DP-SGD, or without noise."""
    if c.private:
        state = start(c, *purpose)
        steps = c.config.train.steps
        state = block(c, silo, state, steps, records, base, spent, *purpose)
        return denoiser(c, base, state.average)
    network = plain_training.train(
        records.x.astype(np.float64),
        records.y,
        base=base,
        architecture=architecture(c),
        settings=c.config.train,
        key=c.key("plain", *purpose),
        device=c.device,
    )
    return Denoiser(base, network, c.config.network, c.device)


def architecture(c: Comparison) -> Architecture:
    """Return the run's own kind of network."""
    return Architecture(c.config.network, c.encoder.dimension, c.classes, c.encoder.geometry)


def start(c: Comparison, *purpose: str) -> TrainingState:
    """Return the state before the first step."""
    return dpsgd.initial_state(architecture(c), c.key("initial-weights", *purpose))


def block(
    c: Comparison,
    silo: SiloSettings,
    state: TrainingState,
    steps: int,
    records: Records,
    base: AnalyticBase,
    spent: Spending,
    *purpose: str,
) -> TrainingState:
    """Take some DP-SGD steps; the same steps without noise and clipping in the non-private twin."""
    settings, batch = c.config.train, expected_batch_size(c.config, silo)
    if not c.private:
        settings = replace(settings, clip=UNCLIPPED)
        batch = settings.sampling_rate * max(len(records), 1)
    return dpsgd.train_block(
        state,
        steps,
        x=records.x.astype(np.float64),
        labels=records.y,
        base=base,
        noise_multiplier=spent.noise_multiplier or NOISELESS,
        expected_batch_size=batch,
        architecture=architecture(c),
        settings=settings,
        key=c.key("dp-sgd", state.step, *purpose),
        device=c.device,
        on_step=c.on_step,
    )


def denoiser(c: Comparison, base: AnalyticBase, arrays: Arrays) -> Denoiser:
    """Return base and network together."""
    return Denoiser(base, architecture(c).with_weights(arrays), c.config.network, c.device)


def averaged(parameters: Sequence[Arrays], shares: Array) -> Arrays:
    """Return sum_i shares_i theta_i, parameter by parameter."""
    return {
        name: np.asarray(
            sum(
                share * theta[name].astype(np.float64)
                for share, theta in zip(shares, parameters, strict=True)
            )
        ).astype(np.float32)
        for name in parameters[0]
    }


def noisy(std: float, key: bytes, summed: Callable[[float], Points]) -> tuple[Array, float]:
    """Return sums on the lattice of this noise with it, in their own units, and its std."""
    lattice = sums_lattice(std)
    points = privatise(summed(lattice.spacing), lattice, key)
    return points.astype(np.float64) * lattice.spacing, lattice.std
