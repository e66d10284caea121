"""A silo in its process: what it says of itself, when, and that a question is charged once."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import __version__, envelope, messages
from dpfedsyn.daemon.resident import Resident, Stopped
from dpfedsyn.envelope import (
    Answered,
    Ask,
    Combine,
    Describe,
    Description,
    Health,
    Healthy,
    Refused,
    Released,
    Reply,
    Request,
    Spent,
)
from dpfedsyn.errors import LedgerError
from dpfedsyn.federation import Member
from dpfedsyn.silo import Silo
from tests.dpfedsyn.test_silo import ONE, Constant, query, silo

COST = ONE.silo_mu2(5, 2.0, 3.0)
COUNTS = np.array([120.25, 79.5])
MARGINALS = (np.array([1.0, -2.5, 3.0]), 0.75)
AGREED = "ab" * 32


def untrained() -> Resident:
    return Resident("north", "run", AGREED, 7, waiting=False)


def member(one: Silo, **released: Any) -> Member:
    """A trained silo that released what is said here."""
    given = {"counts": COUNTS, "counts_std": 1.5, "marginals": None, **released}
    trained = SimpleNamespace(models=(SimpleNamespace(parameters=321),), **given)
    return Member(one, trained)  # type: ignore[arg-type]


@contextlib.contextmanager
def resident(folder: Path, *models: Any, **options: Any) -> Iterator[Resident]:
    """A trained resident over the ledger in this folder."""
    with silo(folder, *models, **options) as one:
        yield Resident("north", "run", AGREED, 7, member(one), done=7)


def asked(who: Resident, request: Request) -> Reply:
    return envelope.reply(who.handle(envelope.encode(request)))


def ask(who: Resident, **changes: Any) -> Reply:
    return asked(who, Ask(messages.encode_query(query(**changes))))


def ledger(who: Resident) -> Any:
    assert who.member is not None
    return who.member.silo.ledger


# --- while it trains -----------------------------------------------------------------------------


def test_health_says_how_far_training_is(tmp_path: Path) -> None:
    """Waiting, training, ready or failed; who it is, and in which version."""
    who = Resident("north", "run", AGREED, 7)
    assert asked(who, Health()) == Healthy("north", "run", __version__, "waiting", 0, 7, AGREED)
    who.waiting = False
    assert asked(who, Health()) == Healthy("north", "run", __version__, "training", 0, 7, AGREED)
    for _ in range(3):
        who.advance()
    assert asked(who, Health()) == Healthy("north", "run", __version__, "training", 3, 7, AGREED)
    who.failed = True
    assert asked(who, Health()) == Healthy("north", "run", __version__, "failed", 3, 7, AGREED)
    with resident(tmp_path) as trained:
        assert asked(trained, Health()) == Healthy(
            "north", "run", __version__, "ready", 7, 7, AGREED
        )
    assert {"waiting", "training", "ready", "failed"} == set(envelope.STATES)


@pytest.mark.parametrize("request_", [Describe(), Ask(messages.encode_query(query())), Ask(b"")])
@pytest.mark.parametrize("failed", [False, True])
def test_before_it_has_trained_nothing_is_answered_or_described(
    request_: Request, failed: bool
) -> None:
    """Refused as not ready, at no cost, with how it stands."""
    who = untrained()
    who.failed = failed
    refused = asked(who, request_)
    assert isinstance(refused, Refused)
    assert refused.kind == "not ready"
    assert refused.reason.startswith(f"north: is {'failed' if failed else 'training'};")


def test_a_silo_that_makes_no_base_with_others_gives_no_sums(tmp_path: Path) -> None:
    """Asked before it has trained and afterwards: refused, and nothing is charged."""
    shown = Released(messages.Packed.of(COUNTS[None]), messages.Packed.of(np.array([1.5])))
    request = Combine((shown,), AGREED)
    with resident(tmp_path) as trained:
        for who in (untrained(), trained):
            refused = asked(who, request)
            assert isinstance(refused, Refused)
            assert (refused.kind, refused.reason[:7]) == ("not ready", "north: ")
        assert ledger(trained).charges() == []


def test_a_process_that_is_to_end_stops_training_at_its_next_step() -> None:
    """`Stopped` and no other error; the step that was taken is counted."""
    who = untrained()
    who.advance()
    who.stopping = True
    for done in (2, 3):
        with pytest.raises(Stopped):
            who.advance()
        assert who.done == done
    assert not who.failed


def test_stopping_is_no_error_that_leaves_the_silo() -> None:
    """Neither of the toolkit nor of the protocol."""
    assert Stopped.__mro__[1] is Exception


# --- what it has released ------------------------------------------------------------------------


def test_the_description_holds_what_was_released_and_the_ledgers_sums(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.daemon.resident.Resident.handle: Health and description hold public
    facts, released values and the ledger's sums; there is not a field more."""
    with resident(tmp_path) as who:
        for number in (1, 2):
            ask(who, round_number=number)
        found = asked(who, Describe())
        held = ledger(who)
        assert isinstance(found, Description)
        assert found == Description(
            silo="north",
            run="run",
            version=__version__,
            agreed=AGREED,
            counts=messages.Packed("<f8", (2,), COUNTS.tobytes()),
            counts_std=1.5,
            marginals=None,
            marginals_std=0.0,
            parameters=321,
            released=(),
            inside=(),
            answers=2,
            spent=Spent(held.totals().answers_mu2, None, 2, held.header.ledger_id, held.head),
            ledger_id=held.header.ledger_id,
            ledger_head=held.head,
            base="",
        )
        assert found.spent.answers_mu2 == pytest.approx(2 * COST)


