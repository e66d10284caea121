"""The chain's encoding is injective, and headers survive their JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import Gaussian, Header, Planned, PoissonSampled
from accountants.rows import encode

FIELDS = st.lists(
    st.none()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.binary(max_size=6),
    max_size=4,
)


def typed(fields):
    """Values with their types; -0.0 and 0.0 differ, as 1 and 1.0 do."""
    return [(type(value), repr(value)) for value in fields]


@given(FIELDS, FIELDS)
def test_different_fields_never_encode_alike(first, second):
    """Injective: the chain cannot be continued with another row of the same bytes."""
    assert (encode(*first) == encode(*second)) == (typed(first) == typed(second))


def test_moving_a_border_between_fields_changes_the_bytes():
    """Length prefixes: ("ab", "c") is not ("a", "bc"), and None is not empty."""
    assert encode("ab", "c") != encode("a", "bc")
    assert encode("asb") != encode("a", "b")  # type letters alone would not separate these
    assert encode(None) != encode(b"")
    assert encode("1") != encode(1) != encode(1.0)
    with pytest.raises(TypeError):
        encode(True)


@given(st.floats(0, 1e6), st.none() | st.floats(0, 1e6), st.integers(1, 100), st.text())
def test_headers_survive_their_canonical_text(cap, record_cap, keep, silo):
    """Parsing the canonical text gives the same header and the same text."""
    planned = (Planned("dp-sgd", "A", PoissonSampled(Gaussian(1.5), 0.1), 7),)
    header = Header(
        "ab", silo, "run", "person", "zero-out", 1e-6, planned, cap, record_cap, keep, "1"
    )
    assert Header.parse(header.canonical()) == header
    assert Header.parse(header.canonical()).canonical() == header.canonical()
