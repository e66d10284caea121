"""Events are values: canonical JSON, validation with a mend, no surprises."""

import json
import math

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
    from_json,
    to_json,
)

GAUSSIANS = st.floats(1e-6, 1e6).map(Gaussian)
CLAIMS = st.builds(ApproximateDP, st.floats(0.0, 1e3), st.floats(0.0, 0.999))
COUNTS = st.integers(1, 10**9)
EVENTS = st.recursive(
    st.one_of(
        GAUSSIANS,
        CLAIMS,
        st.floats(1e-6, 1e6).map(Laplace),
        st.text(min_size=1).filter(str.strip).map(Unbounded),
    ),
    lambda inner: st.one_of(
        st.builds(PoissonSampled, inner, st.floats(1e-9, 1.0)),
        st.builds(GroupSampled, inner, st.floats(1e-9, 1.0), COUNTS),
        st.builds(lambda e, a, b: SampledWithoutReplacement(e, a, a + b), inner, COUNTS, COUNTS),
        st.builds(Shuffled, inner, COUNTS),
        st.builds(Repeated, inner, st.integers(0, 10**9)),
        st.lists(inner, max_size=4).map(lambda events: Composed(tuple(events))),
        st.builds(Cascade, inner, inner),
    ),
    max_leaves=8,
)


@given(EVENTS)
def test_json_gives_back_the_same_event(event):
    """Writing and reading an event changes nothing, also through text."""
    assert from_json(json.loads(json.dumps(to_json(event), allow_nan=False))) == event
    assert hash(from_json(to_json(event))) == hash(event)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, "1", True, None, 1e-200])
def test_noise_multiplier_must_be_a_positive_finite_number(value):
    """A Gaussian without a usable noise multiplier is refused with the field's name."""
    with pytest.raises(AccountingError, match="noise_multiplier"):
        Gaussian(value)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, "1", True, None, 1e-200])
def test_laplace_noise_multiplier_must_be_a_positive_finite_number(value):
    """A Laplace mechanism without a usable scale is refused with the field's name."""
    with pytest.raises(AccountingError, match=r"Laplace\.noise_multiplier"):
        Laplace(value)


@pytest.mark.parametrize(
    ("epsilon", "delta"),
    [(-1e-9, 0.1), (math.inf, 0.1), (math.nan, 0.1), (1.0, 1.0), (1.0, -0.1), ("1", 0.0)],
)
def test_a_claim_needs_a_finite_epsilon_and_a_delta_below_one(epsilon, delta):
    """Numbers that promise nothing are no (epsilon, delta)."""
    with pytest.raises(AccountingError, match="ApproximateDP"):
        ApproximateDP(epsilon, delta)
    assert ApproximateDP(0, 0) == ApproximateDP(0.0, 0.0)


def test_batches_and_groups_must_be_possible():
    """More units than there are cannot be drawn, and a group has a member."""
    with pytest.raises(AccountingError, match=r"batch_size=5.*population=4"):
        SampledWithoutReplacement(Gaussian(1.0), 5, 4)
    for build in (
        lambda: SampledWithoutReplacement(Gaussian(1.0), 0, 4),
        lambda: Shuffled(Gaussian(1.0), 0),
        lambda: GroupSampled(Gaussian(1.0), 0.1, 0),
        lambda: GroupSampled(Gaussian(1.0), 0.1, 1.5),
    ):
        with pytest.raises(AccountingError, match="whole number >= 1"):
            build()


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.0000001, math.nan, math.inf])
def test_sampling_rate_must_be_a_probability(rate):
    """Rates outside (0, 1] are refused."""
    with pytest.raises(AccountingError, match="sampling_rate"):
        PoissonSampled(Gaussian(1.0), rate)
    with pytest.raises(AccountingError, match="sampling_rate"):
        GroupSampled(Gaussian(1.0), rate, 2)


@pytest.mark.parametrize("count", [-1, 1.5, True, "3"])
def test_count_must_be_a_whole_number(count):
    """Half a release does not exist."""
    with pytest.raises(AccountingError, match="count"):
        Repeated(Gaussian(1.0), count)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"kind": "laplace", "scale": 1.0},
        {"kind": "approximate-dp", "epsilon": 1.0},
        {"kind": "gaussian"},
        {"kind": "gaussian", "noise_multiplier": 1.0, "extra": 2},
        {"kind": "gaussian", "noise_multiplier": -1.0},
        {"kind": "composed", "events": 3},
        {"kind": ["gaussian"]},
    ],
)
def test_unknown_json_is_refused(value):
    """Anything but exactly an event's fields is an error, never a guess."""
    with pytest.raises(AccountingError):
        from_json(value)


def test_parts_must_be_events():
    """A number in place of an event is refused where it is put in."""
    for build in (lambda: Composed((1.0,)), lambda: Repeated(2.0, 1), lambda: Cascade("a", "b")):
        with pytest.raises(AccountingError, match="no event"):
            build()
    with pytest.raises(AccountingError, match="reason"):
        Unbounded(" ")