def test_counts_that_stay_inside_are_not_described(tmp_path: Path) -> None:
    """None, not zeros; released histograms with their noise."""
    with silo(tmp_path) as one:
        who = Resident("north", "run", AGREED, 7, member(one, counts=None, marginals=MARGINALS))
        found = asked(who, Describe())
    assert isinstance(found, Description)
    assert found.counts is None
    assert found.marginals is not None
    assert np.array_equal(found.marginals.array(("<f8",)), MARGINALS[0])
    assert found.marginals_std == 0.75


@pytest.mark.parametrize("counts", [COUNTS.astype(np.float32), np.array([[120.25], [79.5]])[:, 0]])
def test_counts_travel_as_contiguous_doubles(counts: Any, tmp_path: Path) -> None:
    """Whatever type and layout they were kept in."""
    with silo(tmp_path) as one:
        found = asked(Resident("north", "run", AGREED, 7, member(one, counts=counts)), Describe())
    assert isinstance(found, Description)
    assert found.counts is not None
    assert np.array_equal(found.counts.array(("<f8",)), COUNTS)


def test_looking_costs_nothing(tmp_path: Path) -> None:
    """However often it is asked how it is and what it has released."""
    with resident(tmp_path) as who:
        before = [asked(who, Health()), asked(who, Describe())]
        for _ in range(5):
            assert [asked(who, Health()), asked(who, Describe())] == before
        assert ledger(who).charges() == []


# --- questions -----------------------------------------------------------------------------------


