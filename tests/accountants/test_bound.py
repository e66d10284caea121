"""A bound cannot be the wrong way round, nor be printed better than it is."""

import math
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import AccountingError, Bound


def test_upper_end_is_printed_first():
    """The claim leads, its lower end follows."""
    assert str(Bound(1.0, 2.5)).startswith("2.5")


@pytest.mark.parametrize(("lower", "upper"), [(2.0, 1.0), (math.nan, 1.0), (0.0, math.nan)])
def test_bounds_that_say_nothing_are_refused(lower, upper):
    """Crossed or undefined ends are refused."""
    with pytest.raises(AccountingError):
        Bound(lower, upper)
    assert Bound(math.inf, math.inf).upper == math.inf


@given(st.floats(0, 1e12), st.floats(0, 1))
def test_printed_ends_are_rounded_outward_in_ten_digits(upper, share):
    """What is printed is claimed: never a smaller upper end, never a larger lower one."""
    bound = Bound(upper * share, upper)
    high, low = re.fullmatch(r"<= (\S+) \(>= (\S+)\)", bound.outward()).groups()
    for printed, end, rounded in (
        (high, bound.upper, Fraction.__ge__),
        (low, bound.lower, Fraction.__le__),
    ):
        assert rounded(Fraction(printed), Fraction(end))
        assert abs(Fraction(printed) - Fraction(end)) <= Fraction(end) / 10**9
        assert len(re.sub(r"[eE].*|\D", "", printed).lstrip("0")) <= 10


def test_an_epsilon_prints_the_digits_that_are_certified():
    """Ends that agree to nine digits are told apart, and infinity is printed as such."""
    assert Bound(6.18771238912, 6.18771238995).outward() == "<= 6.187712390 (>= 6.187712389)"
    assert Bound(2.5, 2.5).outward() == "<= 2.5 (>= 2.5)"
    assert Bound(0.0, math.inf).outward() == "<= Infinity (>= 0)"
