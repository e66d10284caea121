"""Prepare one silo: counts, moments, DP-SGD, each charged to its ledger before it is used.

The order is the budget's: counts (released to the server), moments (kept inside), blocks of DP-SGD
steps. Killed at any point, `prepare` continues from the ledger: what was charged is not charged
again, and what it produced is read back or computed again from the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from accountants import Adjacency, Event, Gaussian
from accountants.ledger import Ledger
from dpfedsyn import checkpoint, dpsgd, plain_training
from dpfedsyn.architecture import Architecture
from dpfedsyn.base import AnalyticBase, NoisyStatistics, fit, label_means
from dpfedsyn.budget import Budget
from dpfedsyn.data import Records, parts
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import LedgerMismatch
from dpfedsyn.keys import SiloKey
from dpfedsyn.moments import MomentQuery, count_points, counts_sensitivity, label_counts, query_of
from dpfedsyn.network import Denoiser
from dpfedsyn.settings import Config, SiloSettings
from dpfedsyn.sums import Points, privatise, sums_lattice

Array = NDArray[np.float64]
OnStep = Callable[[], None]


@dataclass(frozen=True)
class Preparation:
    """What `prepare` needs: records and public facts of one silo, its ledger and key."""

    config: Config
    silo: SiloSettings
    records: Records
    encoder: Encoder  # public
    classes: int
    budget: Budget
    ledger: Ledger
    key: SiloKey
    folder: Path
    device: torch.device

    @property
    def query(self) -> MomentQuery:
        """The moment mechanism of this silo."""
        return query_of(self.encoder.dimension, self.classes, self.config.base)

    @property
    def architecture(self) -> Architecture:
        """The network of this silo, before it has weights."""
        encoder, settings = self.encoder, self.config.network
        return Architecture(settings, encoder.dimension, self.classes, encoder.geometry)

    @property
    def adjacency(self) -> Adjacency:
        """The run's adjacency."""
        return Adjacency(self.config.privacy.adjacency)


@dataclass(frozen=True)
class Trained:
    """A silo's models and what it releases beside its answers."""

    models: tuple[Denoiser, ...]
    counts: Array | None  # noisy label counts, or None where they stay inside
    counts_std: float


def prepare(preparation: Preparation, on_step: OnStep = lambda: None) -> Trained:
    """Train the silo's model(s) as the configuration says; resumes from the ledger.

    Guarantee:
        DP-SGD: the released counts and the models are the outputs of the budget's mechanisms, in
        the budget's order, each charged before it ran. Ensemble: nothing is charged here and
        nothing is released; models of disjoint parts, protected by the answer mechanism alone.
        Not private: none, and the statement is void.
    """
    if preparation.config.train.method == "not-private":
        return _prepare_not_private(preparation, on_step)
    if preparation.config.train.method == "ensemble":
        return _prepare_ensemble(preparation, on_step)
    counts, counts_std = _noisy_counts(preparation)
    statistics = _noisy_moments(preparation, counts, counts_std)
    base = _fit(preparation, statistics)
    state = _train_network(preparation, base, on_step)
    network = preparation.architecture.with_weights(state.average)
    model = Denoiser(base, network, preparation.config.network, preparation.device)
    released = counts if preparation.budget.counts_released else None
    return Trained((model,), released, counts_std)


def expected_batch_size(config: Config, silo: SiloSettings) -> float:
    """Return the public, fractional divisor of a step: sampling rate times reference size."""
    return config.train.sampling_rate * silo.reference_size


def _charge_once(
    preparation: Preparation, kind: str, index: int, event: Event, uses: int, group: str, draws: int
) -> tuple[bytes, Callable[[bytes | None], bytes | None]]:
    """Return (noise key, commit): a charge found in the ledger, or a new one to be committed.

    `commit(reply)` writes charge and reply together and returns the committed bytes; where the
    charge exists already it ignores its argument and returns the bytes of that time.
    """
    ledger, key = preparation.ledger, preparation.key
    context = (kind.encode(), index.to_bytes(8, "big"), key.model_nonce)
    digest = hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in context)).digest()
    known = ledger.find(digest)
    if known is not None:
        reply = known.reply
        return key.noise(digest, known.seq), lambda _: reply
    ticket = ledger.admit(
        digest=digest, kind=kind, group=group, event=event, uses=uses, draws=draws
    )

    def commit(reply: bytes | None) -> bytes | None:
        ledger.commit(ticket, reply)
        return reply

    return key.noise(digest, ticket.seq), commit


def _noisy_counts(preparation: Preparation) -> tuple[Array, float]:
    event, labels = preparation.budget.counts, preparation.records.y
    assert event is not None
    group = "R" if preparation.budget.counts_released else "A"
    std = event.noise_multiplier * counts_sensitivity(preparation.adjacency)

    def counted(spacing: float) -> Points:
        return count_points(labels, preparation.classes, spacing)

    return _noisy(preparation, "counts", group, event, std, counted)


def _noisy_moments(preparation: Preparation, counts: Array, counts_std: float) -> NoisyStatistics:
    query, records, budget = preparation.query, preparation.records, preparation.budget
    x, sensitivity = records.x.astype(np.float64), query.sensitivity(preparation.adjacency)
    statistics, means = NoisyStatistics(counts, counts_std, np.zeros(0), 0.0), None
    if budget.means is not None:
        std = budget.means.noise_multiplier * sensitivity
        noisy, std = _noisy(
            preparation, "means", "A", budget.means, std, partial(query.label_points, x, records.y)
        )
        statistics = replace(statistics, label_sums=noisy, label_sums_std=std)
        means = _means(preparation, statistics)
    assert budget.moments is not None
    std = budget.moments.noise_multiplier * sensitivity
    summed = partial(query.points, x, records.y, means=means)
    noisy, std = _noisy(preparation, "moments", "A", budget.moments, std, summed)
    return replace(statistics, sums=noisy, sums_std=std)


