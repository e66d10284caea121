"""Messages: what was sent comes back, digests name content only, damage is always said so."""

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dpfedsyn import messages
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.messages import PrivateAnswer, ScoreQuery

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4))
STDS = st.floats(1e-6, 1e6)
TEXTS = st.text(max_size=8)


@st.composite
def queries(draw: st.DrawFn) -> ScoreQuery:
    shape = draw(SHAPES)
    x = draw(arrays.arrays(np.float32, shape, elements=st.floats(width=32)))
    labels = draw(arrays.arrays(np.int64, shape[:1], elements=st.integers(0, 9)))
    return ScoreQuery(
        run=draw(TEXTS),
        round_number=draw(st.integers(1, 10**6)),
        t=draw(st.integers(0, 999)),
        x=x,
        labels=labels,
        score_std=draw(STDS),
        energy_std=draw(st.none() | STDS),
    )


@st.composite
def answers(draw: st.DrawFn) -> PrivateAnswer:
    shape, dtype = draw(SHAPES), draw(st.sampled_from(messages.DTYPES))
    energy_std = draw(st.none() | STDS)
    energies = draw(arrays.arrays(dtype, shape[:1]))
    return PrivateAnswer(
        silo=draw(TEXTS),
        round_number=draw(st.integers(1, 10**6)),
        t=draw(st.integers(0, 999)),
        points=draw(arrays.arrays(dtype, shape)),
        energy_points=None if energy_std is None else energies,
        clip=draw(STDS),
        energy_bound=draw(STDS),
        spacing=draw(STDS),
        energy_spacing=None if energy_std is None else draw(STDS),
        score_std=draw(STDS),
        energy_std=energy_std,
    )


QUERY = ScoreQuery(
    run="r",
    round_number=1,
    t=5,
    x=np.arange(6, dtype=np.float32).reshape(2, 3),
    labels=np.array([0, 1]),
    score_std=1.0,
    energy_std=None,
)
ANSWER = PrivateAnswer(
    silo="s",
    round_number=1,
    t=5,
    points=np.arange(6, dtype=np.int16).reshape(2, 3),
    energy_points=np.array([1, -2], dtype=np.int32),
    clip=6.0,
    energy_bound=18.0,
    spacing=0.5,
    energy_spacing=0.25,
    score_std=1.0,
    energy_std=2.0,
)


@given(arrays.arrays(np.int64, SHAPES), st.sampled_from([2**15, 2**31, 2**63]))
def test_whole_numbers_travel_in_the_smallest_type_that_holds_them_all(
    points: Any, limit: int
) -> None:
    """Nothing is lost, and no smaller type of the wire would hold them."""
    points = points % (2 * limit) - limit if limit < 2**63 else points
    found = messages.narrowed(points)
    assert np.array_equal(found, points)
    smaller = [dtype for dtype in messages.DTYPES if np.dtype(dtype).itemsize < found.itemsize]
    assert not any(np.array_equal(points.astype(dtype), points) for dtype in smaller)


def test_an_answer_in_its_own_units() -> None:
    """Points times their spacing; energies about B / 2."""
    assert ANSWER.noise.tolist() == [[0.0, 0.5, 1.0], [1.5, 2.0, 2.5]]
    assert np.asarray(ANSWER.energies).tolist() == [9.25, 8.5]
    assert replace(ANSWER, energy_points=None).energies is None


def same(a: Any, b: Any) -> bool:
    """Equal, for arrays bit for bit with dtype and shape."""
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return type(a) is type(b) and a == b


@given(answers())
def test_an_answer_comes_back_bit_for_bit(answer: PrivateAnswer) -> None:
    """Of every type; energies that were not released stay None."""
    back = messages.decode_answer(messages.encode_answer(answer))
    for field in fields(PrivateAnswer):
        assert same(getattr(answer, field.name), getattr(back, field.name))


@given(queries(), st.data())
def test_a_change_of_any_field_changes_the_digest(query: ScoreQuery, data: st.DataObject) -> None:
    """Every field in turn gets another query's value; equal content keeps the digest."""
    other = data.draw(queries())
    copied = replace(query, x=query.x.copy(), labels=query.labels.copy())
    assert messages.digest(query) == messages.digest(copied)
    for field in fields(ScoreQuery):
        value = getattr(other, field.name)
        changed = replace(query, **{field.name: value})
        equal = same(value, getattr(query, field.name))
        assert (messages.digest(changed) == messages.digest(query)) == equal


