"""Train one DP-SGD model with many canaries, each in or out by coin, and audit what it became.

The auditor sees the last weights alone, so this is *loose*: half of epsilon is a good result, and a
bug of half the noise may well pass (use `dpfedsyn.audit.canaries` for that). What it shows is the
whole training from end to end, in one run.

torch is needed here; import this module by its name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from accountants import Event, Gaussian, PoissonSampled, Repeated
from dpfedsyn import dpsgd
from dpfedsyn.architecture import Architecture, Arrays
from dpfedsyn.audit.one_run import CanaryScores, OneRun, flip, one_run
from dpfedsyn.base import AnalyticBase
from dpfedsyn.errors import AuditError
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import noised, record_losses
from dpfedsyn.settings import NetworkSettings, TrainSettings

_DRAWS = 32  # (t, noise) of a canary's score, the same for all canaries
_DEVICE = torch.device("cpu")


@dataclass(frozen=True)
class LastIterate:
    """One training run, audited from its last weights: a loose lower bound.

    Attributes:
        claim: what the accounting says of the whole run, for one record.
        found: what one run's canaries show.
    """

    claim: Event
    found: OneRun

    def __str__(self) -> str:
        """Say what was found, and that it is loose."""
        return f"{self.found}; from the last weights alone, which is loose"


def audit_last_iterate(
    settings: TrainSettings,
    *,
    noise_multiplier: float,
    canaries: int = 500,
    dimension: int = 32,
    hidden: int = 64,
    confidence: float = 0.95,
    seed: int = 0,
) -> LastIterate:
    """Train one model with this package's DP-SGD on coin-flipped canaries, and audit it.

    Canaries lie in random directions, five times as far out as the base expects, with random
    labels; a canary's score is by how much training lowered its loss, over the same 32 (t, noise)
    for all. The number of guesses follows from the claim, before training.

    Args:
        settings: of training; `steps`, sampling rate, clip and draws are the ones audited.
        noise_multiplier: of each step.

    Guarantee:
        Coins are tossed apart from training and scores are made from weights and canaries alone,
        so that each bound holds with probability `confidence`.

    Raises:
        AuditError: too few canaries, or so little noise that the claim allows everything.
    """
    if dimension < 2:
        raise AuditError(f"dimension = {dimension}: canaries need directions. Give 2 or more.")
    rng = np.random.default_rng(seed)
    flips = flip([f"canary {k}" for k in range(canaries)], rng)
    x, labels = _canaries(canaries, dimension, rng)
    joined = np.array([flips.included[name] for name in flips.ids])
    architecture = Architecture(NetworkSettings(hidden=hidden), dimension, 2)
    before = dpsgd.initial_state(architecture, rng.bytes(32))
    after = dpsgd.train_block(
        before,
        settings.steps,
        x=x[joined],
        labels=labels[joined],
        base=_base(dimension),
        noise_multiplier=noise_multiplier,
        expected_batch_size=settings.sampling_rate * canaries / 2,
        architecture=architecture,
        settings=settings,
        key=rng.bytes(32),
        device=_DEVICE,
    )
    key = rng.bytes(32)
    lowered = [
        _losses(architecture, weights, x, labels, key)
        for weights in (before.weights, after.weights)
    ]
    scores = CanaryScores.of(flips.ids, lowered[0] - lowered[1])
    claim = Repeated(
        PoissonSampled(Gaussian(noise_multiplier), settings.sampling_rate), settings.steps
    )
    return LastIterate(claim, one_run(flips, scores, claim=claim, confidence=confidence))


def _canaries(
    count: int, dimension: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    directions = rng.standard_normal((count, dimension))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return 5.0 * math.sqrt(dimension) * directions, rng.integers(0, 2, count)


def _base(dimension: int) -> AnalyticBase:
    return AnalyticBase(np.zeros((2, dimension)), np.ones(dimension), np.eye(dimension))


def _losses(
    architecture: Architecture,
    weights: Arrays,
    x: NDArray[np.float64],
    labels: NDArray[np.int64],
    key: bytes,
) -> NDArray[np.float64]:
    network = architecture.with_weights(weights)
    batch = noised(x, labels, _base(x.shape[1]), _DRAWS, Keystream(key))
    with torch.no_grad():
        losses = record_losses(network, batch, architecture.settings, 2, _DEVICE)
    return losses.double().numpy()