def _noisy(
    preparation: Preparation,
    kind: str,
    group: str,
    event: Gaussian,
    std: float,
    summed: Callable[[float], Points],
) -> tuple[Array, float]:
    """Charge one vector of sums of radius 1, and return it with its noise and the noise's std.

    Args:
        summed: given the spacing of a lattice, the sums in whole numbers of it.
    """
    lattice = sums_lattice(std)
    exact = summed(lattice.spacing)
    key, commit = _charge_once(preparation, kind, 0, event, 1, group, exact.size)
    noisy = commit(privatise(exact, lattice, key).tobytes())
    assert noisy is not None
    points = np.frombuffer(noisy, dtype=np.int64)
    return points.astype(np.float64) * lattice.spacing, lattice.std


def _exact_statistics(preparation: Preparation, records: Records) -> NoisyStatistics:
    """Return the same without noise, for models that the statement does not call private."""
    query, x = preparation.query, records.x.astype(np.float64)
    counts = label_counts(records.y, preparation.classes)
    if not query.residual_radius:
        return NoisyStatistics(counts, 0.0, query.sums(x, records.y), 0.0)
    statistics = NoisyStatistics(counts, 0.0, np.zeros(0), 0.0, query.label_sums(x, records.y))
    return replace(statistics, sums=query.sums(x, records.y, _means(preparation, statistics)))


def _means(preparation: Preparation, statistics: NoisyStatistics) -> Array:
    settings, encoder = preparation.config.base, preparation.encoder
    return label_means(
        statistics, preparation.query, encoder.two_valued, settings, encoder.spectrum
    )


def _fit(preparation: Preparation, statistics: NoisyStatistics) -> AnalyticBase:
    encoder = preparation.encoder
    settings = preparation.config.base
    return fit(statistics, preparation.query, encoder.two_valued, settings, encoder.spectrum)


def _train_network(
    preparation: Preparation, base: AnalyticBase, on_step: OnStep
) -> dpsgd.TrainingState:
    """Take the remaining DP-SGD steps, in blocks that are charged before they are taken."""
    config, training = preparation.config, preparation.budget.training
    assert training is not None
    path = preparation.folder / "model.npz"
    saved = checkpoint.load(path)
    state = dpsgd.TrainingState.from_arrays(saved) if saved else _initial_state(preparation)
    _require_latest(preparation, state.step, training.count)
    while state.step < training.count:
        steps = min(config.train.block, training.count - state.step)
        draws = steps * sum(weights.size for weights in state.weights.values())
        key, commit = _charge_once(
            preparation, "dp-sgd", state.step, training.event, steps, "A", draws
        )
        commit(None)
        state = dpsgd.train_block(
            state,
            steps,
            x=preparation.records.x.astype(np.float64),
            labels=preparation.records.y,
            base=base,
            noise_multiplier=preparation.budget.noise_multiplier,
            expected_batch_size=expected_batch_size(config, preparation.silo),
            architecture=preparation.architecture,
            settings=config.train,
            key=key,
            device=preparation.device,
            on_step=on_step,
        )
        checkpoint.save(path, state.to_arrays())
    return state


def _require_latest(preparation: Preparation, step: int, planned: int) -> None:
    """Refuse to train from a state that is not the ledger's latest.

    Blocks already charged would run again under noise that was used, perhaps on other records; only
    the last one may, since nothing of it can have left the silo.
    """
    uses = preparation.ledger.totals().uses
    charged, answered = uses.get("dp-sgd", 0), uses.get("answer", 0)
    behind = charged > min(step + preparation.config.train.block, planned)
    if step > charged or behind or (answered and step < planned):
        raise LedgerMismatch(
            f"{preparation.silo.name}: {preparation.folder / 'model.npz'} stands at step {step}, "
            f"the ledger at {charged} of {planned} steps and {answered} answers: they are not of "
            "one moment, and noise must not be used twice. Nothing was trained. Put both files "
            "back, or start a new run, whose budget composes with this one."
        )


def _initial_state(preparation: Preparation) -> dpsgd.TrainingState:
    key = preparation.key.derive(b"initial-weights")
    return dpsgd.initial_state(preparation.architecture, key)


def _prepare_not_private(preparation: Preparation, on_step: OnStep) -> Trained:
    """Count, fit and train without any noise: what privacy costs is measured against this."""
    records, config = preparation.records, preparation.config
    base = _fit(preparation, _exact_statistics(preparation, records))
    network = plain_training.train(
        records.x.astype(np.float64),
        records.y,
        base=base,
        architecture=preparation.architecture,
        settings=config.train,
        key=preparation.key.derive(b"not-private"),
        device=preparation.device,
    )
    on_step()
    counts = label_counts(records.y, preparation.classes)
    model = Denoiser(base, network, config.network, preparation.device)
    return Trained((model,), counts, 0.0)


def _prepare_ensemble(preparation: Preparation, on_step: OnStep) -> Trained:
    """Fit and train one model per disjoint part, without noise: the answers carry all of it."""
    config, models = preparation.config, []
    for k, part in enumerate(parts(preparation.records, config.train.parts, config.data.split_key)):
        x = part.x.astype(np.float64)
        base = _fit(preparation, _exact_statistics(preparation, part))
        network = plain_training.train(
            x,
            part.y,
            base=base,
            architecture=preparation.architecture,
            settings=config.train,
            key=preparation.key.derive(b"ensemble-member", k.to_bytes(8, "big")),
            device=preparation.device,
        )
        models.append(Denoiser(base, network, config.network, preparation.device))
        on_step()
    return Trained(tuple(models), None, 0.0)
