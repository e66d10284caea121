"""What the server asks silos elsewhere beside the rounds: who they are, their sums, how they stand.

It waits for all of them before the first round; afterwards for nobody: who has left by then must
not keep the others from their rows and their statement.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from dpfedsyn import envelope, resolved
from dpfedsyn.agreement import require_described, require_same, require_sums
from dpfedsyn.bases import lengths
from dpfedsyn.engine import Failure, Transport
from dpfedsyn.engine.asking import exchange
from dpfedsyn.envelope import (
    Combine,
    Describe,
    Description,
    Health,
    Healthy,
    Refused,
    Released,
    Reply,
    Request,
    Summed,
)
from dpfedsyn.errors import ProtocolMismatch, SiloUnavailable
from dpfedsyn.messages import Packed
from dpfedsyn.moments import query_of
from dpfedsyn.plan import Plan

Wanted = TypeVar("Wanted", Summed, Healthy, Description)
Sleep = Callable[[float], None]

POLL = 1.0  # seconds between two questions whether a silo has trained
PATIENCE = 60.0  # seconds in which a silo has to say who it is
TRIES = 60  # times that a silo which is not there is looked for before it counts as missing
LOOKS = 20  # times that one is looked for which the run can do without,
GLANCE = 10.0  # seconds each


class Connected:
    """A transport on which every silo of the run is a member; whoever is not connected is silent.

    Args:
        silos: names of the run's silos, in its order.
    """

    def __init__(self, transport: Transport, silos: Sequence[str]) -> None:
        self._transport, self._silos = transport, tuple(silos)

    def members(self) -> tuple[str, ...]:
        """Names of the run's silos."""
        return self._silos

    def query(
        self, step: str, payloads: Mapping[str, bytes], timeout: float | None
    ) -> dict[str, bytes | Failure]:
        """Deliver to whoever is connected."""
        there = set(self._transport.members())
        sent = {name: data for name, data in payloads.items() if name in there}
        found = self._transport.query(step, sent, timeout) if sent else {}
        return {name: found.get(name, Failure("it is not connected")) for name in payloads}


def introduced(plan: Plan, transport: Transport, sleep: Sleep = time.sleep) -> None:
    """Ask every silo who it is; nothing else is asked of any before all have said it.

    Raises:
        SiloUnavailable: a silo did not reply. ProtocolMismatch: it means another run.
    """

    def same(name: str, silo: Healthy) -> None:
        require_same(plan, name, silo)

    _from_all(plan, transport, "health", Health(), Healthy, sleep, same)


def combined(
    plan: Plan,
    transport: Transport,
    on_question: Callable[[], None],
    sleep: Sleep = time.sleep,
) -> str:
    """Show every silo what all have answered, question by question, until all have their base.

    Returns:
        The digest of the transcript that made the base.

    Raises:
        SiloUnavailable: a silo did not reply. ProtocolMismatch: it does not fit this run.
    """
    agreed, base = resolved.agreed(plan.config, plan.encoder.digest), plan.config.base
    transcript: tuple[Released, ...] = ()
    for number, length in enumerate(lengths(query_of(plan.dimension, plan.classes, base), base)):

        def sound(name: str, sums: Summed, number: int = number, length: int = length) -> None:
            require_sums(name, number, sums, length)

        asked = Combine(transcript, agreed)
        found = _from_all(plan, transport, "combine", asked, Summed, sleep, sound).values()
        values = np.stack([sums.values.array(("<f8",)) for sums in found])
        stds = np.array([sums.std for sums in found])
        transcript = (*transcript, Released(Packed.of(values), Packed.of(stds)))
        on_question()
    _from_all(plan, transport, "combine", Combine(transcript, agreed), Healthy, sleep)
    return envelope.digest(transcript)


def described(
    plan: Plan,
    transport: Transport,
    base: str,
    on_silo: Callable[[str], None],
    sleep: Sleep = time.sleep,
) -> dict[str, Description]:
    """Ask every silo what it has released, until all of them have trained.

    Args:
        base: digest of the transcript that made the silos' base; empty: each makes its own.

    Raises:
        SiloUnavailable: a silo did not reply. ProtocolMismatch: it does not fit this run.
    """

    def same(name: str, silo: Description) -> None:
        require_described(plan, name, silo, base)
        on_silo(name)

    return _from_all(plan, transport, "describe", Describe(), Description, sleep, same)


def looked_for(
    names: Sequence[str], transport: Transport, sleep: Sleep = time.sleep
) -> dict[str, Description]:
    """Ask silos that have been described before how they stand; those that say it in time."""
    found: dict[str, Description] = {}
    for look in range(LOOKS):
        missing = [name for name in names if name not in found]
        if not missing:
            break
        if look:
            sleep(POLL)
        replies = exchange(transport, "describe", dict.fromkeys(missing, Describe()), GLANCE)
        found |= {name: reply for name, reply in replies.items() if isinstance(reply, Description)}
    return {name: found[name] for name in names if name in found}


def _from_all(
    plan: Plan,
    transport: Transport,
    step: str,
    request: Request,
    kind: type[Wanted],
    sleep: Sleep,
    on_reply: Callable[[str, Wanted], None] = lambda name, reply: None,
) -> dict[str, Wanted]:
    """Ask until every silo has given a reply of this kind; by silo, in the run's order."""
    found: dict[str, Wanted] = {}
    names, silent = [silo.name for silo in plan.config.silos], dict[str, int]()
    while missing := [name for name in names if name not in found]:
        replies = exchange(transport, step, dict.fromkeys(missing, request), PATIENCE)
        for name in missing:
            reply = replies.get(name)
            silent[name] = 0 if reply is not None else silent.get(name, 0) + 1
            if isinstance(reply, kind):
                on_reply(name, reply)
                found[name] = reply
            elif reply is not None:
                _require_training(name, reply)
        _require_replies(silent)
        if len(found) < len(names):
            sleep(POLL)
    return {name: found[name] for name in names}


def _require_training(name: str, reply: Reply) -> None:
    if isinstance(reply, Refused) and reply.kind == "not ready":
        return
    told = reply.reason if isinstance(reply, Refused) else type(reply).__name__
    raise ProtocolMismatch(f"{name}: did not say what it has released, but: {told}")


def _require_replies(silent: Mapping[str, int]) -> None:
    gone = [name for name, times in silent.items() if times >= TRIES]
    if gone:
        raise SiloUnavailable(
            f"{', '.join(gone)}: no reply, asked {TRIES} times, so the run does not go on. Start "
            "the silos with `dpfedsyn silo serve`, and continue with --resume."
        )
