"""A library's own tests of its private functions: only public names of dpfedsyn.testing."""

import numpy as np
import pytest
from hypothesis import given, settings
from noisy_stats import (
    TextBudget,
    clipped,
    noisy_histogram,
    noisy_sum,
)

from dpfedsyn.testing import LedgerMachine, assert_private, assert_sensitivity
from dpfedsyn.testing import strategies as dps

FEW = settings(max_examples=3, deadline=None, derandomize=True, database=None)
PAIR = (np.zeros((2, 4)), np.vstack([np.zeros((2, 4)), 5.0 * np.ones((1, 4))]))


@given(dps.neighbours(dps.records((4,), extreme=True)))
@settings(FEW, max_examples=30)
def test_the_sum_moves_by_its_bound(pair):
    """Also with NaN, infinity and overflow."""
    assert_sensitivity(lambda data: clipped(data, 1.0).sum(axis=0), pair, 1.0)


@given(dps.neighbours(dps.records((4,), extreme=True)))
@FEW
def test_the_sum_is_private(pair):
    """On drawn neighbours."""
    assert_private(noisy_sum, pair, mu=0.5, max_calls=4000)


@pytest.mark.dp_audit(mu=0.5, budget="20s")
def test_the_sum_is_private_on_the_worst_pair(dp_audit):
    """Claim in the marker."""
    assert dp_audit(noisy_sum, PAIR, max_calls=4000).verdict == "CONSISTENT"


def test_the_histogram_replays(dp_replay):
    """One record moves one count."""
    (release,) = dp_replay(noisy_histogram, PAIR, sensitivity=1.0, norm=1).releases
    assert (release.noise, release.scale) == ("laplace", 1.0)


def test_the_sum_replays(dp_replay):
    """Sensitivity and cost as declared; nothing without noise."""
    assert dp_replay(noisy_sum, PAIR, sensitivity=1.0, mu=0.5).mu == pytest.approx(0.5)


class BudgetMachine(LedgerMachine):
    """The budget file."""

    adapter = TextBudget
    tolerance = 1e-12


BudgetMachine.TestCase.settings = settings(
    FEW, max_examples=10, stateful_step_count=10, derandomize=True
)
TestBudget = BudgetMachine.TestCase
