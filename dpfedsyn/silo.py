"""One silo's answering role: a trained model and a ledger behind one method, `answer`.

Everything that leaves a silo during sampling passes through `Silo.answer`. It trusts nobody: the
server may choose queries adaptively, repeat them, replay them or vanish.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accountants import Gaussian
from accountants.ledger import Ledger, Ticket
from dpfedsyn import messages
from dpfedsyn.diffusion import TRAINING_STEPS, signal_shares
from dpfedsyn.errors import BudgetExhausted, MechanismError, ProtocolMismatch, ReplyPruned
from dpfedsyn.keys import SiloKey
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.privatise import AnswerLattice, AnswerMechanism

Array = NDArray[np.float64]

_LOG = logging.getLogger(__name__)

# Noise outside of this range would take costs out of the floats.
LEAST_NOISE, MOST_NOISE = 1e-12, 1e12
MOST_ROUNDS = 2**31


class Model(Protocol):
    """What a silo needs of a trained model: a trained denoiser here, a stand-in in tests."""

    def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
        """Return the predicted noise (N, d) for samples x (N, d) at abar_t = signal."""
        ...


@dataclass(frozen=True)
class Public:
    """What everybody may know of a silo: enough to check a query without looking at records."""

    name: str
    run: str
    dimension: int
    classes: int
    mechanism: AnswerMechanism
    record_parts: int | None  # parts that one record can move, for an ensemble's record level
    version: bytes  # schema hash and code version, bound into every digest


class Silo:
    """A silo that answers: models, ledger and key, and what is public of it."""

    def __init__(
        self, public: Public, models: Sequence[Model], ledger: Ledger, key: SiloKey
    ) -> None:
        self.public = public
        self.ledger = ledger
        self._models = tuple(models)
        self._key = key
        self._one_at_a_time = threading.Lock()

    def answer(self, query: ScoreQuery) -> PrivateAnswer:
        """Answer a query once: filter, clip, noise, charge and reply committed together, reply.

        Args:
            query: x (N, d) float32 at time t with labels (N,), and the noise to add (public).

        Guarantee:
            Nothing about the records reaches the caller but the returned answer, and that is one
            Gaussian mechanism whose cost `AnswerMechanism.silo_mu2` states. Its charge and its
            bytes are durable before it is returned; the sum of all costs never exceeds the
            ledger's cap, whatever the queries are, and neither do the draws of noise exceed
            theirs. A query that was answered before gets the same bytes again, at no cost, also
            when it comes twice at once: queries are answered one at a time. No noise is ever used
            for two different answers.

        Raises:
            ProtocolMismatch: the query is not one this silo answers. BudgetExhausted: its cost
                does not fit. ReplyPruned: it was answered too long ago. All three depend on
                public settings and on the ledger only.
        """
        self._check(query)
        with self._one_at_a_time:
            return self._answer(query)

    def _answer(self, query: ScoreQuery) -> PrivateAnswer:
        mechanism = self.public.mechanism
        lattice = mechanism.lattice(query.score_std, query.energy_std)
        digest = messages.digest(
            query,
            self.ledger.header.ledger_id.encode(),
            self._key.model_nonce,
            self.public.version,
            repr((mechanism, lattice)).encode(),
        )
        known = self.ledger.find(digest)
        if known is not None:
            return self._redeliver(known.reply, query)
        ticket = self._admit(digest, query)
        answer = self._computed(query, lattice, self._key.noise(digest, ticket.seq))
        self.ledger.commit(ticket, messages.encode_answer(answer))
        return answer

    def _computed(self, query: ScoreQuery, lattice: AnswerLattice, key: bytes) -> PrivateAnswer:
        x, labels = query.x.astype(np.float64), query.labels
        signal = signal_shares()[query.t]
        noise = np.stack([_predicted(model, x, signal, labels) for model in self._models])
        mechanism, energies = self.public.mechanism, lattice.energies
        points, energy_points = mechanism.release(
            noise, energies_of(noise), lattice=lattice, key=key
        )
        return PrivateAnswer(
            silo=self.public.name,
            round_number=query.round_number,
            t=query.t,
            points=messages.narrowed(points),
            energy_points=None if energy_points is None else messages.narrowed(energy_points),
            clip=mechanism.clip,
            energy_bound=mechanism.energy_bound,
            spacing=lattice.scores.spacing / mechanism.parts,
            energy_spacing=None if energies is None else energies.spacing / mechanism.parts,
            score_std=lattice.scores.std / mechanism.parts,
            energy_std=None if energies is None else energies.std / mechanism.parts,
        )

    def _redeliver(self, reply: bytes | None, query: ScoreQuery) -> PrivateAnswer:
        if reply is None:
            raise ReplyPruned(
                f"{self.public.name}: round {query.round_number} was answered and charged, but its "
                f"reply is older than the {self.ledger.header.keep_replies} rounds that are kept. "
                "It is not computed again. Continue from a later checkpoint."
            )
        return messages.decode_answer(reply)

    def _admit(self, digest: bytes, query: ScoreQuery) -> Ticket:
        mechanism, rows = self.public.mechanism, len(query.x)
        noise = (rows, query.score_std, query.energy_std)
        mu2 = mechanism.silo_mu2(*noise)
        record_mu2 = None
        if self.public.record_parts is not None:
            record_mu2 = mechanism.record_mu2(*noise, moved_parts=self.public.record_parts)
        try:
            return self.ledger.admit(
                digest=digest,
                kind="answer",
                group="B",
                event=Gaussian(1.0 / math.sqrt(mu2)),
                mu2=mu2,
                record_mu2=record_mu2,
                round=query.round_number,
                draws=rows * (self.public.dimension + (query.energy_std is not None)),
            )
        except BudgetExhausted as refusal:
            raise BudgetExhausted(f"{self.public.name}: {refusal}") from None

    def _check(self, query: ScoreQuery) -> None:
        """Refuse what is not a query, by public settings alone."""
        fault = self._fault(query)
        if fault is not None:
            raise ProtocolMismatch(
                f"{self.public.name}: a query with {fault}; nothing was answered or charged. "
                f"Ask for run {self.public.run!r}, x (N, {self.public.dimension}) float32, "
                f"labels (N,) int64, 0 <= t < {TRAINING_STEPS}, "
                f"rounds from 0 and noise from {LEAST_NOISE:g} to {MOST_NOISE:g} that does not "
                "vanish beside the bounds."
            )

    def _fault(self, query: ScoreQuery) -> str | None:
        """Say what is wrong with a query, types included: the wire may carry anything."""
        x, labels, public = query.x, query.labels, self.public
        stds = [query.score_std] + ([] if query.energy_std is None else [query.energy_std])
        if type(query.run) is not str or query.run != public.run:
            return f"run {_shown(query.run)}, not {public.run!r}"
        if type(query.round_number) is not int or not 0 <= query.round_number < MOST_ROUNDS:
            return f"round {_shown(query.round_number)}"
        if type(query.t) is not int or not 0 <= query.t < TRAINING_STEPS:
            return f"t = {_shown(query.t)}"
        if not all(isinstance(s, float) and LEAST_NOISE <= s <= MOST_NOISE for s in stds):
            return f"noise {', '.join(map(_shown, stds))}"
        try:
            public.mechanism.lattice(query.score_std, query.energy_std)
        except MechanismError as error:
            return str(error)
        if type(x) is not np.ndarray or x.dtype != np.float32:
            return f"x of type {getattr(x, 'dtype', type(x).__name__)}, not float32"
        if type(labels) is not np.ndarray or labels.dtype != np.int64:
            return f"labels of type {getattr(labels, 'dtype', type(labels).__name__)}, not int64"
        if x.ndim != 2 or x.shape[1] != public.dimension or len(x) == 0:
            return f"x of shape {x.shape}"
        if labels.shape != x.shape[:1]:
            return f"labels of shape {labels.shape}"
        if ((labels < 0) | (labels >= public.classes)).any():
            return f"labels outside 0 ... {public.classes - 1}"
        return None if np.isfinite(x).all() else "x that is not finite"


def _shown(value: object) -> str:
    """Write what a server sent into a refusal; what is no number or short text, by its type."""
    plain = isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**64)
    if plain or (isinstance(value, str) and len(value) <= 60):
        return ascii(value)
    return f"of type {type(value).__name__}"


def _predicted(model: Model, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
    """Return a model's prediction; where it fails, rows that the mechanism turns into zeros.

    A model's own error may speak of records, and whether it fails may depend on them: neither must
    be seen outside. The owner of the silo finds the error in the log.
    """
    try:
        noise = np.asarray(model.predict_noise(x, signal, labels), dtype=np.float64)
        if noise.shape == x.shape:
            return noise
        _LOG.error("a model returned shape %s for samples of shape %s", noise.shape, x.shape)
    except Exception:
        _LOG.exception("a model failed; its rows count as zeros")
    return np.full(x.shape, np.nan)


def energies_of(noise: Array) -> Array:
    """Return 1/2 |noise|^2 per row (M, N), equation (11); the mechanism clips and centres it."""
    with np.errstate(over="ignore", invalid="ignore"):
        halves: Array = 0.5 * np.square(noise).sum(axis=2)
    return halves
