"""Vectors onto the lattice: no norm grows, no honest row is lost, nothing overflows."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dpfedsyn.truncation import MOST, checked, truncate, within

SPACINGS = st.floats(1e-12, 1e12)
VALUES = st.floats(allow_nan=True, allow_infinity=True)


def steps(value: float, spacing: float) -> int:
    """The truncated quotient in rationals."""
    return math.trunc(Fraction(value) / Fraction(spacing)) if math.isfinite(value) else 0


@given(VALUES, SPACINGS)
@example(3 * 0.1, 0.1)
def test_truncation_never_grows_a_value(value: float, spacing: float) -> None:
    """Guarantee of dpfedsyn.truncation.truncate: |k| g <= |value| in rationals, sign kept,
    non-finite values 0, and beyond 2^51 spacings +-2^51."""
    [found] = truncate(np.array([value]), spacing).tolist()
    right = steps(value, spacing)
    assert found == max(-int(MOST), min(int(MOST), right))
    if math.isfinite(value):
        assert abs(found) * Fraction(spacing) <= abs(Fraction(value))


@given(st.integers(-(2**51), 2**51), SPACINGS, st.integers(-2, 2))
@example(49, 1.0 / 49.0, 0)
def test_truncation_is_exact_beside_every_multiple(k: int, spacing: float, ulps: int) -> None:
    """The float nearest to k g and its neighbours: there a quotient rounds up to an integer."""
    value = k * spacing
    for _ in range(abs(ulps)):
        value = math.nextafter(value, math.copysign(math.inf, ulps))
    [found] = truncate(np.array([value]), spacing).tolist()
    assert found == max(-int(MOST), min(int(MOST), steps(value, spacing)))


def test_division_alone_would_grow_values() -> None:
    """Among 100,000 floats just below multiples, plain truncated division is too large for some,
    so the exact remainder is not there in vain."""
    spacing = 0.1
    multiples = np.arange(1.0, 100_001.0)
    values = multiples * spacing
    right = np.array([steps(value, spacing) for value in values.tolist()])
    plain = np.trunc(values / spacing).astype(np.int64)
    assert (plain > right).sum() > 100
    assert np.array_equal(truncate(values, spacing), right)


def test_float32_values_and_any_shape_are_taken() -> None:
    """A float32 is a float64 exactly."""
    values = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(2, 3, 4)
    found = truncate(values, 2.0**-10)
    assert found.shape == (2, 3, 4)
    assert found.dtype == np.int64
    assert np.array_equal(found, np.trunc(values.astype(np.float64) * 1024.0).astype(np.int64))


ROWS = st.integers(1, 4).flatmap(
    lambda d: st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=d, max_size=d))
)
NEAR = st.integers(1, 3).flatmap(
    lambda d: st.lists(st.lists(st.integers(-40, 40), min_size=d, max_size=d))
)


@given(ROWS | NEAR, st.floats(1e-3, 1e12), st.floats(1e-3, 1e3))
@example([[3, 4], [5, 1]], 5.0, 1.0)
@example([[2**32, 2**32, 2**32, 2**32]], 1.0, 1.0)
@example([[-(2**63)]], 5.0, 1.0)
@example([[3_000_000_000] * 4, [2_000_000_000] * 4], 5e9, 1.0)
@example([[3, 4], [3, 3]], 0.5, 0.1)
@example([[3_037_000_499], [3_037_000_500]], 3_037_000_499.5, 1.0)
def test_the_norm_check_is_that_of_the_integers(
    rows: list[list[int]], bound: float, spacing: float
) -> None:
    """Guarantee of dpfedsyn.truncation.within: A row that passes, times g, has norm <= bound in
    rationals, and every other row has more; sums that would overflow int64 included."""
    ints = np.array(rows, dtype=np.int64).reshape(len(rows), len(rows[0]) if rows else 1)
    limit = (Fraction(bound) / Fraction(spacing)) ** 2
    assert within(ints, bound, spacing).tolist() == [sum(k * k for k in r) <= limit for r in rows]


@given(
    st.lists(st.lists(VALUES, min_size=3, max_size=3), max_size=5),
    st.floats(1e-2, 1e2),
    st.floats(1e-6, 1.0),
)
def test_no_row_leaves_longer_than_the_bound(
    rows: list[list[float]], bound: float, spacing: float
) -> None:
    """Guarantee of dpfedsyn.truncation.checked: Every returned row, times g, has norm <= bound,
    whatever the rows hold; rows within it are kept whole."""
    values = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    for row, found in zip(rows, checked(values, bound, spacing).tolist(), strict=True):
        whole = [steps(value, spacing) for value in row]
        limit = (Fraction(bound) / Fraction(spacing)) ** 2
        assert found == (whole if sum(k * k for k in whole) <= limit else [0, 0, 0])


@pytest.mark.parametrize("seed", range(3))
def test_clipped_rows_are_never_lost_to_rounding(seed: int) -> None:
    """Of rows that were scaled to the bound none is turned into zeros: it would be a loss."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(2000, 7))
    rows *= (1.0 - 1e-12) * 3.0 / np.linalg.norm(rows, axis=1, keepdims=True)
    assert within(truncate(rows, 0.1 / 1024), 3.0, 0.1 / 1024).all()
    assert checked(rows, 3.0, 0.1 / 1024).any(axis=1).all()
