"""Lower bounds on epsilon: they cover in every family, and what is of no family gets a free one."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from accountants import Adjacency, ApproximateDP, Gaussian, Laplace, PoissonSampled, epsilon
from dpfedsyn.audit import GDP, Claim, Verdict, audit, audit_scores, auditing, binomial
from dpfedsyn.audit.bounds import Observed
from dpfedsyn.audit.process import rule_prior

BASE = np.zeros((2, 1))
PAIR = (BASE, np.vstack([BASE, [[1.0]]]))
DELTA = 1e-3
QUICK = ("poisson", "of no family")  # the others take a minute or two
AUDITS, RATE, MOST = 100, 0.2, 36  # more above the truth have a chance of 1e-4 at this rate


def gaussian(std):
    """A sum with noise of this standard deviation."""
    return lambda data, n, rng: data.sum(axis=0) + std * rng.standard_normal((n, data.shape[1]))


def laplace(scale):
    """A sum with Laplace noise."""
    return lambda data, n, rng: data.sum(axis=0) + rng.laplace(0.0, scale, (n, data.shape[1]))


def sampled(std, rate):
    """A sum over a Poisson sample, with noise."""

    def mechanism(data, n, rng):
        joined = rng.random((n, len(data))) < rate
        return joined @ data + std * rng.standard_normal((n, 1))

    return mechanism


def response(value):
    """Randomised response, epsilon = value: whether there is a record."""
    keep = 1 / (1 + math.exp(-value))
    return lambda data, n, rng: np.where(rng.random((n, 1)) < keep, data.sum() > 0, data.sum() <= 0)


def of_response(value):
    """Epsilon of randomised response at `DELTA`."""
    return math.log(math.exp(value) - DELTA * (1 + math.exp(value)))


@dataclass(frozen=True)
class Case:
    """A mechanism, what it claims, its epsilon at `DELTA`, and what may be assumed of it."""

    mechanism: object
    claim: Claim
    truth: float
    assume_family: bool = True


def at_delta(event):
    """Upper end of an event's epsilon."""
    return epsilon(event, delta=DELTA).upper


CASES = {
    "gdp": Case(gaussian(1.0), GDP(1.0), at_delta(Gaussian(1.0))),
    "gdp, false": Case(gaussian(0.5), GDP(1.0), at_delta(Gaussian(0.5))),
    "laplace": Case(laplace(1.0), Laplace(1.0), at_delta(Laplace(1.0))),
    "laplace, false": Case(laplace(0.5), Laplace(1.0), at_delta(Laplace(0.5))),
    "approximate": Case(response(1.0), ApproximateDP(1.0, 0.0), of_response(1.0)),
    "poisson": Case(
        sampled(1.0, 0.5), PoissonSampled(Gaussian(0.5), 0.5),
        at_delta(PoissonSampled(Gaussian(1.0), 0.5)),
    ),
    "of no family": Case(response(2.0), PoissonSampled(Gaussian(2.0), 0.1), of_response(2.0)),
    "nothing assumed": Case(response(2.0), GDP(1.0), of_response(2.0), False),
}  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[] if name in QUICK else pytest.mark.slow)
        for name, case in CASES.items()
    ],
)
def test_bounds_on_epsilon_cover_in_every_family(case):
    """Guarantee of dpfedsyn.audit.results.Audit.epsilon_lower: "Above the mechanism's epsilon on".

    Also Guarantee of dpfedsyn.audit.bounds.Observed.epsilon_lower: "Above epsilon with a
    probability of", and Guarantee of dpfedsyn.audit.bounds.Observed.any_epsilon_lower: "The
    mechanism is (epsilon, delta)-DP for no".

    80 % bounds of 100 audits; the same count refuses bounds of 30 %.
    """
    above = wrong = 0
    for seed in range(AUDITS):
        found = audit(
            case.mechanism, PAIR, claim=case.claim, alpha=0.01, max_calls=240, seed=seed,
            confidence=1 - RATE, early=False,
        )  # fmt: skip
        bad = replace(found, _evidence=replace(found._evidence, error=0.7))
        above += found.epsilon_lower(DELTA, assume_family=case.assume_family) > case.truth
        wrong += bad.epsilon_lower(DELTA, assume_family=case.assume_family) > case.truth
    assert binom.sf(MOST, AUDITS, RATE) < 2e-4
    assert above <= MOST
    assert wrong > MOST


@pytest.mark.parametrize("name", ["gdp, false", "laplace, false", "of no family"])
def test_bounds_on_epsilon_cover_at_an_early_stop(name):
    """By the bets, whose bound lies below the truth; one that counts on luck would not."""
    case, above, wrong = CASES[name], 0, 0
    for seed in range(40):
        found = audit(
            case.mechanism, PAIR, claim=case.claim, alpha=0.2, max_calls=2_000, seed=seed,
            confidence=1 - RATE,
        )  # fmt: skip
        assert found._evidence.sequential
        above += found.epsilon_lower(DELTA) > case.truth
        counted = replace(found._evidence, sequential=False, error=0.9)
        wrong += replace(found, _evidence=counted).epsilon_lower(DELTA) > case.truth
    assert binom.sf(16, 40, RATE) < 2e-3
    assert above <= 16 < wrong


@pytest.mark.parametrize("early", [True, False])
def test_a_sampled_claim_that_is_broken_says_nothing_of_the_noise(early):
    """Sampling that is claimed and not done: the family would say any number up to a million."""
    claim = PoissonSampled(Gaussian(2.0), 0.1)
    found = audit(gaussian(2.0), PAIR, claim=claim, early=early)
    assert found.verdict is Verdict.VIOLATION
    assert 0.0 < found.epsilon_lower(1e-5) <= epsilon(Gaussian(2.0), delta=1e-5).lower
    assert found.epsilon_lower(1e-5) == found.epsilon_lower(1e-5, assume_family=False)
    assert found.epsilon_lower(1e-5) <= found.auditable_epsilon(1e-5) < 12


