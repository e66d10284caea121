"""A silo's answers and its ledger under audit, as `Silo.answer` and `AnswerMechanism.release` run.

The two models that an audit tells apart are the worst ones: their predictions are set.
"""

from __future__ import annotations

import itertools
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency, Unit
from accountants.gaussian import epsilon as gaussian_epsilon
from accountants.ledger import Header, Ledger
from dpfedsyn import keys, messages
from dpfedsyn.audit import GDP, Audit, Verdict, audit
from dpfedsyn.errors import DPError
from dpfedsyn.messages import ScoreQuery
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.silo import Public, Silo

Array = NDArray[np.float64]
Real = NDArray[np.floating]

CLIP, DIMENSION, CALLS = 3.0, 2, 2_000
SHARED = Path("/dev/shm")
# Any two models are neighbours: an answer's cost is stated between any two silos.
_MODELS: Any = {"adjacency": Adjacency.REPLACE, "unit": Unit.SILO}


@dataclass(frozen=True)
class Answers:
    """Answers to audit, and the two models' predictions (M, N, d) that they are to tell apart.

    Attributes:
        score_std, energy_std: of the mean over the parts; no energies where the latter is None.
        moved_parts: how many parts differ; None: all, the silo-level cost.
    """

    mechanism: AnswerMechanism
    first: Array
    second: Array
    score_std: float
    energy_std: float | None = None
    moved_parts: int | None = None

    @property
    def rows(self) -> int:
        """N."""
        return int(self.first.shape[1])

    @property
    def neighbours(self) -> tuple[Array, Array]:
        """Both."""
        return self.first, self.second

    def claim(self) -> GDP:
        """What the mechanism says that one answer costs."""
        noise = (self.rows, self.score_std, self.energy_std)
        if self.moved_parts is None:
            return GDP(math.sqrt(self.mechanism.silo_mu2(*noise)))
        mu2 = self.mechanism.record_mu2(*noise, moved_parts=self.moved_parts)
        return GDP(math.sqrt(mu2))

    def statistic(self, scores: Real, energies: Real | None) -> Array:
        """Inner product of noised means (..., N, d), (..., N) with what tells the models apart."""
        (score, energy), (other, far) = map(self._bounded, self.neighbours)
        found: Array = np.einsum("...nd,nd->...", scores, other - score) / self.score_std**2
        if energies is not None and self.energy_std is not None:
            found = found + energies @ (far - energy) / self.energy_std**2
        return found

    def _bounded(self, predictions: Array) -> tuple[Array, Array]:
        norms = np.linalg.norm(predictions, axis=2, keepdims=True)
        clipped = predictions * np.minimum(1.0, self.mechanism.clip / np.maximum(norms, 1e-9))
        energies = np.minimum(0.5 * norms[..., 0] ** 2, self.mechanism.energy_bound)
        return clipped.mean(axis=0), energies.mean(axis=0)


def opposite(rows: int, *, mu: float = 1.0, length: float = CLIP) -> Answers:
    """N rows at +C e and -C e in turn, or beyond the clip, and the reverse: silo_mu2 is mu^2."""
    first = np.zeros((1, rows, DIMENSION))
    first[0, :, 0] = length * (-1.0) ** np.arange(rows)
    return Answers(AnswerMechanism(CLIP, 8.0), first, -first, 2.0 * CLIP * math.sqrt(rows) / mu)


def with_energies(rows: int, *, length: float) -> Answers:
    """Predictions of 0 against far ones, most of whose cost of mu = 1 is that of energies."""
    first = np.zeros((1, rows, DIMENSION))
    second = first + length * np.eye(DIMENSION)[0]
    mechanism = AnswerMechanism(CLIP, 8.0)
    energy_std = mechanism.energy_bound * math.sqrt(rows / 0.9)
    return Answers(mechanism, first, second, 2.0 * CLIP * math.sqrt(rows / 0.1), energy_std)


def ensemble(parts: int, rows: int = 1) -> Answers:
    """One of M parts moves across the clip; record_mu2 is 1."""
    first = np.zeros((parts, rows, DIMENSION))
    second = first.copy()
    first[0, :, 0], second[0, :, 0] = CLIP, -CLIP
    std = 2.0 * CLIP * math.sqrt(rows) / parts
    return Answers(AnswerMechanism(CLIP, 8.0, parts), first, second, std, moved_parts=1)


# --- audits of answers


def audit_release(answers: Answers, *, calls: int = 100_000, seed: int = 0) -> Audit:
    """Audit `AnswerMechanism.release`: as many answers at once, each with noise of its own.

    Rows of a release get independent noise, so that calls * N rows are `calls` answers of N.
    """
    mechanism = answers.mechanism
    lattice = mechanism.lattice(answers.score_std, answers.energy_std)

    def release(predictions: Array, n: int, rng: np.random.Generator) -> Array:
        noise = np.tile(predictions, (1, n, 1))
        points, energy = mechanism.release(
            noise, 0.5 * np.square(noise).sum(axis=2), lattice=lattice, key=rng.bytes(32)
        )
        scores = points.reshape(n, answers.rows, -1) * (lattice.scores.spacing / mechanism.parts)
        energies = None
        if energy is not None and lattice.energies is not None:
            spacing = lattice.energies.spacing / mechanism.parts
            energies = energy.reshape(n, answers.rows) * spacing
        return answers.statistic(scores, energies)

    return audit(
        release, answers.neighbours, claim=answers.claim(), max_calls=calls, seed=seed, **_MODELS
    )


