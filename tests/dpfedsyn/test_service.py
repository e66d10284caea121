"""From a request's bytes to a reply's: which errors may leave a silo, and as what."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import envelope, errors, messages, service
from dpfedsyn.envelope import (
    MOST_REASON,
    Answered,
    Ask,
    Describe,
    Health,
    Healthy,
    Refused,
    Reply,
    Request,
    Spent,
)
from dpfedsyn.errors import BudgetExhausted, DPError, ProtocolMismatch, ReplyPruned
from tests.dpfedsyn.test_messages import ANSWER, QUERY
from tests.dpfedsyn.test_silo import ONE, query, silo

MAY_LEAVE = {BudgetExhausted: "budget", ProtocolMismatch: "mismatch", ReplyPruned: "pruned"}
SECRET = "patient 4711 has 600 mg/dl"
HERE = Healthy("north", "run", "1", "ready", 1, 1, "")
ASKED = envelope.encode(Health())


def every_error() -> list[type[DPError]]:
    """All errors of the toolkit, whoever defines them."""
    found, left = [], [DPError]
    while left:
        kind = left.pop()
        found.append(kind)
        left += kind.__subclasses__()
    return found


def raising(error: BaseException) -> Callable[[Request], Reply]:
    def reply(request: Request) -> Reply:
        raise error

    return reply


@pytest.mark.parametrize(("error", "kind"), MAY_LEAVE.items(), ids=lambda value: str(value)[-20:])
def test_what_depends_on_public_settings_becomes_a_refusal(error: type[DPError], kind: str) -> None:
    """Its words go with it."""
    refused = envelope.reply(service.handled(ASKED, raising(error("the words"))))
    assert refused == Refused(kind, "the words")


@pytest.mark.parametrize("error", every_error(), ids=lambda kind: kind.__name__)
def test_no_other_error_of_the_toolkit_leaves(error: type[DPError]) -> None:
    """Three kinds and what is one of them; the rest is raised inside, whole."""
    known = next((kind for base, kind in MAY_LEAVE.items() if issubclass(error, base)), None)
    if known is not None:
        assert envelope.reply(service.handled(ASKED, raising(error(SECRET)))) == Refused(
            known, SECRET
        )
        return
    with pytest.raises(error, match=SECRET):
        service.handled(ASKED, raising(error(SECRET)))


@pytest.mark.parametrize(
    "error",
    [ValueError, KeyError, ZeroDivisionError, AssertionError, OSError, MemoryError,
     UnicodeDecodeError, RuntimeError, KeyboardInterrupt, SystemExit, errors.LedgerError],
)  # fmt: skip
def test_no_error_of_anything_else_leaves(error: type[BaseException]) -> None:
    """It may speak of records: it is raised inside, and nothing is replied."""
    made = error("ascii", b"\xff", 0, 1, SECRET) if error is UnicodeDecodeError else error(SECRET)
    with pytest.raises(error) as raised:
        service.handled(ASKED, raising(made))
    assert raised.value is made


def test_the_names_of_the_refusals_are_those_of_the_errors() -> None:
    """One table says which errors may leave; whoever adds to it has to look here."""
    assert dict(service.KINDS) == MAY_LEAVE


@given(st.text(max_size=60), st.integers(0, 3))
def test_a_refusal_has_a_longest_length(words: str, more: int) -> None:
    """However long the error is."""
    long = words + "x" * (MOST_REASON - len(words) + more)
    refused = envelope.reply(service.handled(ASKED, raising(BudgetExhausted(long))))
    assert refused == Refused("budget", long[:MOST_REASON])
    assert MOST_REASON == 2000


@given(st.binary(max_size=60))
def test_bytes_that_are_no_request_are_a_mismatch(data: bytes) -> None:
    """Nothing is called for them."""
    refused = envelope.reply(service.handled(data, raising(AssertionError("was called"))))
    assert isinstance(refused, Refused)
    assert refused.kind == "mismatch"


def test_what_is_replied_is_encoded() -> None:
    """The request is handed over decoded."""
    seen: list[Request] = []

    def reply(request: Request) -> Reply:
        seen.append(request)
        return HERE

    assert envelope.reply(service.handled(envelope.encode(Ask(b"q")), reply)) == HERE
    assert seen == [Ask(b"q")]


def test_a_question_is_answered_by_the_function_that_answers() -> None:
    """With its query decoded, and what was spent asked after the answer."""
    events: list[Any] = []

    def answer(asked: messages.ScoreQuery) -> messages.PrivateAnswer:
        events.append(messages.encode_query(asked))
        return ANSWER

    def spent() -> Spent:
        events.append("spent")
        return Spent(2.5, 0.5)

    ask = service.answering(answer, spent)
    raw = messages.encode_query(QUERY)
    found = envelope.reply(ask(envelope.encode(Ask(raw))))
    assert found == Answered(messages.encode_answer(ANSWER), Spent(2.5, 0.5))
    assert events == [raw, "spent"]


@pytest.mark.parametrize("asked", [Health(), Describe()])
def test_a_silo_inside_of_a_run_answers_questions_alone(asked: Request) -> None:
    """Any other request is refused, and not answered as a question."""

    def fail(*_: object) -> Any:
        raise AssertionError("was called")

    refused = envelope.reply(service.answering(fail, fail)(envelope.encode(asked)))
    assert isinstance(refused, Refused)
    assert refused.kind == "mismatch"


@pytest.mark.parametrize("inner", [b"", b"\x80", messages.encode_answer(ANSWER)])
def test_a_question_that_is_no_query_is_a_mismatch(inner: bytes) -> None:
    """Nothing is asked of the silo."""

    def fail(*_: object) -> Any:
        raise AssertionError("was called")

    refused = envelope.reply(service.answering(fail, fail)(envelope.encode(Ask(inner))))
    assert isinstance(refused, Refused)
    assert refused.kind == "mismatch"


def test_a_silo_is_reached_by_bytes_alone(tmp_path: Path) -> None:
    """The answer is `Silo.answer`'s; the sums are the ledger's; each refusal has its kind."""
    cost = ONE.silo_mu2(5, 2.0, 3.0)
    with silo(tmp_path, cap=4.5 * cost, keep=2) as one:
        reach = service.of(one)

        def asked(**changes: Any) -> Reply:
            raw = messages.encode_query(query(**changes))
            return envelope.reply(reach(envelope.encode(Ask(raw))))

        first = asked()
        assert isinstance(first, Answered)
        assert first.answer == one.ledger.charges()[0].reply
        assert (first.spent.answers_mu2, first.spent.record_mu2) == (cost, None)
        assert asked() == first
        for number in (2, 3, 4):
            assert isinstance(asked(round_number=number), Answered)
        kinds = {}
        for name, changes in {
            "budget": {"round_number": 5},
            "mismatch": {"run": "another"},
            "pruned": {},
        }.items():
            refused = asked(**changes)
            assert isinstance(refused, Refused)
            kinds[name] = refused.kind
        assert kinds == {name: name for name in kinds}
        assert len(one.ledger.charges()) == 4
        head, ledger_id = one.ledger.head, one.ledger.header.ledger_id
        mu2 = one.ledger.totals().answers_mu2
        assert service.spent(one.ledger) == Spent(mu2, None, 4, ledger_id, head)


def test_the_record_level_sum_goes_with_an_ensembles_answer(tmp_path: Path) -> None:
    """Where the ledger caps it."""
    with silo(tmp_path, record_cap=1e9, moved=1) as one:
        reply = envelope.reply(
            service.of(one)(envelope.encode(Ask(messages.encode_query(query()))))
        )
        totals = one.ledger.totals()
    assert isinstance(reply, Answered)
    assert totals.record_mu2 is not None
    assert reply.spent.answers_mu2 == totals.answers_mu2
    assert reply.spent.record_mu2 == totals.record_mu2
