"""From records to models, with the mechanisms of a `Spending` and without ledgers.

Without noise (`NO_NOISE`) everything here is exact: the non-private twin of the same baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency, Gaussian
from dpfedsyn import dpsgd, plain_training
from dpfedsyn.architecture import Architecture
from dpfedsyn.base import AnalyticBase, Base
from dpfedsyn.bases import Asked, bases
from dpfedsyn.comparison.setting import Comparison
from dpfedsyn.comparison.spending import Spending
from dpfedsyn.data import Records
from dpfedsyn.dpsgd import TrainingState
from dpfedsyn.moments import query_of
from dpfedsyn.network import Denoiser, NoNetwork
from dpfedsyn.releases import SiloSums, Sum
from dpfedsyn.settings import BaseSettings, SiloSettings
from dpfedsyn.sums import Points, privatise, sums_lattice
from dpfedsyn.train import expected_batch_size

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[np.float32]]

UNCLIPPED = 1e4  # a gradient norm that none reaches
NOISELESS = 2.0**-30  # a noise multiplier that nothing feels: a lattice needs some


def sums_of(
    c: Comparison, records: Records, spent: Spending, settings: BaseSettings, *purpose: str
) -> SiloSums:
    """Return the sums of these records, as a silo that spends this would answer with them."""

    def draw(
        kind: str, number: int, event: Gaussian, std: float, summed: Callable[[float], Points]
    ) -> Sum:
        place = (number,) if number else ()
        return noisy(std, c.key(kind, *place, *purpose), summed)

    query = query_of(c.encoder.dimension, c.classes, settings)
    adjacency = Adjacency(c.config.privacy.adjacency)
    return SiloSums(records, c.classes, query, adjacency, spent, draw)


def noisy_counts(c: Comparison, records: Records, spent: Spending, *purpose: str) -> Sum:
    """Return label counts (classes,) and the std of their noise."""
    return sums_of(c, records, spent, c.config.base, *purpose).counts()


def one_gaussian(c: Comparison) -> BaseSettings:
    """Return the run's settings of a base with one Gaussian per label."""
    return replace(c.config.base, clusters=1)


def fitted_base(
    c: Comparison, records: Records, spent: Spending, settings: BaseSettings, *purpose: str
) -> Base:
    """Return the base of records in one place, made as a silo of the run makes its own."""
    sums = sums_of(c, records, spent, settings, *purpose)
    (base,) = bases(Asked([sums]), sums.query, c.encoder, settings)
    return base


def data_free_base(c: Comparison) -> AnalyticBase:
    """Return N(0, data_std^2 I) for every label: with it the denoiser is a plain DDPM."""
    dimension = c.encoder.dimension
    variances = np.full(dimension, c.config.network.data_std**2)
    return AnalyticBase(np.zeros((c.classes, dimension)), variances, np.eye(dimension))


def model(
    c: Comparison,
    silo: SiloSettings,
    records: Records,
    base: Base,
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
        records.x,
        records.y,
        base=base,
        architecture=architecture(c),
        settings=c.config.train,
        key=c.key("plain", *purpose),
        device=c.device,
        units=records.units,
    )
    return Denoiser(base, network, c.config.network, c.device)


def architecture(c: Comparison) -> Architecture:
    """Return the run's own kind of network; an MLP where the run has none."""
    settings = c.config.network
    settings = replace(settings, kind="mlp") if settings.kind == "none" else settings
    return Architecture(settings, c.encoder.dimension, c.classes, c.encoder.geometry)


def start(c: Comparison, *purpose: str) -> TrainingState:
    """Return the state before the first step."""
    return dpsgd.initial_state(architecture(c), c.key("initial-weights", *purpose))


def block(
    c: Comparison,
    silo: SiloSettings,
    state: TrainingState,
    steps: int,
    records: Records,
    base: Base,
    spent: Spending,
    *purpose: str,
) -> TrainingState:
    """Take some DP-SGD steps; the same steps without noise and clipping in the non-private twin."""
    settings, batch = c.config.train, expected_batch_size(c.config, silo)
    if not c.private:
        settings = replace(settings, clip=UNCLIPPED)
        batch = settings.sampling_rate * max(len(set(records.ids)), 1)
    return dpsgd.train_block(
        state,
        steps,
        x=records.x,
        labels=records.y,
        base=base,
        noise_multiplier=spent.noise_multiplier or NOISELESS,
        expected_batch_size=batch,
        architecture=architecture(c),
        settings=settings,
        key=c.key("dp-sgd", state.step, *purpose),
        device=c.device,
        on_step=c.on_step,
        units=records.units,
    )


def base_alone(c: Comparison, base: Base) -> Denoiser:
    """Return a base without a network."""
    return Denoiser(base, NoNetwork(c.encoder.dimension), c.config.network, c.device)


def denoiser(c: Comparison, base: Base, arrays: Arrays) -> Denoiser:
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
