"""The filter never lets the exact sum pass its cap."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import AccountingError, BudgetExhausted, GaussianFilter, total_mu2
from accountants.filter import rounded_up

COSTS = st.floats(1e-9, 1e6)


@given(st.lists(COSTS, max_size=30), st.floats(0, 1e7))
def test_accepted_costs_never_exceed_the_cap_exactly(costs, cap):
    """Against rational arithmetic: accepted as long as it fits, refused otherwise."""
    spent, admitted = Fraction(0), GaussianFilter(cap)
    for cost in costs:
        if sum([Fraction(cost), spent]) <= Fraction(cap):
            spent = admitted.admit(spent, cost)
        else:
            with pytest.raises(BudgetExhausted):
                admitted.admit(spent, cost)
    assert spent <= Fraction(cap)


def test_a_sum_that_rounds_down_onto_the_cap_is_refused():
    """In floats 1 + 2^-53 equals 1; a cap of 1 is passed all the same."""
    admitted = GaussianFilter(1.0)
    spent = admitted.admit(Fraction(0), 1.0)
    assert 1.0 + 2.0**-53 == 1.0
    with pytest.raises(BudgetExhausted):
        admitted.admit(spent, 2.0**-53)


@pytest.mark.parametrize("cost", [0.0, -1.0, math.nan, math.inf, -math.inf, None, "1"])
def test_costs_that_mean_nothing_never_pass(cost):
    """NaN, infinities, zero, negatives and non-numbers are refused under any cap."""
    with pytest.raises(BudgetExhausted):
        GaussianFilter(1e300).admit(Fraction(0), cost)


def test_a_cap_of_zero_admits_nothing():
    """No answers allowed means none."""
    with pytest.raises(BudgetExhausted, match="cap of 0"):
        GaussianFilter(0.0).admit(Fraction(0), 5e-324)


@pytest.mark.parametrize("cap", [-1.0, math.nan, math.inf])
def test_a_cap_must_be_finite(cap):
    """An infinite cap would guarantee nothing."""
    with pytest.raises(AccountingError):
        GaussianFilter(cap)


@given(st.lists(COSTS, min_size=1, max_size=40))
def test_the_planned_total_admits_exactly_the_planned_costs(costs):
    """A cap from total_mu2 holds all costs, is rounded up, and by less than one float."""
    cap, spent = total_mu2(costs), Fraction(0)
    exact = sum((Fraction(cost) for cost in costs), Fraction(0))
    assert Fraction(math.nextafter(cap, 0.0)) < exact <= Fraction(cap)
    for cost in costs:
        spent = GaussianFilter(cap).admit(spent, cost)
    assert rounded_up(spent) == cap