def test_a_question_is_answered_with_the_bytes_of_the_silos_answer(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.daemon.resident.Resident.handle: a question is answered by
    `Silo.answer` alone: byte for byte, and with the same row in the ledger. There is no other
    request."""
    for name in ("direct", "daemon"):
        (tmp_path / name).mkdir()
    with silo(tmp_path / "direct", Constant(1.0)) as one:
        direct = messages.encode_answer(one.answer(query()))
        row = one.ledger.charges()[0]
    with resident(tmp_path / "daemon", Constant(1.0)) as who:
        found = ask(who)
        assert isinstance(found, Answered)
        assert found.answer == direct
        assert (found.spent.answers_mu2, found.spent.record_mu2) == (row.mu2, None)
        assert (found.spent.answers, found.spent.ledger_head) == (1, ledger(who).head)
        (charged,) = ledger(who).charges()
        assert (charged.digest, charged.mu2, charged.reply) == (row.digest, row.mu2, direct)


@given(st.binary(max_size=80))
def test_bytes_that_are_no_request_are_refused(data: bytes) -> None:
    """Nothing else is understood, before and after training."""
    for member_ in (None, member(SimpleNamespace())):  # type: ignore[arg-type]
        refused = envelope.reply(Resident("north", "run", AGREED, 7, member_).handle(data))
        assert isinstance(refused, Refused)
        assert refused.kind == "mismatch"


def test_a_repeated_question_is_charged_once(tmp_path: Path) -> None:
    """Equal bytes for equal bytes, and the model is asked once."""
    model = Constant(1.0)
    with resident(tmp_path, model) as who:
        data = envelope.encode(Ask(messages.encode_query(query())))
        replies = {who.handle(data) for _ in range(4)}
        assert len(replies) == model.calls == len(ledger(who).charges()) == 1


class Meeting:
    """A model that waits, so that questions which come at once are there at once."""

    def __init__(self) -> None:
        self.calls, self.inside, self.most = 0, 0, 0
        self._lock = threading.Lock()

    def predict_noise(self, x: Any, signal: float, labels: Any) -> Any:
        with self._lock:
            self.calls, self.inside = self.calls + 1, self.inside + 1
            self.most = max(self.most, self.inside)
        threading.Event().wait(0.05)
        with self._lock:
            self.inside -= 1
        return np.full_like(x, 1.0)


def at_once(count: int, call: Callable[[int], bytes]) -> list[bytes]:
    """Call from so many threads that all begin together."""
    barrier = threading.Barrier(count)

    def one(number: int) -> bytes:
        barrier.wait(10)
        return call(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def test_a_question_that_comes_several_times_at_once_is_charged_once(tmp_path: Path) -> None:
    """Over several connections: one charge, one forward pass, identical bytes."""
    model = Meeting()
    with resident(tmp_path, model) as who:
        data = envelope.encode(Ask(messages.encode_query(query())))
        replies = at_once(8, lambda number: who.handle(data))
        assert len(set(replies)) == 1
        assert isinstance(envelope.reply(replies[0]), Answered)
        assert model.calls == len(ledger(who).charges()) == 1


def test_different_questions_at_once_are_answered_one_at_a_time(tmp_path: Path) -> None:
    """Each charged once, and all of them together never beyond the cap."""
    model = Meeting()
    with resident(tmp_path, model, cap=3.5 * COST) as who:

        def call(number: int) -> bytes:
            raw = messages.encode_query(query(t=100 + number % 6))
            return who.handle(envelope.encode(Ask(raw)))

        replies = [envelope.reply(data) for data in at_once(12, call)]
        charges = ledger(who).charges()
        assert len(charges) == 3
        assert ledger(who).totals().answers_mu2 <= 3.5 * COST
        assert model.calls == 3
        assert model.most == 1
        answered = [reply for reply in replies if isinstance(reply, Answered)]
        refused = [reply for reply in replies if isinstance(reply, Refused)]
        assert len(answered) == len(refused) == 6
        assert {reply.kind for reply in refused} == {"budget"}
        assert {reply.answer for reply in answered} == {charge.reply for charge in charges}


def test_looking_while_it_answers_is_possible(tmp_path: Path) -> None:
    """Health and description do not wait for an answer in progress, nor disturb it."""
    begun, finish = threading.Event(), threading.Event()

    class Waiting:
        def predict_noise(self, x: Any, signal: float, labels: Any) -> Any:
            begun.set()
            assert finish.wait(10)
            return np.zeros_like(x)

    with resident(tmp_path, Waiting()) as who, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(ask, who)
        assert begun.wait(10)
        found = asked(who, Describe())
        assert isinstance(asked(who, Health()), Healthy)
        assert isinstance(found, Description)
        assert (found.answers, found.spent.answers_mu2) == (0, 0.0)
        finish.set()
        assert isinstance(answer.result(10), Answered)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({"run": "other"}, "mismatch"), ({"t": 10**6}, "mismatch"), ({"score_std": 1e-3}, "budget")],
    ids=["another run", "no such level", "too dear"],
)
def test_a_question_that_is_refused_is_not_charged(
    changes: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    """With its reason, which depends on public settings and the ledger alone."""
    model = Constant(1.0)
    with resident(tmp_path, model, cap=2 * COST) as who:
        refused = ask(who, **changes)
        assert isinstance(refused, Refused)
        assert refused.kind == kind
        assert refused.reason.startswith("north: ")
        assert ledger(who).charges() == []
        assert model.calls == 0


def test_a_trouble_of_the_ledger_is_no_reply(tmp_path: Path) -> None:
    """It is raised to the listener, who has one sentence for it; nothing was answered."""
    with resident(tmp_path) as who:
        ledger(who).close()
        with pytest.raises(LedgerError):
            ask(who)