@given(queries(), st.integers(0, 2**16), st.integers(0, 7))
def test_a_flipped_bit_of_a_sample_changes_the_digest(
    query: ScoreQuery, place: int, bit: int
) -> None:
    """The digest covers the bits, not the values: 0.0 and -0.0 differ as well."""
    raw = bytearray(query.x.tobytes())
    raw[place % len(raw)] ^= 1 << bit
    x = np.frombuffer(bytes(raw), dtype=np.float32).reshape(query.x.shape)
    assert messages.digest(replace(query, x=x)) != messages.digest(query)


OTHERS: dict[str, dict[str, Any]] = {
    "shape": {"x": QUERY.x.reshape(3, 2)},
    "dimensions": {"x": QUERY.x.reshape(6)},
    "integers": {"x": QUERY.x.view(np.int32)},
    "byte order": {"x": QUERY.x.view(">f4")},
    "sign of zero": {"x": np.where(QUERY.x == 0.0, np.float32(-0.0), QUERY.x)},
    "label width": {"labels": QUERY.labels.astype(np.int32)},
    "label type": {"labels": QUERY.labels.view(np.float64)},
    "name": {"run": "r1"},
    "name that looks like a header": {"run": 'r", "round_number": 2, "x": "'},
    "energies asked": {"energy_std": 1.0},
    "integer noise": {"score_std": 1},
    "noise by an ulp": {"score_std": float(np.nextafter(1.0, 2.0))},
    "round": {"round_number": 2},
    "level": {"t": 4},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS.keys())
def test_equal_bytes_of_another_kind_have_another_digest(changed: dict[str, Any]) -> None:
    """Shape, dtype, byte order and the bits of every number are part of what a digest names."""
    assert messages.digest(replace(QUERY, **changed)) != messages.digest(QUERY)


def test_memory_layout_is_no_part_of_the_digest() -> None:
    """The same numbers in Fortran order, or as every second of a longer array: the same query."""
    spread = np.repeat(QUERY.x, 2, axis=0)[::2]
    for x in (np.asfortranarray(QUERY.x), spread):
        assert messages.digest(replace(QUERY, x=x)) == messages.digest(QUERY)


PARTS = st.lists(st.binary(max_size=6), max_size=4)


@given(PARTS, PARTS)
def test_contexts_are_never_confused_by_where_they_are_cut(a: list[bytes], b: list[bytes]) -> None:
    """Two lists of context parts give one digest only if they are the same list."""
    assert (messages.digest(QUERY, *a) == messages.digest(QUERY, *b)) == (a == b)


@given(PARTS)
def test_a_context_cut_elsewhere_is_another_context(parts: list[bytes]) -> None:
    """The parts joined, or with an empty one more, name something else."""
    assume(len(parts) > 1)
    here = messages.digest(QUERY, *parts)
    assert messages.digest(QUERY, b"".join(parts)) != here
    assert messages.digest(QUERY, *parts, b"") != here


# --- damage --------------------------------------------------------------------------------------


def refused_or_whole(data: bytes) -> bool:
    """Decode; anything but an answer or `ProtocolMismatch` propagates and fails the test."""
    try:
        answer = messages.decode_answer(data)
    except ProtocolMismatch:
        return True
    assert isinstance(answer.points, np.ndarray)
    return False


def test_every_truncation_is_refused() -> None:
    """Cut after any byte, the boundaries between fields included."""
    for answer in (ANSWER, replace(ANSWER, energy_points=None, energy_std=None)):
        data = messages.encode_answer(answer)
        for length in range(len(data)):
            with pytest.raises(ProtocolMismatch):
                messages.decode_answer(data[:length])


@given(st.binary(min_size=1, max_size=40))
def test_anything_behind_an_answer_is_refused(tail: bytes) -> None:
    """Also a whole further field."""
    data = messages.encode_answer(ANSWER)
    for more in (tail, len(tail).to_bytes(8, "big") + tail, bytes(8)):
        with pytest.raises(ProtocolMismatch):
            messages.decode_answer(data + more)


@given(answers(), st.lists(st.tuples(st.integers(0, 10**4), st.integers(1, 255)), min_size=1))
def test_damaged_bytes_are_refused_or_still_an_answer(
    answer: PrivateAnswer, damage: list[tuple[int, int]]
) -> None:
    """Bytes flipped anywhere: never another exception than `ProtocolMismatch`."""
    data = bytearray(messages.encode_answer(answer))
    for place, mask in damage:
        data[place % len(data)] ^= mask
    refused_or_whole(bytes(data))


