"""A silo's trained model, put together from what its folder keeps; no record is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accountants import Gaussian
from dpfedsyn import brought, checkpoint, weights
from dpfedsyn.architecture import Architecture
from dpfedsyn.audit.asked import base
from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.kept import summed
from dpfedsyn.brought import BroughtModel
from dpfedsyn.brought.tuning import Tuning
from dpfedsyn.device import pick_device
from dpfedsyn.dpsgd import TrainingState
from dpfedsyn.errors import ModelError
from dpfedsyn.network import Denoiser
from dpfedsyn.train import BROUGHT
from dpfedsyn.weights import TargetMixture


def model(evidence: Evidence, silo: SiloEvidence) -> Denoiser | BroughtModel | None:
    """Return the model that answered for a silo, or None where not all of it is at hand.

    The base follows from the noised sums in the ledger, the network lies in model.safetensors. An
    ensemble keeps neither: its models are trained again from the records. A brought model lies
    where the configuration says, and what DP-SGD made of it in model.safetensors.
    """
    arrays = checkpoint.load(silo.folder / "model.safetensors")
    if silo.settings.brings:
        return _brought(evidence, silo, arrays)
    config, fitted = evidence.config, base(evidence, silo)
    if config.train.method != "dp-sgd" or fitted is None:
        return None
    if config.network.kind == "none":
        network = architecture(evidence).with_weights({})
    elif arrays is None:
        return None
    else:
        network = architecture(evidence).with_weights(TrainingState.from_arrays(arrays).average)
    return Denoiser(fitted, network, config.network, pick_device(config))


def _brought(
    evidence: Evidence, silo: SiloEvidence, arrays: dict[str, NDArray[Any]] | None
) -> BroughtModel | None:
    found = brought_model(evidence, silo)
    if found is None or not silo.settings.tunes:
        return found
    if arrays is None:
        return None
    return Tuning(found).tuned(TrainingState.from_arrays(arrays).average)


def brought_model(evidence: Evidence, silo: SiloEvidence) -> BroughtModel | None:
    """Return the model as the silo brought it; None where it is gone, or is no longer that one."""
    config, kept = evidence.config, silo.folder / BROUGHT
    try:
        path = config.path(silo.settings.model)
        found = brought.read(path, evidence.encoder, pick_device(config))
        same = kept.read_text(encoding="ascii").strip() == found.digest
    except (ModelError, OSError):
        return None
    return found if same else None


def architecture(evidence: Evidence) -> Architecture:
    """Return the network of every silo, before it has weights."""
    settings, encoder = evidence.config.network, evidence.encoder
    return Architecture(settings, evidence.dimension, evidence.classes, encoder.geometry)


def mixture(evidence: Evidence) -> TargetMixture | None:
    """Return the server's mixing weights, or None where a silo's released counts are missing."""
    config = evidence.config
    if config.weights.source == "public":
        shares = config.weights.labels or (1.0,) * evidence.classes
        return weights.public(np.array([s.weight for s in config.silos]), np.array(shares))
    found = [summed(evidence.silos[s.name], "counts") for s in config.silos
             if s.name in evidence.silos]  # fmt: skip
    counts = [one for one in found if one is not None and isinstance(one.charge.event, Gaussian)]
    if len(counts) < len(config.silos):
        return None
    stds = np.array([one.std * one.spacing for one in counts])
    return weights.from_counts(np.stack([one.values for one in counts]), stds)
