"""Mistakes made in this package's own private paths on purpose, one text replaced in one function.

The function keeps its identity and gets another body, so that whoever holds a reference to it runs
the mistake. A text that no longer occurs exactly once is an error: a mutation must not rot.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from dpfedsyn.dpsgd import optimizer, train_block
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.silo import Silo


@dataclass(frozen=True)
class Mutation:
    """A mistake: what it is, where, and which texts it replaces by which."""

    name: str
    function: Callable[..., Any]
    replaced: tuple[tuple[str, str], ...]


class StaleError(Exception):
    """A mutation's text does not occur exactly once in its function."""


@contextmanager
def applied(mutation: Mutation | None) -> Iterator[None]:
    """Make the mistake, and take it back; None makes none."""
    if mutation is None:
        yield
        return
    function = mutation.function
    assert isinstance(function, FunctionType)
    before = function.__code__
    function.__code__ = _body(function, mutation)
    try:
        yield
    finally:
        function.__code__ = before


def _body(function: FunctionType, mutation: Mutation) -> Any:
    text = textwrap.dedent(inspect.getsource(function))
    for old, new in mutation.replaced:
        if text.count(old) != 1:
            raise StaleError(f"{mutation.name}: {old!r} occurs {text.count(old)} times")
        text = text.replace(old, new)
    names = dict(function.__globals__)
    exec(compile("from __future__ import annotations\n" + text, function.__name__, "exec"), names)
    return names[function.__name__].__code__


NOISE_HALVED = Mutation(
    "answers: half the noise",
    AnswerMechanism.lattice,
    (("coarse_lattice(self._of_sum(score_std)", "coarse_lattice(0.5 * self._of_sum(score_std)"),),
)
CLIP_REMOVED = Mutation(
    "answers: rows are not clipped",
    AnswerMechanism.release,
    (
        (
            "checked(clip_rows(part, self.clip), self.clip, lattice.scores.spacing)",
            "np.trunc(part / lattice.scores.spacing).astype(np.int64)",
        ),
    ),
)
ENERGY_CLIP_REMOVED = Mutation(
    "answers: energies are not clipped",
    AnswerMechanism.release,
    (
        ("np.clip(known, 0.0, self.energy_bound) - half", "known - half"),
        (
            "checked(centred.reshape(-1, 1), half, lattice.energies.spacing)",
            "np.trunc(centred / lattice.energies.spacing).astype(np.int64)",
        ),
    ),
)
ROWS_SHARE_NOISE = Mutation(
    "answers: all rows get the same noise",
    AnswerMechanism.release,
    (
        (
            "noised(scores, lattice.scores, stream)",
            "scores + lattice.scores.noise(stream, dimension)",
        ),
    ),
)
ROWS_NOT_COUNTED = Mutation(
    "answers: sqrt(N) forgotten in the charge",
    AnswerMechanism.silo_mu2,
    (("return rows * (scores + energies)", "return scores + energies"),),
)
CENTRED_SENSITIVITY = Mutation(
    "answers: a row is charged C, not 2 C",
    AnswerMechanism.silo_mu2,
    (("(2.0 * self.clip / score_std)", "(self.clip / score_std)"),),
)
PARTS_DIVIDED_TWICE = Mutation(
    "answers: the sum over M parts gets the noise of their mean",
    AnswerMechanism.lattice,
    (("coarse_lattice(self._of_sum(score_std)", "coarse_lattice(score_std"),),
)
KEY_REUSED = Mutation(
    "answers: one noise key for all of them",
    Silo._answer,
    (("self._key.noise(digest, ticket.seq)", 'self._key.noise(b"", 0)'),),
)
NOT_COMMITTED = Mutation(
    "answers: sent without a charge",
    Silo._answer,
    (("self.ledger.commit(ticket, messages.encode_answer(answer))", "pass"),),
)
CHARGED_WITHOUT_REPLY = Mutation(
    "answers: the charge is committed without the bytes that were sent",
    Silo._answer,
    (("messages.encode_answer(answer))", "None)"),),
)
RECOMPUTED = Mutation(
    "answers: a repeated query is computed again under its old noise",
    Silo._answer,
    (
        (
            "return self._redeliver(known.reply, query)",
            "return self._computed(query, lattice, self._key.noise(digest, known.seq))",
        ),
    ),
)
STEP_NOISE_HALVED = Mutation(
    "DP-SGD: half the noise",
    optimizer.gradient_lattice,
    (("std = noise_multiplier * clip", "std = 0.5 * noise_multiplier * clip"),),
)
GRADIENT_CLIP_REMOVED = Mutation(
    "DP-SGD: records' gradients are not clipped",
    optimizer.clipped_points,
    (
        ("part.on_lattice(scale,", "part.on_lattice(torch.ones_like(scale),"),
        ("finite & (_squares(points) <= bound**2 * PROVEN)", "finite"),
    ),
)
DRAWS_AS_RECORDS = Mutation(
    "DP-SGD: every (t, noise) draw of a record is clipped by itself",
    train_block,
    (
        (
            "drawn_rows(units, chosen, settings.draws, stream)",
            "drawn_rows(units, chosen, settings.draws, stream).reshape(-1, 1)",
        ),
    ),
)
FIXED_BATCHES = Mutation(
    "DP-SGD: batches of a fixed size in place of Poisson samples",
    train_block,
    (
        (
            "stream.bernoulli(count, settings.sampling_rate)",
            "np.argsort(np.argsort(stream.words(count))) < round(settings.sampling_rate * count)",
        ),
    ),
)
DIVISOR_FROM_DATA = Mutation(
    "DP-SGD: the sum is divided by the number of records",
    train_block,
    (
        (
            "expected_batch_size=expected_batch_size",
            "expected_batch_size=max(1.0, settings.sampling_rate * len(x))",
        ),
    ),
)
EMPTY_STEPS_SKIPPED = Mutation(
    "DP-SGD: a step whose sample is empty is skipped, noise and all",
    train_block,
    (
        (
            "        rows = drawn_rows(",
            "        if not chosen.any():\n            continue\n        rows = drawn_rows(",
        ),
    ),
)
STEP_KEY_REUSED = Mutation(
    "DP-SGD: one noise key for all steps",
    train_block,
    (("optimizer.use(stream)", "optimizer.use(Keystream(bytes(32)))"),),
)
