"""Requests and replies: what was sent comes back, anything else is `ProtocolMismatch`."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dpfedsyn import envelope
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
    Summed,
)
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.messages import Packed

PACK, UNPACK = msgspec.msgpack.encode, msgspec.msgpack.decode
TEXTS = st.text(max_size=8)
BYTES = st.binary(max_size=12)
WHOLE = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)  # a NaN is not equal to itself; it has a test of its own
SPENT = st.builds(Spent, FLOATS, st.none() | FLOATS, WHOLE, TEXTS, TEXTS)
PACKED = arrays.arrays(
    np.float64, st.tuples(st.integers(0, 3)) | st.tuples(st.integers(0, 3), st.integers(1, 2))
).map(Packed.of)
KINDS = st.lists(TEXTS, max_size=3).map(tuple)

REQUESTS: dict[type[Request], st.SearchStrategy[Any]] = {
    Health: st.just(Health()),
    Describe: st.just(Describe()),
    Ask: st.builds(Ask, BYTES),
    Combine: st.builds(
        Combine, st.lists(st.builds(Released, PACKED, PACKED), max_size=2).map(tuple), TEXTS
    ),
}
REPLIES: dict[type[Reply], st.SearchStrategy[Any]] = {
    Healthy: st.builds(Healthy, TEXTS, TEXTS, TEXTS, TEXTS, WHOLE, WHOLE, TEXTS),
    Description: st.builds(
        Description,
        silo=TEXTS,
        run=TEXTS,
        version=TEXTS,
        agreed=TEXTS,
        counts=st.none() | PACKED,
        counts_std=FLOATS,
        marginals=st.none() | PACKED,
        marginals_std=FLOATS,
        parameters=WHOLE,
        released=KINDS,
        inside=KINDS,
        answers=WHOLE,
        spent=SPENT,
        ledger_id=TEXTS,
        ledger_head=TEXTS,
        base=TEXTS,
    ),
    Answered: st.builds(Answered, BYTES, SPENT),
    Summed: st.builds(Summed, PACKED, FLOATS),
    Refused: st.builds(Refused, TEXTS, TEXTS),
}
TAGS = {
    Health: "health/1",
    Describe: "describe/1",
    Ask: "ask/1",
    Combine: "combine/1",
    Healthy: "healthy/1",
    Description: "description/1",
    Answered: "answered/1",
    Summed: "summed/1",
    Refused: "refused/1",
}
Read = Callable[[bytes], Any]
READERS: dict[str, tuple[Read, Any]] = {
    "request": (envelope.request, st.one_of(*REQUESTS.values())),
    "reply": (envelope.reply, st.one_of(*REPLIES.values())),
}
either = pytest.mark.parametrize("side", READERS)


def refused_or_whole(read: Read, data: bytes) -> bool:
    """Decode; anything but a message or `ProtocolMismatch` propagates and fails the test."""
    try:
        message = read(data)
    except ProtocolMismatch as error:
        words = str(error)
    else:
        words = None
    if words is not None:  # what the bytes were is not repeated at length, nor as they are
        assert len(words) < 400
        assert words.isascii()
        return True
    assert type(message) in (REQUESTS if read is envelope.request else REPLIES)
    return False


@pytest.mark.parametrize("kind", [*REQUESTS, *REPLIES], ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_message_comes_back_as_it_was(kind: Any, data: st.DataObject) -> None:
    """Of every kind and content, and of its own kind."""
    message = data.draw((REQUESTS | REPLIES)[kind])
    read = envelope.request if kind in REQUESTS else envelope.reply
    back = read(envelope.encode(message))
    assert type(back) is kind
    assert back == message
    assert envelope.encode(back) == envelope.encode(message)


def test_there_are_no_other_requests_and_replies() -> None:
    """Four requests; whoever adds one looks here, and at what a silo does for it."""
    assert set(Request.__args__) == set(REQUESTS)
    assert set(Reply.__args__) == set(REPLIES)


@pytest.mark.parametrize("kind", TAGS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_message_says_what_it_is_and_in_which_version(kind: Any, data: st.DataObject) -> None:
    """A map whose `type` is the tag; the fields are the rest."""
    raw = UNPACK(envelope.encode(data.draw((REQUESTS | REPLIES)[kind])))
    assert raw.pop("type") == TAGS[kind]
    assert list(raw) == [field.name for field in msgspec.structs.fields(kind)]


@given(st.sampled_from([np.nan, -np.nan, np.inf, -np.inf]))
def test_numbers_that_are_none_travel_and_are_judged_by_the_reader(number: float) -> None:
    """A format refuses types, not values: whoever uses a number has to look at it."""
    back = envelope.reply(envelope.encode(Answered(b"", Spent(number, None))))
    assert isinstance(back, Answered)
    assert np.array_equal(back.spent.answers_mu2, number, equal_nan=True)


@given(st.one_of(*REQUESTS.values()), st.one_of(*REPLIES.values()))
def test_a_request_is_no_reply_and_a_reply_no_request(request: Request, reply: Reply) -> None:
    """Neither side can be made to read its own message back."""
    assert refused_or_whole(envelope.reply, envelope.encode(request))
    assert refused_or_whole(envelope.request, envelope.encode(reply))


@either
@given(data=st.data())
def test_every_truncation_is_refused(side: str, data: st.DataObject) -> None:
    """Cut after any byte."""
    read, messages = READERS[side]
    whole = envelope.encode(data.draw(messages))
    for length in range(len(whole)):
        assert refused_or_whole(read, whole[:length])


@either
@given(data=st.data(), tail=st.binary(min_size=1, max_size=20))
def test_anything_behind_a_message_is_refused(side: str, data: st.DataObject, tail: bytes) -> None:
    """Also a second message."""
    read, messages = READERS[side]
    whole = envelope.encode(data.draw(messages))
    assert refused_or_whole(read, whole + tail)
    assert refused_or_whole(read, whole + whole)


@either
@given(data=st.data(), damage=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255))))
def test_damaged_bytes_are_refused_or_still_a_message(
    side: str, data: st.DataObject, damage: list[tuple[int, int]]
) -> None:
    """Bytes flipped anywhere: never another exception than `ProtocolMismatch`."""
    read, messages = READERS[side]
    raw = bytearray(envelope.encode(data.draw(messages)))
    for place, mask in damage:
        raw[place % len(raw)] ^= mask
    refused_or_whole(read, bytes(raw))


@either
@given(raw=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(side: str, raw: bytes) -> None:
    """As they are, or behind each tag."""
    read, _ = READERS[side]
    assert refused_or_whole(read, raw)
    for tag in TAGS.values():
        assert refused_or_whole(read, b"\x82\xa4type" + PACK(tag) + raw) or len(raw) == 0


@either
@given(data=st.data(), content=st.none() | st.booleans() | WHOLE | FLOATS | TEXTS | st.just([]))
def test_missing_more_and_other_fields_are_refused(
    side: str, data: st.DataObject, content: Any
) -> None:
    """Every key in turn is left out; one is added; one gets something of another type."""
    read, messages = READERS[side]
    raw = UNPACK(envelope.encode(data.draw(messages)))
    assert not refused_or_whole(read, PACK(raw))
    for key in raw:
        assert refused_or_whole(read, PACK({k: v for k, v in raw.items() if k != key}))
        if type(content) is not type(raw[key]):
            refused_or_whole(read, PACK({**raw, key: content}))
    for more in ("more", "type ", ""):
        assert refused_or_whole(read, PACK({**raw, more: content}))
    assert refused_or_whole(read, PACK(list(raw.values())))
    assert refused_or_whole(read, PACK(content))


OTHERS: dict[str, tuple[Request | Reply, str, Any]] = {
    "text for bytes": (Ask(b"q"), "query", 7),
    "nothing for bytes": (Ask(b"q"), "query", None),
    "number for text": (Refused("fault", "why"), "kind", 1),
    "half a step": (Healthy("s", "r", "1", "ready", 1, 2, ""), "done", 1.5),
    "many steps": (Healthy("s", "r", "1", "ready", 1, 2, ""), "steps", 2.0**64),
    "truth for a number": (Healthy("s", "r", "1", "ready", 1, 2, ""), "done", True),
    "no sum": (Answered(b"", Spent(1.0, None)), "spent", None),
    "another sum": (Answered(b"", Spent(1.0, None)), "spent", {"answers_mu2": 1.0}),
    "more of a sum": (
        Answered(b"", Spent(1.0, None)),
        "spent",
        {"answers_mu2": 1.0, "record_mu2": None, "more": 1},
    ),
    "a sum in words": (
        Answered(b"", Spent(1.0, None)),
        "spent",
        {"answers_mu2": "1.0", "record_mu2": None},
    ),
    "another version": (Health(), "type", "health/2"),
    "no version": (Health(), "type", "health"),
    "a number as version": (Health(), "type", 1),
}


@pytest.mark.parametrize(("message", "key", "value"), OTHERS.values(), ids=OTHERS.keys())
def test_a_field_of_another_type_is_refused(message: Any, key: str, value: Any) -> None:
    """No number is made of a text, and no whole number of a broken one."""
    read = envelope.request if type(message) in REQUESTS else envelope.reply
    raw = UNPACK(envelope.encode(message))
    assert key in raw
    assert not refused_or_whole(read, PACK(raw))
    assert refused_or_whole(read, PACK({**raw, key: value}))


def test_a_message_without_its_tag_is_refused() -> None:
    """Its fields alone do not say what it is."""
    for read, raw in (
        (envelope.request, {"query": b"q"}),
        (envelope.request, {}),
        (envelope.reply, {"kind": "budget", "reason": "why"}),
    ):
        assert refused_or_whole(read, PACK(raw))


@either
@pytest.mark.parametrize(
    "opening", [b"\x91", b"\x81\xa1a", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"]
)
def test_nesting_and_lengths_without_end_are_refused(side: str, opening: bytes) -> None:
    """Neither the stack nor the memory of a reader is what a sender says."""
    read, _ = READERS[side]
    for start in (b"", *(b"\x82\xa4type" + PACK(tag) for tag in TAGS.values())):
        with pytest.raises(ProtocolMismatch):
            read(start + opening * 100_000)


def test_texts_that_are_no_text_are_refused() -> None:
    """Bytes that are not UTF-8 where a text should be."""
    data = envelope.encode(Refused("budget", "why"))
    assert refused_or_whole(envelope.reply, data.replace(b"why", b"\xff\xfe\xfd"))