def guessed(right, bets=2_000, **changes):
    """Observed of so many right guesses."""
    plain = Observed(np.full(3, -0.6 * bets), rule_prior(3), bets, right, False, 0.05)
    return replace(plain, **changes)


def test_a_family_without_survivors_is_left():
    """More right guesses than sampling allows at any noise: the free bound is what is left."""
    claim, side = PoissonSampled(Gaussian(2.0), 0.1), Adjacency.ADD_OR_REMOVE
    assert guessed(1_300).epsilon_lower(claim, side, DELTA) == guessed(1_300).any_epsilon_lower(
        DELTA
    )
    assert guessed(1_080).epsilon_lower(claim, side, DELTA) <= epsilon(claim, delta=DELTA).lower


CLAIMS = st.sampled_from(
    [
        GDP(0.5),
        Gaussian(0.7),
        Laplace(1.0),
        ApproximateDP(1.0, 1e-5),
        PoissonSampled(Gaussian(2.0), 0.1),
        PoissonSampled(Gaussian(0.7), 0.8),
    ]
)


@given(
    claim=CLAIMS, bets=st.integers(0, 30_000), share=st.floats(0.0, 1.0), unsure=st.floats(0, 1),
    sequential=st.booleans(), violated=st.booleans(), delta=st.sampled_from([1e-5, 1e-3]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_bound_exceeds_what_is_auditable(
    claim, bets, share, unsure, sequential, violated, delta
):
    """However many guesses were right and whatever the bets gained, in each claim's own family."""
    kept = guessed(
        round(share * bets), bets, sequential=sequential, likelihood=np.full(3, -unsure * bets)
    )
    side = Adjacency.ADD_OR_REMOVE
    found = kept.epsilon_lower(claim, side, delta, violated=violated)
    most = kept.largest_epsilon(claim, side, delta, violated=violated)
    assert max(found, kept.any_epsilon_lower(delta)) <= most


def test_what_is_auditable_is_of_the_claims_family():
    """An (epsilon, delta) claim's is near log(calls), not a Gaussian's; sure guesses reach it."""

    def open_book(data, n, rng):
        return np.full((n, 1), data.sum())

    claim = ApproximateDP(1.0, 1e-5)
    found = audit(open_book, PAIR, claim=claim, max_calls=1_000, early=False)
    assert 5 < found.epsilon_lower(1e-5) == found.auditable_epsilon(1e-5) < 7
    stopped = audit(open_book, PAIR, claim=GDP(0.5))
    assert stopped.epsilon_lower(1e-5) <= stopped.auditable_epsilon(1e-5)


def worst_case(outputs, error, planned):
    """Chance that the best rule for it makes a bound above 1/2, with outputs that tell nothing.

    By dynamic programming over coins that were 0, coins that were 1, and right guesses.

    Args:
        planned: coins, of which those without an output count as wrong; None: where outputs end.
    """

    @lru_cache(None)
    def chance(zeros, ones, right):
        made = zeros + ones
        if outputs in (zeros, ones) or made == planned:
            return float(binomial.lower_rate(right, planned or made, error) > 0.5)
        win = (chance(zeros + 1, ones, right + 1), chance(zeros, ones + 1, right + 1))
        lose = (chance(zeros + 1, ones, right), chance(zeros, ones + 1, right))
        return max(win[0] + lose[1], lose[0] + win[1]) / 2

    return chance(0, 0, 0)


def test_guesses_of_outputs_drawn_elsewhere_are_counted_up_to_a_fixed_coin():
    """Guarantee of dpfedsyn.audit.auditing.audit_scores: "If the claim is true, the verdict".

    Against the rule that makes most of it. Counting where one side happens to be used up is
    wrong: the rule can hurry that on when it is lucky.
    """
    for outputs in (10, 20, 30):
        assert worst_case(outputs, 0.05, auditing._lasting(outputs, outputs)) <= 0.05
        assert worst_case(outputs, 0.05, None) > 0.065


def test_bounds_of_outputs_drawn_elsewhere_cover():
    """80 % bounds of 100 audits; the same count refuses those that are wrong half the time."""
    above = wrong = 0
    for seed in range(AUDITS):
        rng = np.random.default_rng(seed)
        found = audit_scores(
            rng.standard_normal(150), 1 + rng.standard_normal(150), claim=GDP(1.0), seed=seed,
            confidence=1 - RATE, score=lambda x: x[:, 0],
        )  # fmt: skip
        kept = found._evidence
        assert kept.bets == auditing._lasting(150, 150) - 40
        above += found.mu_lower > 1.0
        wrong += replace(kept, error=0.6).mu_lower() > 1.0
    assert above <= MOST < wrong


@pytest.mark.parametrize(("zeros", "ones"), [(1, 1), (1, 90), (70, 50), (5_000, 5_000)])
def test_so_many_coins_last_in_nine_cases_of_ten(zeros, ones):
    """And with one more they would not."""
    count = auditing._lasting(zeros, ones)
    chances = [
        float(binom.cdf(ones, n, 0.5) - binom.cdf(n - zeros - 1, n, 0.5))
        for n in (count, count + 1)
    ]
    assert chances[0] >= 0.9 - 1e-12 or count == 1
    assert chances[1] < 0.9
