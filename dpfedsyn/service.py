"""From the bytes of a request to those of a reply: all that a silo does for whoever reaches it."""

from __future__ import annotations

from collections.abc import Callable

from accountants.ledger import Ledger
from dpfedsyn import envelope, messages
from dpfedsyn.envelope import MOST_REASON, Answered, Ask, Refused, Reply, Request, Spent
from dpfedsyn.errors import BudgetExhausted, DPError, ProtocolMismatch, ReplyPruned
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.silo import Silo

Handler = Callable[[bytes], bytes]
"""From the bytes of a request to those of its reply."""

KINDS: tuple[tuple[type[DPError], str], ...] = (
    (BudgetExhausted, "budget"),
    (ProtocolMismatch, "mismatch"),
    (ReplyPruned, "pruned"),
)
"""Errors that depend on public settings and on the ledger alone: they may leave the silo."""


def of(silo: Silo) -> Handler:
    """Return a silo's way from a question's bytes to its answer's."""
    return answering(silo.answer, lambda: spent(silo.ledger))


def spent(ledger: Ledger) -> Spent:
    """Return what a ledger's rows of answers add up to."""
    head = ledger.head  # first: an answer that comes meanwhile is counted, not left out
    totals = ledger.totals()
    return Spent(
        totals.answers_mu2,
        totals.record_mu2,
        totals.uses.get("answer", 0),
        ledger.header.ledger_id,
        head,
    )


def answering(
    answer: Callable[[ScoreQuery], PrivateAnswer], so_far: Callable[[], Spent]
) -> Handler:
    """Return the way from a question's bytes to its answer's; other requests are refused."""

    def reply(request: Request) -> Reply:
        if isinstance(request, Ask):
            return answered(request, answer, so_far)
        raise ProtocolMismatch("a silo inside of a run answers questions alone.")

    return lambda data: handled(data, reply)


def answered(
    question: Ask, answer: Callable[[ScoreQuery], PrivateAnswer], so_far: Callable[[], Spent]
) -> Answered:
    """Answer an encoded question."""
    found = answer(messages.decode_query(question.query))
    return Answered(messages.encode_answer(found), so_far())


def handled(data: bytes, reply: Callable[[Request], Reply]) -> bytes:
    """Read a request and encode its reply; an error that may leave the silo becomes a refusal.

    Any other error is raised: it may speak of records.
    """
    try:
        return envelope.encode(reply(envelope.request(data)))
    except (BudgetExhausted, ProtocolMismatch, ReplyPruned) as error:
        kind = next(name for known, name in KINDS if isinstance(error, known))
        return envelope.encode(Refused(kind, str(error)[:MOST_REASON]))
