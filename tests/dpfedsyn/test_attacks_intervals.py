"""Intervals of attacks: exact where they say so, and sensible at the ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from dpfedsyn.attacks import intervals
from dpfedsyn.attacks.intervals import Share

TRIALS = 2000
FALSE_ALARM = 1e-6
# Misses of an interval that holds the truth in 95 of 100 cases: outside of it once in a million.
FEWEST, MOST = (int(binom.ppf(q, TRIALS, 0.05)) for q in (FALSE_ALARM / 2, 1 - FALSE_ALARM / 2))

shares = st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


@given(shares)
def test_a_share_lies_in_its_interval_and_mirrors(counts: tuple[int, int]) -> None:
    """Hits and misses exchanged mirror the interval; more confidence widens it."""
    hits, of = counts
    found, mirrored = intervals.share(hits, of), intervals.share(of - hits, of)
    assert 0.0 <= found.low <= found.value == hits / of <= found.high <= 1.0
    assert found.low == pytest.approx(1.0 - mirrored.high, abs=1e-12)
    sure = intervals.share(hits, of, 0.999)
    assert sure.low <= found.low <= found.high <= sure.high


def test_an_exact_share_has_the_published_ends() -> None:
    """Clopper and Pearson: 0 of n has the upper end 1 - 0.025^(1/n)."""
    assert intervals.share(0, 50).high == pytest.approx(1.0 - 0.025 ** (1 / 50))
    assert intervals.share(50, 50).low == pytest.approx(0.025 ** (1 / 50))


@pytest.mark.parametrize(("rank", "of"), [(1, 122), (12, 122), (61, 122)])
def test_the_false_positive_rate_of_a_threshold_is_covered(rank: int, of: int) -> None:
    """Misses of 2000 draws fit 5 % (false alarm 1e-6); for the next rank's interval they do not."""
    scores = np.sort(rng(rank).random((TRIALS, of)), axis=1)
    true_rates = 1.0 - scores[:, -rank]

    def misses(found: Share) -> int:
        return int(np.sum((true_rates < found.low) | (true_rates > found.high)))

    assert FEWEST <= misses(intervals.false_positive_rate(rank, of)) <= MOST
    assert misses(intervals.false_positive_rate(2 * rank, of)) > MOST


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.1, 0.05, 0.01]),
)
def test_no_more_held_out_records_than_allowed_lie_above_a_threshold(
    scores: list[int], fpr: float
) -> None:
    """Ties or not; and a rate that so few records cannot hold has no threshold."""
    control = np.array(scores, dtype=np.float64)
    found = intervals.threshold(control, fpr)
    assert (found is None) == (len(scores) < round(1 / fpr) - 1)
    if found is not None:
        rank, value = found
        assert np.sum(control > value) <= rank - 1
        assert rank / (len(scores) + 1) <= fpr + 1e-9


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    """All pairs counted, ties half; exchanged groups mirror it."""
    used, control = np.array([1.0, 2.0, 2.0]), np.array([0.0, 2.0])
    found, mirrored = intervals.area(used, control), intervals.area(control, used)
    assert found.value == pytest.approx((1 + 0 + 1 + 0.5 + 1 + 0.5) / 6)
    assert found.low == pytest.approx(1.0 - mirrored.high)


def test_a_perfect_area_still_has_an_interval() -> None:
    """At 0 and at 1 the interval does not shrink to a point, and more records narrow it."""
    few, many = (intervals.area(np.ones(n), np.zeros(n)) for n in (10, 1000))
    assert few.high == many.high == 1.0
    assert 0.5 < few.low < 0.95
    assert few.low < many.low < 1.0
    assert intervals.area(np.zeros(10), np.ones(10)).high == pytest.approx(1.0 - few.low)


def test_the_area_of_equal_laws_is_covered() -> None:
    """AUC 0.5: misses of 2000 draws fit 5 % (false alarm 1e-6); an interval half as wide fails."""
    random = rng(3)
    found = [intervals.area(random.random(80), random.random(40)) for _ in range(TRIALS)]
    missed = sum(not one.low <= 0.5 <= one.high for one in found)
    halved = sum(
        not (one.value + one.low) / 2 <= 0.5 <= (one.value + one.high) / 2 for one in found
    )
    assert missed <= MOST
    assert halved > MOST


def test_pairs_are_disjoint_and_ties_are_coins() -> None:
    """As many pairs as the smaller group has records; all ties win about half."""
    won = intervals.pairs(np.ones(30), np.zeros(50), rng(0))
    assert won.value == 1.0
    assert won.low == pytest.approx(0.025 ** (1 / 30))
    tied = intervals.pairs(np.zeros(4000), np.zeros(4000), rng(0))
    assert abs(tied.value - 0.5) < 5 * 0.5 / np.sqrt(4000)
