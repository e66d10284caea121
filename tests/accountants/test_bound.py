"""A bound cannot be the wrong way round."""

import math

import pytest

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
