"""This package's own private paths under audit, as they are and with mistakes made on purpose.

`PATHS` says which audit sees which mistake of `mutations`. Each audit is of the code as it runs:
`Silo.answer` over a ledger on disk, `train_block` from records to weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from opacus.optimizers import DPOptimizer

from accountants import Gaussian
from benchmarks.audit import mutations
from benchmarks.audit.mutations import Mutation, applied
from benchmarks.audit.own_answers import (
    CALLS,
    CLIP,
    Answers,
    LedgerFindings,
    audit_ledger,
    audit_silo,
    ensemble,
    opposite,
    with_energies,
)
from dpfedsyn.audit import Audit, Verdict
from dpfedsyn.audit.canaries import audit_optimizer, audit_training
from dpfedsyn.audit.last_iterate import LastIterate, audit_last_iterate
from dpfedsyn.settings import TrainSettings

# --- audits of DP-SGD


def train_settings(**changes: Any) -> TrainSettings:
    """Every record in every step, with 4 draws; as changed."""
    return replace(TrainSettings(sampling_rate=1.0, draws=4), **changes)


def audit_opacus(*, noise_ratio: float = 1.0, seed: int = 0) -> Audit:
    """Audit Opacus's own optimizer, told to add `noise_ratio` times the noise that is claimed."""
    claimed = 1.0

    def optimizer_of(module: torch.nn.Module) -> Any:
        return DPOptimizer(
            torch.optim.SGD(module.parameters(), lr=0.1),
            noise_multiplier=claimed * noise_ratio,
            max_grad_norm=1.0,
            expected_batch_size=8,
            loss_reduction="mean",
        )

    return audit_optimizer(
        torch.nn.Linear(32, 1), optimizer_of, claim=Gaussian(claimed), others=7, seed=seed,
        max_calls=1_000,
    )  # fmt: skip


def audit_last_weights(seed: int = 0) -> LastIterate:
    """Audit one whole training, a composed and sampled claim, from its last weights."""
    settings = train_settings(steps=100, sampling_rate=0.2)
    return audit_last_iterate(
        settings, noise_multiplier=0.7, canaries=500, dimension=500, seed=seed
    )


# --- which audit sees which mistake


@dataclass(frozen=True)
class OwnPath:
    """One audit of one path, and a mistake that it must flag; without one it must find nothing.

    Attributes:
        audited: audits the path with at most so many calls.
    """

    mutation: Mutation
    audited: Callable[[int], Audit | LedgerFindings]

    def verdict(self, *, mistaken: bool, calls: int = CALLS) -> Verdict:
        """Return the audit's verdict, with or without the mistake."""
        with applied(self.mutation if mistaken else None):
            return self.audited(calls).verdict


def _silo(answers: Answers) -> Callable[[int], Audit]:
    return lambda calls: audit_silo(answers, calls=calls)


def _ledger(calls: int) -> LedgerFindings:
    return audit_ledger(opposite(2), rounds=min(calls, 4))


def _training(noise: float, *, others: int = 0, **changes: Any) -> Callable[[int], Audit]:
    settings = train_settings(**changes)
    return lambda calls: audit_training(
        settings, noise_multiplier=noise, others=others, max_calls=calls
    )


PATHS: tuple[OwnPath, ...] = (
    OwnPath(mutations.NOISE_HALVED, _silo(opposite(1))),
    OwnPath(mutations.CLIP_REMOVED, _silo(opposite(1, length=5.0 * CLIP))),
    OwnPath(mutations.ENERGY_CLIP_REMOVED, _silo(with_energies(1, length=20.0 * CLIP))),
    OwnPath(mutations.ROWS_SHARE_NOISE, _silo(opposite(2))),
    OwnPath(mutations.ROWS_NOT_COUNTED, _silo(opposite(4))),
    OwnPath(mutations.CENTRED_SENSITIVITY, _silo(opposite(1))),
    OwnPath(mutations.PARTS_DIVIDED_TWICE, _silo(ensemble(3))),
    OwnPath(mutations.KEY_REUSED, _silo(opposite(1))),
    OwnPath(mutations.NOT_COMMITTED, _ledger),
    OwnPath(mutations.CHARGED_WITHOUT_REPLY, _ledger),
    OwnPath(mutations.RECOMPUTED, _ledger),
    OwnPath(mutations.STEP_NOISE_HALVED, _training(1.0)),
    OwnPath(mutations.GRADIENT_CLIP_REMOVED, _training(1.0)),
    OwnPath(mutations.DRAWS_AS_RECORDS, _training(1.0)),
    OwnPath(mutations.STEP_KEY_REUSED, _training(1.0)),
    OwnPath(mutations.DIVISOR_FROM_DATA, _training(1.0, others=7)),
    OwnPath(mutations.FIXED_BATCHES, _training(0.25, others=2, sampling_rate=0.5)),
    OwnPath(mutations.EMPTY_STEPS_SKIPPED, _training(1.0, sampling_rate=0.5)),
)


# --- figures for the benchmark


def seconds_for_half_noise() -> tuple[Audit, float]:
    """Audit Opacus's optimizer with half of its noise; return the audit and its seconds."""
    began = time.perf_counter()
    found = audit_opacus(noise_ratio=0.5)
    return found, time.perf_counter() - began


def flagged(sound_calls: int = 500) -> dict[str, bool]:
    """Return for each mistake whether its audit flags it, and the path without it passes."""
    return {
        path.mutation.name: path.verdict(mistaken=True) is Verdict.VIOLATION
        and path.verdict(mistaken=False, calls=sound_calls) is not Verdict.VIOLATION
        for path in PATHS
    }