@given(st.integers(0, 10**4), st.integers(1, 255))
def test_damaged_magic_or_lengths_are_refused(place: int, mask: int) -> None:
    """The first 24 bytes are the magic behind its length: a flipped one is never read over."""
    data = bytearray(messages.encode_answer(ANSWER))
    data[place % 24] ^= mask
    assert refused_or_whole(bytes(data))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """As they are, or as a field behind the magic."""
    assert refused_or_whole(data)
    magic = len(messages.ANSWER).to_bytes(8, "big") + messages.ANSWER
    assert refused_or_whole(magic + len(data).to_bytes(8, "big") + data)


def test_a_query_is_no_answer() -> None:
    """The magic tells them apart."""
    with pytest.raises(ProtocolMismatch, match="not a dpfedsyn-answer/2 message"):
        messages.decode_answer(messages.encode_query(QUERY))


HEADER = {
    "silo": "s",
    "round_number": 1,
    "t": 5,
    "clip": 6.0,
    "energy_bound": 18.0,
    "spacing": 0.5,
    "energy_spacing": None,
    "score_std": 1.0,
    "energy_std": None,
}
INTEGERS = {"dtype": "<i4", "shape": [1, 1]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def crafted(header: Any, *described: tuple[Any, bytes]) -> bytes:
    """Encode whatever a hostile sender may: the format's frame around any content."""
    parts = [messages.ANSWER, json.dumps(header).encode()]
    for description, raw in described:
        parts += [json.dumps(description).encode(), raw]
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


@given(JSON)
def test_a_header_of_any_content_is_refused(header: Any) -> None:
    """Of any JSON type; a missing or an additional key."""
    empty = ({"dtype": "<i4", "shape": [0]}, b"")
    assert refused_or_whole(crafted(header, (INTEGERS, bytes(4)), empty))
    assert not refused_or_whole(crafted(HEADER, (INTEGERS, bytes(4)), empty))
    for key in HEADER:
        less = {k: v for k, v in HEADER.items() if k != key}
        assert refused_or_whole(crafted(less, (INTEGERS, bytes(4)), empty))
    assert refused_or_whole(crafted({**HEADER, "more": header}, (INTEGERS, bytes(4)), empty))


@given(JSON, st.binary(max_size=16))
def test_an_array_of_any_description_never_crashes(description: Any, raw: bytes) -> None:
    """Any JSON as the description, or as its dtype or its shape."""
    empty = ({"dtype": "<i4", "shape": [0]}, b"")
    assert refused_or_whole(crafted(HEADER, (description, raw), empty))
    refused_or_whole(crafted(HEADER, ({"dtype": "<i4", "shape": description}, raw), empty))
    refused_or_whole(crafted(HEADER, ({"dtype": description, "shape": [1, 1]}, raw), empty))


@pytest.mark.parametrize("shape", [[2**70, 1], [-1, 0], [[1], 1], "11", [1.5], {"a": 1}], ids=str)
def test_an_impossible_shape_is_refused(shape: Any) -> None:
    """Too large for an index, ambiguous, or no list of whole numbers."""
    empty = ({"dtype": "<i4", "shape": [0]}, b"")
    described = ({"dtype": "<i4", "shape": shape}, bytes(4))
    assert refused_or_whole(crafted(HEADER, described, empty))


@pytest.mark.parametrize(
    "dtype", ["<f4", "<f8", "|O", "<a4", "(", "i4,i4", "<M8[s]", "<U1", None, ">i4"]
)
def test_an_array_of_another_type_is_refused(dtype: Any) -> None:
    """Predictions and energies are little-endian integers, nothing else."""
    empty = ({"dtype": "<i4", "shape": [0]}, b"")
    for count in (1, 2):
        described = ({"dtype": dtype, "shape": [1, 1]}, bytes(4 * count))
        assert refused_or_whole(crafted(HEADER, described, empty))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_arrays_is_refused(count: int) -> None:
    """An answer has two."""
    assert refused_or_whole(crafted(HEADER, *[(INTEGERS, bytes(4))] * count))


def test_a_header_nested_without_end_is_refused() -> None:
    """A reader of JSON gives up on it in its own way; the silo's caller hears of a bad message."""
    nested = b"[" * 100_000
    parts = [messages.ANSWER, nested]
    data = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    with pytest.raises(ProtocolMismatch):
        messages.decode_answer(data)
