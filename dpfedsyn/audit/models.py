"""A silo's trained model, put together from what its folder keeps; no record is read."""

from __future__ import annotations

import numpy as np

from accountants import Gaussian
from dpfedsyn import checkpoint, weights
from dpfedsyn.architecture import Architecture
from dpfedsyn.audit.asked import base
from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.kept import summed
from dpfedsyn.device import pick_device
from dpfedsyn.dpsgd import TrainingState
from dpfedsyn.network import Denoiser
from dpfedsyn.weights import TargetMixture


def model(evidence: Evidence, silo: SiloEvidence) -> Denoiser | None:
    """Return the silo's denoiser, or None where its folder does not hold all of it.

    The base follows from the noised sums in the ledger, the network lies in model.safetensors. An
    ensemble keeps neither: its models are trained again from the records. A brought model lies
    elsewhere.
    """
    config, fitted = evidence.config, base(evidence, silo)
    arrays = checkpoint.load(silo.folder / "model.safetensors")
    if silo.settings.brings or config.train.method != "dp-sgd" or fitted is None:
        return None
    if config.network.kind == "none":
        network = architecture(evidence).with_weights({})
    elif arrays is None:
        return None
    else:
        network = architecture(evidence).with_weights(TrainingState.from_arrays(arrays).average)
    return Denoiser(fitted, network, config.network, pick_device(config))


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
