"""What a group sees: sensitivities add up, samples mix, claims grow, the rest is refused."""

import math

import mpmath as mp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import (
    AccountingError,
    ApproximateDP,
    Cascade,
    Composed,
    Gaussian,
    GroupSampled,
    Laplace,
    PoissonSampled,
    Repeated,
    SampledWithoutReplacement,
    Shuffled,
    Unbounded,
    UnsupportedEvent,
    group,
)

SIZES = st.integers(1, 40)


@given(st.floats(0.01, 100.0), SIZES)
def test_sensitivities_of_a_group_add_up(sigma, size):
    """Gaussian and Laplace noise count for that many units at once.

    Guarantee of accountants.group.group: The mechanism that `event` describes for one
    unit satisfies the result for the group.
    """
    assert group(Gaussian(sigma), size) == Gaussian(sigma / size)
    assert group(Laplace(sigma), size) == Laplace(sigma / size)


@given(st.floats(0.0, 30.0), st.floats(-30, -1), SIZES)
def test_a_claim_grows_along_the_chain_of_neighbours(epsilon, log_delta, size):
    """(epsilon, delta) becomes size epsilon and delta (e^(size epsilon) - 1) / (e^epsilon - 1)."""
    delta = 10.0**log_delta
    found = group(ApproximateDP(epsilon, delta), size)
    with mp.workdps(40):
        steps = [mp.exp(mp.mpf(epsilon) * i) for i in range(size)]
        expected = mp.mpf(delta) * mp.fsum(steps)
        if isinstance(found, Unbounded):
            assert expected > 1 - 1e-6
            return
        assert mp.mpf(epsilon) * size <= found.epsilon <= epsilon * size * (1 + 1e-15)
        assert expected * (1 - (size == 1) * mp.mpf("1e-16")) <= found.delta
        assert found.delta <= expected * (1 + mp.mpf("1e-9"))


def test_claims_without_delta_stay_without():
    """Pure epsilon only grows in epsilon; one that overflows promises nothing any more."""
    assert group(ApproximateDP(0.5, 0.0), 4) == ApproximateDP(2.0, 0.0)
    assert isinstance(group(ApproximateDP(1e308, 0.0), 4), Unbounded)
    assert isinstance(group(ApproximateDP(1.0, 1e-5), 10**6), Unbounded)


def test_each_member_joins_a_sample_on_its_own():
    """Poisson samples become a binomial mixture; groups of groups multiply."""
    sampled = PoissonSampled(Gaussian(2.0), 0.1)
    assert group(sampled, 3) == GroupSampled(Gaussian(2.0), 0.1, 3)
    assert group(group(sampled, 3), 4) == group(sampled, 12)


def test_groups_reach_into_compositions():
    """Repetitions, compositions and both sides of a cascade are grouped; nothing else changes."""
    event = Composed((Repeated(Gaussian(2.0), 5), Cascade(Gaussian(4.0), Gaussian(6.0))))
    expected = Composed((Repeated(Gaussian(1.0), 5), Cascade(Gaussian(2.0), Gaussian(3.0))))
    assert group(event, 2) == expected
    assert group(event, 1) is event
    assert group(Unbounded("raw"), 7) == Unbounded("raw")


@pytest.mark.parametrize(
    "event", [SampledWithoutReplacement(Gaussian(1.0), 2, 8), Shuffled(Gaussian(1.0), 4)]
)
def test_events_without_a_group_bound_are_refused(event):
    """The message names the part."""
    with pytest.raises(UnsupportedEvent, match=type(event).__name__):
        group(Repeated(event, 3), 2)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "2", math.nan])
def test_a_group_has_a_whole_number_of_members(size):
    """Nobody is protected by a group of none."""
    with pytest.raises(AccountingError, match="size="):
        group(Gaussian(1.0), size)
