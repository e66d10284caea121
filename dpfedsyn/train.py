"""Prepare one silo: counts, moments, DP-SGD, each charged to its ledger before it is used.

The order is the budget's: counts (released to the server), moments (kept inside), blocks of DP-SGD
steps. Killed at any point, `prepare` continues from the ledger: what was charged is not charged
again, and what it produced is read back or computed again from the same key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from accountants import Repeated
from dpfedsyn import checkpoint, dpsgd, plain_training
from dpfedsyn.architecture import Architecture
from dpfedsyn.base import Base
from dpfedsyn.bases import Asked, bases
from dpfedsyn.brought import BroughtModel
from dpfedsyn.brought.tuning import Tuning
from dpfedsyn.counts import label_counts
from dpfedsyn.data import Records, parts
from dpfedsyn.errors import LedgerMismatch, ModelError
from dpfedsyn.network import Denoiser, Network
from dpfedsyn.preparation import Preparation, charge_once
from dpfedsyn.releases import noisy_marginals, sums_of
from dpfedsyn.settings import Config, SiloSettings

BROUGHT = "model.sha256"  # stays in the silo, as the model does
Array = NDArray[np.float64]
OnStep = Callable[[], None]


@dataclass(frozen=True)
class Trained:
    """A silo's models and what it releases beside its answers."""

    models: tuple[Denoiser, ...] | tuple[BroughtModel]
    counts: Array | None  # noisy label counts, or None where they stay inside
    counts_std: float
    marginals: tuple[Array, float] | None = None  # noisy histograms and their std, if asked for


def prepare(
    preparation: Preparation, on_step: OnStep = lambda: None, base: Base | None = None
) -> Trained:
    """Train the silo's model(s) as the configuration says; resumes from the ledger.

    Args:
        base: the one that all silos' released statistics were fitted with; None: its own.

    Guarantee:
        DP-SGD: the released counts and the models are the outputs of the budget's mechanisms, in
        the budget's order, each charged before it ran. Ensemble: nothing is charged here and
        nothing is released; models of disjoint parts, protected by the answer mechanism alone.
        Brought: counts, where they are released, and DP-SGD, where the model is trained further;
        one that is not is protected by the answer mechanism, and by its signer's claim, alone.
        Not private: none, and the statement is void.
    """
    if preparation.brought is not None:
        return _prepare_brought(preparation, preparation.brought, on_step)
    if preparation.config.train.method == "not-private":
        return _prepare_not_private(preparation, base, on_step)
    if preparation.config.train.method == "ensemble":
        return _prepare_ensemble(preparation, on_step)
    counts, counts_std = sums_of(preparation).counts()
    base = base or _own_base(preparation)
    model = Denoiser(
        base, _network(preparation, base, on_step), preparation.config.network, preparation.device
    )
    released = counts if preparation.budget.counts_released else None
    return Trained((model,), released, counts_std, _marginals(preparation))


def expected_batch_size(config: Config, silo: SiloSettings) -> float:
    """Return the public, fractional divisor of a step: sampling rate times reference size."""
    return config.train.sampling_rate * silo.reference_size


def _marginals(preparation: Preparation) -> tuple[Array, float] | None:
    return noisy_marginals(preparation) if preparation.config.base.marginals_share else None


def _own_base(preparation: Preparation, records: Records | None = None) -> Base:
    """Return the base of the silo alone; of other records, exactly (members of an ensemble)."""
    if records is not None:
        preparation = replace(preparation, records=records)
    config, encoder = preparation.config, preparation.encoder
    (base,) = bases(Asked([sums_of(preparation)]), preparation.query, encoder, config.base)
    return base


def _network(preparation: Preparation, base: Base, on_step: OnStep) -> Network:
    """Return the network, trained where the budget has DP-SGD."""
    architecture, training = preparation.architecture, preparation.budget.training
    if training is None:
        on_step()
        return architecture.with_weights({})
    start = _start(preparation)
    state = _train_network(preparation, architecture, start, base, training, on_step)
    return architecture.with_weights(state.average)


def _train_network(
    preparation: Preparation,
    architecture: Architecture | Tuning,
    start: Callable[[], dpsgd.TrainingState],
    base: Base | None,
    training: Repeated,
    on_step: OnStep,
) -> dpsgd.TrainingState:
    """Take the remaining DP-SGD steps, in blocks that are charged before they are taken."""
    config = preparation.config
    path = preparation.folder / "model.safetensors"
    saved = checkpoint.load(path)
    state = dpsgd.TrainingState.from_arrays(saved) if saved else start()
    _require_latest(preparation, state.step, training.count)
    while state.step < training.count:
        steps = min(config.train.block, training.count - state.step)
        draws = steps * sum(weights.size for weights in state.weights.values())
        with preparation.charging:
            key, commit = charge_once(
                preparation, "dp-sgd", state.step, training.event, steps, "A", draws
            )
            commit(None)
        state = dpsgd.train_block(
            state,
            steps,
            x=preparation.records.x,
            labels=preparation.records.y,
            base=base,
            noise_multiplier=preparation.budget.noise_multiplier,
            expected_batch_size=expected_batch_size(config, preparation.silo),
            architecture=architecture,
            settings=config.train,
            key=key,
            device=preparation.device,
            on_step=on_step,
            units=preparation.records.units,
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
            f"{preparation.silo.name}: {preparation.folder / 'model.safetensors'} stands at step "
            f"{step}, the ledger at {charged} of {planned} steps and {answered} answers: they are "
            "not of one moment, and noise must not be used twice. Nothing was trained. Put both "
            "files back, or start a new run, whose budget composes with this one."
        )


