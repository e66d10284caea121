"""What any engine's transport has to do, and what silos have to do behind it.

Each check is a function of a transport and of the hosts behind it. They run where the transport is:
in pytest's own process, in a ServerApp of Flower, in the server's part of a job of NVFlare.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from math import isclose

from benchmarks.engines import stub
from dpfedsyn import envelope, messages
from dpfedsyn.engine import Failure, Transport
from dpfedsyn.envelope import Answered, Ask, Health, Healthy, Refused
from tests.engines.hosts import DIMENSION, NAMES, Hosts

ROWS = 4
OUTCOMES = "outcomes.json"
SLACK = 20.0  # seconds beyond a step's time in which its end is seen

_numbers = count(1)


def question() -> bytes:
    """A question that nobody has asked before."""
    query = stub.query(next(_numbers), ROWS, DIMENSION)
    return envelope.encode(Ask(messages.encode_query(query)))


def answered(reply: bytes | Failure) -> Answered:
    """The answer in a reply."""
    assert isinstance(reply, bytes), reply
    found = envelope.reply(reply)
    assert isinstance(found, Answered), found
    return found


def members_are_the_silos(transport: Transport, hosts: Hosts) -> None:
    """All of them, once."""
    assert sorted(transport.members()) == sorted(NAMES)


def every_silo_gets_its_own_payload(transport: Transport, hosts: Hosts) -> None:
    """And its own reply goes under its name."""
    health = envelope.encode(Health())
    found = transport.query("health", dict.fromkeys(NAMES, health), None)
    for name, reply in found.items():
        assert isinstance(reply, bytes), reply
        told = envelope.reply(reply)
        assert isinstance(told, Healthy)
        assert told.silo == name
    payloads = {name: question() for name in NAMES}
    found = transport.query("round", payloads, None)
    assert list(found) == list(payloads)
    for name, reply in found.items():
        answer = messages.decode_answer(answered(reply).answer)
        assert (answer.silo, answer.round_number) == (name, _round(payloads[name]))


def one_silo_can_be_asked_alone(transport: Transport, hosts: Hosts) -> None:
    """Nobody else is asked, and nobody else pays."""
    before = _charged(transport)
    found = transport.query("alone", {"a": question()}, None)
    assert list(found) == ["a"]
    answered(found["a"])
    after = _charged(transport)  # itself an answer of each
    assert isclose(after["a"] - before["a"], 2.0 * (after["b"] - before["b"]))


def bytes_that_are_no_request_come_back_as_a_refusal(transport: Transport, hosts: Hosts) -> None:
    """A megabyte of every byte that there is: no engine may choke on it, or change it."""
    found = transport.query("foul", dict.fromkeys(NAMES, bytes(range(256)) * 4096), None)
    for reply in found.values():
        assert isinstance(reply, bytes), reply
        assert isinstance(envelope.reply(reply), Refused)


def a_step_that_is_asked_again_costs_nothing(transport: Transport, hosts: Hosts) -> None:
    """Same bytes, and the ledger adds up to the same."""
    payloads = dict.fromkeys(NAMES, question())
    first, second = (transport.query("again", payloads, None) for _ in range(2))
    assert first == second
    assert all(isinstance(reply, bytes) for reply in first.values())


def a_step_that_is_asked_twice_at_once_is_charged_once(transport: Transport, hosts: Hosts) -> None:
    """Both get the same bytes, the ledger's sum within them included."""
    before, payloads = _charged(transport), dict.fromkeys(NAMES, question())
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(transport.query, "twice", payloads, None) for _ in range(2)]
        first, second = (each.result() for each in asked)
    assert first == second
    after = _charged(transport)
    for name in NAMES:
        _require_one(before[name], answered(first[name]), after[name])


def a_late_silo_fails_alone_and_is_charged_once(transport: Transport, hosts: Hosts) -> None:
    """It has the question all the while; asked again, it gives the answer that it made."""
    before, payloads = _charged(transport), dict.fromkeys(NAMES, question())
    hosts.freeze("a")
    try:
        began = time.monotonic()
        late = transport.query("late", payloads, hosts.soon)
        assert time.monotonic() - began < hosts.soon + SLACK
        assert isinstance(late["a"], Failure)
        answered(late["b"])
    finally:
        hosts.thaw("a")
    found = transport.query("late", payloads, None)
    assert found["b"] == late["b"]
    _require_one(before["a"], answered(found["a"]), _charged(transport)["a"])


def a_killed_silo_fails_alone_and_comes_back_as_it_was(transport: Transport, hosts: Hosts) -> None:
    """Its answers of before are there, byte for byte; new ones are charged behind them."""
    payloads = dict.fromkeys(NAMES, question())
    first = transport.query("kill", payloads, None)
    hosts.kill("a")
    try:
        gone = transport.query("kill", payloads, None)
        assert isinstance(gone["a"], Failure), gone["a"]
        assert gone["b"] == first["b"]
    finally:
        hosts.start("a")
    assert transport.query("kill", payloads, None) == first
    answered(transport.query("after", {"a": question()}, None)["a"])


CHECKS: Mapping[str, Callable[[Transport, Hosts], None]] = {
    check.__name__: check
    for check in (
        members_are_the_silos,
        every_silo_gets_its_own_payload,
        one_silo_can_be_asked_alone,
        bytes_that_are_no_request_come_back_as_a_refusal,
        a_step_that_is_asked_again_costs_nothing,
        a_step_that_is_asked_twice_at_once_is_charged_once,
        a_late_silo_fails_alone_and_is_charged_once,
        a_killed_silo_fails_alone_and_comes_back_as_it_was,
    )
}


QUICK = (
    every_silo_gets_its_own_payload.__name__,
    a_step_that_is_asked_twice_at_once_is_charged_once.__name__,
    a_killed_silo_fails_alone_and_comes_back_as_it_was.__name__,
)
"""One round trip, one duplicate, one kill: where a step takes seconds."""


def write_outcomes(transport: Transport, hosts: Hosts, checks: Iterable[str]) -> None:
    """Run checks, and write what is wrong by name: nothing where all is well."""
    found = {}
    for name in checks:
        try:
            CHECKS[name](transport, hosts)
        except Exception:  # of whatever kind: the test is another process
            found[name] = traceback.format_exc()
        else:
            found[name] = ""
    part = hosts.folder / "outcomes.part"
    part.write_text(json.dumps(found), encoding="utf-8")
    part.replace(hosts.folder / OUTCOMES)


def _charged(transport: Transport) -> dict[str, float]:
    """What each ledger adds up to with one more answer."""
    found = transport.query("charged", dict.fromkeys(NAMES, question()), None)
    return {name: answered(reply).spent.answers_mu2 for name, reply in found.items()}


def _require_one(before: float, answer: Answered, after: float) -> None:
    """One answer was charged between two sums of which the second has one more."""
    spent = answer.spent.answers_mu2
    assert spent > before
    assert isclose(spent - before, after - spent), (before, spent, after)


def _round(payload: bytes) -> int:
    asked = envelope.request(payload)
    assert isinstance(asked, Ask)
    return messages.decode_query(asked.query).round_number
