"""Messages: what was sent comes back, digests name content only, damage is always said so."""

from dataclasses import fields, replace
from typing import Any

import msgspec
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
def test_a_damaged_tag_is_refused(place: int, mask: int) -> None:
    """What a message says that it is, and in which version, is never read over."""
    data = bytearray(messages.encode_answer(ANSWER))
    start = bytes(data).index(messages.ANSWER.encode())
    data[start + place % len(messages.ANSWER)] ^= mask
    assert refused_or_whole(bytes(data))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """As they are, or behind the tag."""
    assert refused_or_whole(data)
    assert refused_or_whole(b"\x82\xa4type" + PACK(messages.ANSWER) + data)


def test_a_query_is_no_answer_and_an_answer_no_query() -> None:
    """The tag tells them apart."""
    with pytest.raises(ProtocolMismatch, match="not a dpfedsyn-answer/3 message"):
        messages.decode_answer(messages.encode_query(QUERY))
    with pytest.raises(ProtocolMismatch, match="not a dpfedsyn-query/2 message"):
        messages.decode_query(messages.encode_answer(ANSWER))


@given(queries())
def test_a_query_comes_back_bit_for_bit(query: ScoreQuery) -> None:
    """Of every content, so that its digest is the same on the other side."""
    back = messages.decode_query(messages.encode_query(query))
    for field in fields(ScoreQuery):
        assert same(getattr(query, field.name), getattr(back, field.name))
    assert messages.digest(back) == messages.digest(query)


PACK = msgspec.msgpack.encode
INTEGERS = ["<i4", [1, 1], bytes(4)]
HEADER = {
    "type": messages.ANSWER,
    "silo": "s",
    "round_number": 1,
    "t": 5,
    "points": INTEGERS,
    "energy_points": None,
    "clip": 6.0,
    "energy_bound": 18.0,
    "spacing": 0.5,
    "energy_spacing": None,
    "score_std": 1.0,
    "energy_std": None,
}
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(ANYTHING)
def test_a_header_of_any_content_is_refused(content: Any) -> None:
    """Of any type; a missing or an additional key."""
    assert refused_or_whole(PACK(content))
    assert not refused_or_whole(PACK(HEADER))
    for key in HEADER:
        assert refused_or_whole(PACK({k: v for k, v in HEADER.items() if k != key}))
    assert refused_or_whole(PACK({**HEADER, "more": content}))
    for key in HEADER:
        if type(content) is not type(HEADER[key]):
            refused_or_whole(PACK({**HEADER, key: content}))


@given(ANYTHING, st.binary(max_size=16))
def test_an_array_of_any_description_never_crashes(content: Any, raw: bytes) -> None:
    """Anything as the array, or as its type or its shape."""
    assert refused_or_whole(PACK({**HEADER, "points": content}))
    refused_or_whole(PACK({**HEADER, "points": ["<i4", content, raw]}))
    refused_or_whole(PACK({**HEADER, "points": [content, [1, 1], raw]}))


@pytest.mark.parametrize(
    "shape",
    [[2**62, 1], [2**62, 0], [-1, 0], [-1, -1], [1, 1, 1], [[1], 1], "11", [1.5], {"a": 1}],
    ids=str,
)
def test_an_impossible_shape_is_refused(shape: Any) -> None:
    """Too large for an index, ambiguous, of a third dimension, or no list of whole numbers."""
    for raw in (bytes(4), b""):
        assert refused_or_whole(PACK({**HEADER, "points": ["<i4", shape, raw]}))


@pytest.mark.parametrize(
    "dtype", ["<f4", "<f8", "|O", "<a4", "(", "i4,i4", "<M8[s]", "<U1", None, ">i4"]
)
def test_an_array_of_another_type_is_refused(dtype: Any) -> None:
    """Predictions and energies are little-endian integers, nothing else."""
    for count in (1, 2):
        assert refused_or_whole(PACK({**HEADER, "points": [dtype, [1, 1], bytes(4 * count)]}))


def test_more_than_an_array_is_refused() -> None:
    """A fourth part of an array, and a third missing."""
    for array in ([*INTEGERS, b""], INTEGERS[:2], []):
        assert refused_or_whole(PACK({**HEADER, "points": array}))


@pytest.mark.parametrize(
    "opening", [b"\x91", b"\x81\xa1a", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"]
)
def test_nesting_and_lengths_without_end_are_refused(opening: bytes) -> None:
    """Neither the stack nor the memory of a reader is what a sender says."""
    for data in (opening * 100_000, b"\x82\xa4type" + PACK(messages.ANSWER) + opening * 100_000):
        with pytest.raises(ProtocolMismatch):
            messages.decode_answer(data)