def _start(preparation: Preparation) -> Callable[[], dpsgd.TrainingState]:
    """What makes the state before the first step, should there be none yet."""
    if preparation.start is not None:
        return partial(dpsgd.state_before, preparation.start)
    key = preparation.key.derive(b"initial-weights")
    return partial(dpsgd.initial_state, preparation.architecture, key)


def _prepare_not_private(preparation: Preparation, base: Base | None, on_step: OnStep) -> Trained:
    """Count, fit and train without any noise: what privacy costs is measured against this."""
    records, config = preparation.records, preparation.config
    base = base or _own_base(preparation)
    network = plain_training.train(
        records.x,
        records.y,
        base=base,
        architecture=preparation.architecture,
        settings=config.train,
        key=preparation.key.derive(b"not-private"),
        device=preparation.device,
        units=records.units,
    )
    on_step()
    counts = label_counts(records.y, preparation.classes, records.units)
    model = Denoiser(base, network, config.network, preparation.device)
    return Trained((model,), counts, 0.0, _marginals(preparation))


def _prepare_brought(preparation: Preparation, model: BroughtModel, on_step: OnStep) -> Trained:
    """Charge what is claimed of the model, count the records, and let the model answer.

    A ledger is of one model: another one in its place would not be the one that was claimed.
    """
    silo, claimed = preparation.silo, preparation.budget.claimed
    kept = preparation.folder / BROUGHT
    if not kept.exists():
        checkpoint.write_bytes(kept, (model.digest + "\n").encode())
    elif kept.read_text(encoding="ascii").strip() != model.digest:
        raise LedgerMismatch(
            f"{silo.name}: {silo.model} holds other weights than when the run was started, and "
            "the ledger is of that model. Nothing was charged. Put its weights back, or start a "
            "new run, whose budget composes with this one."
        )
    if claimed is not None:
        with preparation.charging:
            _, commit = charge_once(preparation, "claimed", 0, claimed, 1, "A", 1)
            commit(None)
    counts, std = None, 0.0
    if preparation.budget.counts_released:
        counts, std = sums_of(preparation).counts()
    if (training := preparation.budget.training) is not None:
        tuning = Tuning(model)
        start = partial(dpsgd.state_before, tuning.start)
        state = _train_network(preparation, tuning, start, None, training, on_step)
        return Trained((tuning.tuned(state.average),), counts, std)
    on_step()
    return Trained((model,), counts, std)


def require_tunable(silo: SiloSettings, model: BroughtModel) -> None:
    """Refuse a brought model that DP-SGD cannot take, or that is of another size than is planned.

    Raises:
        ModelError: names each layer, why, and what would do (`dpfedsyn.dpsgd.probe.refusals`); or
            the right number of parameters that are trained.
    """
    faults = dpsgd.refusals(model)
    if model.labelled:
        faults.append("labels: it takes them, and only models without labels are trained further.")
    if faults:
        shown = "".join(f"\n  {fault}" for fault in faults)
        raise ModelError(
            f"{silo.name}: DP-SGD cannot take its model, so nothing was trained or charged:{shown}"
        )
    count = Tuning(model).size
    if count != silo.parameters:
        raise ModelError(
            f"{silo.name}: its model has {count} parameters to train, the plan's noise is for "
            f"{silo.parameters}; nothing was trained or charged. Set parameters = {count}."
        )


def _prepare_ensemble(preparation: Preparation, on_step: OnStep) -> Trained:
    """Fit and train one model per disjoint part, without noise: the answers carry all of it."""
    config, models = preparation.config, []
    for k, part in enumerate(parts(preparation.records, config.train.parts, config.data.split_key)):
        base = _own_base(preparation, part)
        network = plain_training.train(
            part.x,
            part.y,
            base=base,
            architecture=preparation.architecture,
            settings=config.train,
            key=preparation.key.derive(b"ensemble-member", k.to_bytes(8, "big")),
            device=preparation.device,
            units=part.units,
        )
        models.append(Denoiser(base, network, config.network, preparation.device))
        on_step()
    return Trained(tuple(models), None, 0.0)
