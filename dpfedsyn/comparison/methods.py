"""Trained baselines; each returns latent samples (N, d) for labels (N,).

All read records and draw noise that anybody can repeat, so nothing here is released. In a real
deployment each would be charged its `Spending`: the run's epsilon, delta, unit and adjacency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import sampler, schedule, weights
from dpfedsyn.baselines import local_samples, union
from dpfedsyn.comparison import learning, spending
from dpfedsyn.comparison.setting import Comparison
from dpfedsyn.data import Records
from dpfedsyn.errors import FederationError
from dpfedsyn.network import Denoiser
from dpfedsyn.sampler import RoundAnswers
from dpfedsyn.settings import SiloSettings

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
OnStep = Callable[[], None]

ROUNDS_TOLD_AT_ONCE = 100
ROWS_AT_ONCE = 500


def class_gaussians(
    c: Comparison, on_step: OnStep, labels: Labels, rng: np.random.Generator
) -> Array:
    """Private means and covariances alone: no network, the moments have its budget.

    Every silo releases noisy counts and moments, and the union is drawn by the noisy counts. Not
    released here; it would be charged counts and moments.
    """
    bases, counts, stds = [], [], []
    for silo in c.config.silos:
        spent = spending.class_gaussians(c.config, silo, c.budgets[silo.name])
        records = c.records[silo.name]
        purpose = ("gaussians", silo.name)
        settings = learning.one_gaussian(c)
        bases.append(learning.fitted_base(c, records, spent, settings, *purpose))
        found, std = learning.noisy_counts(c, records, spent, *purpose)  # the same draws again
        counts.append(found)
        stds.append(std)
        on_step()
    mixing = c.label_weights
    if c.config.weights.source == "counts":
        mixing = mixing_weights(np.stack(counts), np.array(stds))
    silos = weights.draw_silos(mixing, labels, rng)
    x = np.empty((len(labels), c.encoder.dimension))
    for k, base in enumerate(bases):
        rows = silos == k
        x[rows] = base.draw(labels[rows], rng)
    return x


def pooled(c: Comparison, on_step: OnStep, labels: Labels, rng: np.random.Generator) -> Array:
    """All silos' records in one place, and one model of them, made as one silo makes its own.

    It has no federation's cost but a central party's trust. Not released here; it would be charged
    counts, moments and DP-SGD, within the strictest silo's epsilon.
    """
    silos, parts = c.config.silos, [c.records[silo.name] for silo in c.config.silos]
    together = Records(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        tuple(f"{s.name}/{i}" for s, part in zip(silos, parts, strict=True) for i in part.ids),
    )
    whole = SiloSettings("pooled", "", reference_size=sum(silo.reference_size for silo in silos))
    spent = spending.pooled(c.config, c.budgets)
    base = learning.fitted_base(c, together, spent, c.config.base, "pooled")
    if c.config.network.kind == "none":
        model = learning.base_alone(c, base)
    else:
        model = learning.model(c, whole, together, base, spent, "pooled")
    on_step()
    return local_samples(model, labels, c.encoder.dimension, rng)


def fedavg(c: Comparison, on_step: OnStep, labels: Labels, rng: np.random.Generator) -> Array:
    """Federated averaging (McMahan et al. 2017) of DP-SGD DDPMs, sampled by `local_samples`.

    Not released here; every upload is post-processing of DP-SGD steps, so it would be charged
    counts and DP-SGD.
    """
    model = federated_average(c, on_step)
    return local_samples(model, labels, c.encoder.dimension, rng)


def federated_average(c: Comparison, on_step: OnStep = lambda: None) -> Denoiser:
    """Train one network on all silos by averaging their parameters after every block of steps.

    Each silo keeps its own Adam moments; weights and their moving averages are averaged alike.
    """
    base, silos = learning.data_free_base(c), c.config.silos
    spent = [spending.fedavg(c.config, silo, c.budgets[silo.name]) for silo in silos]
    counts = [
        learning.noisy_counts(c, c.records[silo.name], part, "fedavg", silo.name)[0]
        for silo, part in zip(silos, spent, strict=True)
    ]
    shares = silo_shares(np.stack(counts))
    states = [learning.start(c, "fedavg")] * len(silos)
    for steps in _blocks(c.config.train.steps, c.fedavg_rounds):
        trained = [
            learning.block(
                c, silo, state, steps, c.records[silo.name], base, part, "fedavg", silo.name
            )
            for silo, state, part in zip(silos, states, spent, strict=True)
        ]
        parameters = learning.averaged([state.weights for state in trained], shares)
        average = learning.averaged([state.average for state in trained], shares)
        states = [replace(state, weights=parameters, average=average) for state in trained]
        on_step()
    return learning.denoiser(c, base, states[0].average)


def networks_alone(
    c: Comparison, on_step: OnStep, labels: Labels, rng: np.random.Generator
) -> Array:
    """Every silo's DP-SGD DDPM without a private base, and the union of what they generate.

    The union is drawn by the noisy counts. Not released here; it would be charged counts and
    DP-SGD.
    """
    base, models, counts, stds = learning.data_free_base(c), {}, [], []
    for silo in c.config.silos:
        spent = spending.fedavg(c.config, silo, c.budgets[silo.name])
        records = c.records[silo.name]
        found, std = learning.noisy_counts(c, records, spent, "networks", silo.name)
        counts.append(found)
        stds.append(std)
        models[silo.name] = learning.model(c, silo, records, base, spent, "networks", silo.name)
        on_step()
    silos = weights.draw_silos(mixing_weights(np.stack(counts), np.array(stds)), labels, rng)
    return union(models, silos, labels, c.encoder.dimension, rng)


def literal_paper(
    c: Comparison, on_step: OnStep, labels: Labels, rng: np.random.Generator
) -> Array:
    """The method as it is written: DP-SGD DDPMs, weights 1/K, energies 1/2 |eps|^2, ULA, no noise.

    Its Theorem 4.7 charges the training alone and its answers nothing; so does this. Not released
    here; it would be charged DP-SGD.
    """
    base, models = learning.data_free_base(c), []
    for silo in c.config.silos:
        spent = spending.literal_paper(c.config, silo)
        records = c.records[silo.name]
        models.append(learning.model(c, silo, records, base, spent, "paper", silo.name))
        on_step()
    prior = np.full((len(models), len(labels)), 1.0 / len(models))
    noiseless = np.zeros(len(models))
    state = sampler.start(len(labels), c.encoder.dimension, len(models), labels, rng)
    for kernel in schedule.kernels(c.paper):
        x = state.x.astype(np.float64)
        noise = np.stack([_predicted(model, x, kernel.signal, labels) for model in models])
        answers = RoundAnswers(noise, None, noiseless)
        state, _ = sampler.step(state, answers, kernel, prior, c.paper, rng)
        c.on_step()
        if state.round_number % ROUNDS_TOLD_AT_ONCE == 0:
            on_step()
    return state.x.astype(np.float64)


def _predicted(model: Denoiser, x: Array, signal: float, labels: Labels) -> Array:
    """Predict in pieces that stay in the processor's cache: a third of the time is saved."""
    starts = range(0, len(x), ROWS_AT_ONCE)
    pieces = [slice(start, start + ROWS_AT_ONCE) for start in starts]
    return np.concatenate([model.predict_noise(x[p], signal, labels[p]) for p in pieces])


def mixing_weights(counts: Array, stds: Array) -> Array:
    """Return w_i(y) (K, classes) of noisy counts (K, classes); 1/K for labels that no silo has."""
    try:
        found = weights.from_counts(counts, stds).weights
    except FederationError:
        found = np.zeros_like(counts)
    return np.where(found.any(axis=0), found, 1.0 / len(counts))


def silo_shares(counts: Array) -> Array:
    """Return each silo's share (K,) of the noisy counts (K, classes); 1/K where none is left."""
    totals = np.maximum(counts.sum(axis=1), 0.0)
    if not totals.any():
        return np.full(len(totals), 1.0 / len(totals))
    shares: Array = totals / totals.sum()
    return shares


def _blocks(steps: int, rounds: int) -> Iterator[int]:
    """Cut the steps into blocks, as equal as can be, none of them empty."""
    rounds = min(steps, rounds)
    return (steps * (k + 1) // rounds - steps * k // rounds for k in range(rounds))
