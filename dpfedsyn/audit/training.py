"""Training audit: with the owner's records and key, training is repeated and compared.

The sums are recomputed and must be what the replies hold beneath their noise, to the last unit. The
DP-SGD steps are taken again with the noise that was charged; another amount of it, other clipping
or other records lead to another model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accountants import Gaussian, PoissonSampled
from dpfedsyn import checkpoint, dpsgd
from dpfedsyn.architecture import Architecture
from dpfedsyn.audit.asked import base, differing
from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.findings import INCONCLUSIVE, WHOLE_RUN, Finding, one
from dpfedsyn.audit.models import architecture, brought_model
from dpfedsyn.base import Base
from dpfedsyn.brought.tuning import Tuning
from dpfedsyn.data import Records
from dpfedsyn.device import pick_device
from dpfedsyn.dpsgd import TrainingState
from dpfedsyn.errors import DataError
from dpfedsyn.records import read_records
from dpfedsyn.start import pretrained
from dpfedsyn.threads import one_per_silo
from dpfedsyn.train import expected_batch_size

CHECK = "training repeated"
SAME = 0.01  # of the way that the weights went: what floats of another machine may change


def findings(evidence: Evidence, *, retrain: bool) -> list[Finding]:
    """Return, for each silo, whether its charges make its sums and its model of its records.

    Guarantee:
        A model that was trained with another noise multiplier than was charged is a VIOLATION.
    """
    silos = [silo for silo in evidence.silos.values() if silo.of("dp-sgd") or silo.of("counts")]
    if not retrain:
        fact = "training was not repeated, so what noise its steps drew is not known."
        mend = "Pass --retrain where the records are at hand; it takes as long as training did."
        return [Finding(CHECK, WHOLE_RUN, INCONCLUSIVE, fact, mend=mend)] if silos else []
    try:
        records = read_records(evidence.config, evidence.encoder).silos
    except DataError as error:
        fact = f"the records cannot be read: {error}"
        return [Finding(CHECK, WHOLE_RUN, INCONCLUSIVE, fact)] if silos else []
    with one_per_silo():
        return [_silo(evidence, silo, records[silo.name].train) for silo in silos]


def _silo(evidence: Evidence, silo: SiloEvidence, records: Records) -> Finding:
    # What sums hold beneath their noise is what the records sum up to.
    faults = [
        f"{kind} hold other sums than the records', beneath the noise that was charged"
        for kind in differing(evidence, silo, records)
    ]
    state, distance, taken = checkpoint.load(silo.folder / "model.safetensors"), 0.0, 0
    if state is not None:
        stored = TrainingState.from_arrays(state)
        taken = stored.step
        beginning = _beginning(evidence, silo)
        if beginning is None:
            fact = f"{silo.settings.model}: the model that it began with cannot be read here."
            return Finding(CHECK, silo.name, INCONCLUSIVE, fact)
        distance = _distance(evidence, silo, records, beginning, stored)
        if not distance <= SAME:
            faults.append(
                "DP-SGD at the charged noise leads elsewhere than to model.safetensors: the "
                f"difference is {distance:.3g} of the way that its weights went"
            )
    return one(
        CHECK,
        silo.name,
        faults,
        holds=f"sums and {taken} steps, repeated from records and keys, are the stored ones, but "
        f"for {distance:.2g} of the way that the weights went.",
        consequence="Other noise than was charged trained this silo's model, or other records did.",
        mend="Put back the records of the run, or start a new one; its budget composes with this.",
        numbers={"steps": taken, "distance": distance},
    )


@dataclass(frozen=True)
class _Beginning:
    """What DP-SGD began with: a network, its weights, and the base beneath it, if there is one."""

    network: Architecture | Tuning
    base: Base | None
    state: TrainingState


def _beginning(evidence: Evidence, silo: SiloEvidence) -> _Beginning | None:
    """Return what the silo's training began with; None where a brought model cannot be read."""
    config = evidence.config
    if silo.settings.brings:
        found = brought_model(evidence, silo)
        if found is None:
            return None
        tuning = Tuning(found)
        return _Beginning(tuning, None, dpsgd.state_before(tuning.start))
    network, fitted = architecture(evidence), base(evidence, silo)
    if fitted is not None and config.pretrain.steps:
        weights = pretrained(config, evidence.encoder, fitted, pick_device(config))
        return _Beginning(network, fitted, dpsgd.state_before(weights))
    key = silo.key.derive(b"initial-weights")
    return _Beginning(network, fitted, dpsgd.initial_state(network, key))


def _distance(
    evidence: Evidence,
    silo: SiloEvidence,
    records: Records,
    beginning: _Beginning,
    stored: TrainingState,
) -> float:
    """Distance of repeated and stored weights, over the way from the initial ones."""
    config, state = evidence.config, beginning.state
    if beginning.base is None and not silo.settings.brings:
        return float("inf")
    for charge in silo.of("dp-sgd"):
        match charge.event:
            case PoissonSampled(Gaussian(multiplier), _) if state.step < stored.step:
                state = dpsgd.train_block(
                    state,
                    charge.uses,
                    x=records.x,
                    labels=records.y,
                    base=beginning.base,
                    noise_multiplier=multiplier,
                    expected_batch_size=expected_batch_size(config, silo.settings),
                    architecture=beginning.network,
                    settings=config.train,
                    key=silo.key.noise(charge.digest, charge.seq),
                    device=pick_device(config),
                    units=records.units,
                )
    if state.step != stored.step:
        return float("inf")
    way = _gap(beginning.state, stored)
    return _gap(state, stored) / way if way else 0.0


def _gap(one_state: TrainingState, other: TrainingState) -> float:
    squares = [
        float(np.square(value.astype(np.float64) - other.weights[name]).sum())
        for name, value in one_state.weights.items()
    ]
    return float(np.sqrt(sum(squares)))