class _Known:
    """A model whose predictions are set from outside."""

    def __init__(self) -> None:
        self.noise: Array = np.zeros(0)

    def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
        return self.noise


@contextmanager
def opened(answers: Answers, folder: Path) -> Iterator[tuple[Silo, list[_Known]]]:
    """A silo that gives these answers, over a new ledger in the folder, and its models."""
    key = keys.repeatable(0, "audited")
    header = Header(
        key.ledger_id, "audited", "run", "record", "add-or-remove", 1e-5, (), 1e9, None, 3, "1"
    )
    models = [_Known() for _ in range(answers.mechanism.parts)]
    with Ledger.create(folder / "ledger.sqlite", header, key=key.chain) as ledger:
        public = Public(
            "audited", "run", DIMENSION, 1, answers.mechanism, answers.moved_parts, b"audit/1"
        )
        yield Silo(public, models, ledger, key), models


def query_of(answers: Answers, number: int) -> ScoreQuery:
    """The query of one round."""
    rows = answers.rows
    x, labels = np.zeros((rows, DIMENSION), dtype=np.float32), np.zeros(rows, dtype=np.int64)
    return ScoreQuery("run", number, 500, x, labels, answers.score_std, answers.energy_std)


def audit_silo(answers: Answers, *, calls: int = CALLS, seed: int = 0) -> Audit:
    """Audit `Silo.answer` over a ledger file, one new round a call, claiming what it charges."""
    with (
        tempfile.TemporaryDirectory(dir=_memory()) as folder,
        opened(answers, Path(folder)) as (silo, models),
    ):
        rounds = itertools.count(1)

        def answer(predictions: Array, rng: np.random.Generator) -> Array:
            for model, noise in zip(models, predictions, strict=True):
                model.noise = noise
            sent = silo.answer(query_of(answers, next(rounds)))
            energies = None
            if sent.energy_points is not None and sent.energy_spacing is not None:
                energies = sent.energy_points * sent.energy_spacing
            return answers.statistic(sent.points * sent.spacing, energies)

        answer(answers.first, np.random.default_rng(seed))  # an error would look like an outcome
        (charge,) = silo.ledger.charges()
        mu2 = charge.mu2 if answers.moved_parts is None else charge.record_mu2
        assert mu2 is not None
        claim = GDP(math.sqrt(mu2))
        return audit(answer, answers.neighbours, claim=claim, max_calls=calls, seed=seed, **_MODELS)


def ratio(found: Audit, answers: Answers, delta: float = 1e-5) -> float:
    """Return epsilon's lower bound over epsilon."""
    return float(found.epsilon_lower(delta)) / gaussian_epsilon(answers.claim().mu, delta)


def _memory() -> str | None:
    """Return a folder in memory, where there is one: a disk's fsync takes longer than an answer."""
    return str(SHARED) if os.access(SHARED, os.W_OK) else None


# --- audit of the ledger


@dataclass(frozen=True)
class LedgerFindings:
    """What was wrong between what a silo sent and what its ledger held when it was sent."""

    faults: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """A fault is a violation: no statistics."""
        return Verdict.VIOLATION if self.faults else Verdict.CONSISTENT


def audit_ledger(answers: Answers, *, rounds: int = 4) -> LedgerFindings:
    """Compare answers with the ledger's rows at the moment they leave, and ask for each twice.

    In between the models change, as a retrained model would: an answer that is computed again
    under its old noise gives the difference away.
    """
    faults = []
    with tempfile.TemporaryDirectory() as folder, opened(answers, Path(folder)) as (silo, models):
        for number in range(1, rounds + 1):
            sent: list[bytes] = []
            again: list[bytes] = []
            for predictions, kept in ((answers.first, sent), (answers.second, again)):
                for model, noise in zip(models, predictions, strict=True):
                    model.noise = noise
                try:
                    kept.append(messages.encode_answer(silo.answer(query_of(answers, number))))
                except DPError as refusal:
                    faults.append(f"round {number} was refused: {refusal}")
                    continue
                charges = [c for c in silo.ledger.charges() if c.round == number]
                if len(charges) != 1:
                    faults.append(f"round {number} was sent with {len(charges)} charges")
                elif charges[0].reply != kept[-1]:
                    faults.append(f"round {number} was sent, but other bytes were kept")
            if sent != again:
                faults.append(f"round {number} got two different answers")
    return LedgerFindings(tuple(faults))
