"""The server's side of a transport: queries out, answers in, refusals as errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from dpfedsyn import envelope, messages
from dpfedsyn.engine import Failure, Transport
from dpfedsyn.envelope import Answered, Ask, Refused, Reply, Request, Spent
from dpfedsyn.errors import BudgetExhausted, ProtocolMismatch, ReplyPruned
from dpfedsyn.messages import PrivateAnswer, ScoreQuery

_LOG = logging.getLogger(__name__)


class Asking:
    """An engine over any transport.

    Args:
        members: the silos in the run's order, which is not the transport's; None: the transport's.
        timeout: seconds that a round's answers may take; None: as long as they take. pause: seconds
            before a round is asked again: a silo that was killed needs some to come back. on_spent:
        told each silo's name, the round and what its ledger says that it has spent, before the
        answer or anybody's refusal is looked at; what it raises ends the round.
    """

    def __init__(
        self,
        transport: Transport,
        timeout: float | None = None,
        *,
        members: Sequence[str] | None = None,
        pause: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        on_spent: Callable[[str, int, Spent], None] = lambda name, number, spent: None,
    ) -> None:
        self._transport = transport
        self._members = transport.members() if members is None else tuple(members)
        self._timeout = timeout
        self._pause, self._sleep = pause, sleep
        self._asked = -1
        self._on_spent = on_spent
        self._why: dict[str, str] = {}

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        return self._members

    def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
        """Deliver each silo's query and return the answers that are there in time.

        A silo that is late, unreachable or in trouble of its own is not among them. Refusals are
        raised once the round is over, all that are over budget in one `BudgetExhausted`.

        Raises:
            BudgetExhausted, ProtocolMismatch, ReplyPruned: a silo refused.
        """
        number = max((query.round_number for query in queries.values()), default=0)
        if number == self._asked and self._pause:
            self._sleep(self._pause)
        self._asked = number
        asked: dict[str, Request] = {
            name: Ask(messages.encode_query(query)) for name, query in queries.items()
        }
        self._why = {}
        replies = exchange(self._transport, f"round {number}", asked, self._timeout, self._why)
        for name, reply in replies.items():
            if isinstance(reply, Answered):
                self._on_spent(name, number, reply.spent)
        _raise_refusals(replies)
        answers = {}
        for name, reply in replies.items():
            if isinstance(reply, Answered):
                answers[name] = _decoded(name, reply.answer)
            elif isinstance(reply, Refused):
                self._why[name] = Failure.told(f"{reply.kind}: {reply.reason}").reason
            else:
                raise ProtocolMismatch(
                    f"{name}: replied to round {number} with something else; it was not used. "
                    "Let all silos run the server's version."
                )
        return answers

    def why(self) -> Mapping[str, str]:
        """Why silos gave no answer when they were asked last, by silo."""
        return self._why


def _decoded(name: str, data: bytes) -> PrivateAnswer:
    try:
        return messages.decode_answer(data)
    except ProtocolMismatch as error:
        raise ProtocolMismatch(
            f"{name}: {error} Its answer was not used. Let all silos run the server's version."
        ) from None


def exchange(
    transport: Transport,
    step: str,
    requests: Mapping[str, Request],
    timeout: float | None,
    why: dict[str, str] | None = None,
) -> dict[str, Reply]:
    """Deliver requests and return the replies; why a silo has none is logged, and put into `why`.

    Raises:
        ProtocolMismatch: a reply cannot be read.
    """
    payloads = {name: envelope.encode(request) for name, request in requests.items()}
    replies: dict[str, Reply] = {}
    for name, found in transport.query(step, payloads, timeout).items():
        if isinstance(found, Failure):
            _LOG.info("%s: no reply in %s: %s", name, step, found.reason)
            if why is not None:
                why[name] = found.reason
            continue
        try:
            replies[name] = envelope.reply(found)
        except ProtocolMismatch as error:
            raise ProtocolMismatch(f"{name}: {error}") from None
    return replies


def _raise_refusals(replies: Mapping[str, Reply]) -> None:
    refused = {name: reply for name, reply in replies.items() if isinstance(reply, Refused)}
    over = [reply.reason for reply in refused.values() if reply.kind == "budget"]
    if over:
        raise BudgetExhausted("\n".join(over))
    for name, refusal in refused.items():
        match refusal.kind:
            case "mismatch":
                raise ProtocolMismatch(refusal.reason)
            case "pruned":
                raise ReplyPruned(refusal.reason)
        _LOG.warning("%s: gave no answer (%s): %s", name, refusal.kind, refusal.reason)
