"""What everybody may know of a silo: what it has released, and what its ledger has charged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants.ledger import Ledger

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Site:
    """What a silo has released before the first round, and the public size of its network.

    Attributes:
        counts: noisy label counts (classes,), or None where they stay inside; their noise.
        marginals: noisy histograms and the std of their noise, if there are any.
        parameters: of its network.
    """

    counts: Array | None
    counts_std: float
    marginals: tuple[Array, float] | None
    parameters: int


@dataclass(frozen=True)
class LastHeard:
    """A silo that was not there at the end of a run.

    Attributes:
        round: of its last answer, counted over all passes; 0: it never gave one. unheard: how many
            questions it was sent and never answered; they are counted as charged.
    """

    round: int
    unheard: int


@dataclass(frozen=True)
class Charged:
    """What a silo's ledger has charged, as everybody may know it.

    Attributes:
        ledger_id, head: of the ledger. released, inside: kinds of what was charged in the groups R
            (in the ledger's order) and A. answers: how many. answers_mu2, record_mu2: their sums.
        last_heard: where the ledger was not asked at the end, and the sums are upper bounds.
    """

    ledger_id: str
    head: str
    released: tuple[str, ...]
    inside: tuple[str, ...]
    answers: int
    answers_mu2: float
    record_mu2: float | None
    last_heard: LastHeard | None = None


def charged(ledger: Ledger) -> Charged:
    """Read a ledger's own rows."""
    charges, totals = ledger.charges(), ledger.totals()
    return Charged(
        ledger_id=ledger.header.ledger_id,
        head=ledger.head,
        released=tuple(c.kind for c in charges if c.group == "R"),
        inside=tuple(sorted({c.kind for c in charges if c.group == "A"})),
        answers=sum(1 for c in charges if c.group == "B"),
        answers_mu2=totals.answers_mu2,
        record_mu2=totals.record_mu2,
    )
