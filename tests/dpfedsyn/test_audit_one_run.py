"""Many canaries in one run: the bounds are valid, as tight as is known, and hard to misuse."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.special import ndtr, ndtri

from accountants import Gaussian, gaussian
from dpfedsyn.audit import one_run_bounds as bounds
from dpfedsyn.audit.one_run import CanaryScores, CoinFlips, OneRun, flip, one_run, planned_guesses
from dpfedsyn.audit.one_run_bounds import Guesses
from dpfedsyn.errors import AuditError

DELTA = 1e-5
MADE = st.integers(1, 60).flatmap(
    lambda made: st.builds(
        Guesses, st.integers(made, 3 * made), st.just(made), st.integers(0, made)
    )
)


def ids(count: int) -> list[str]:
    return [f"canary {k}" for k in range(count)]


def ideal(count: int, mu: float, rng: np.random.Generator, **options: Any) -> OneRun:
    """One ideal run: scores N(mu, 1) of who joined, N(0, 1) of the others."""
    flips = flip(ids(count), rng)
    joined = np.array([flips.included[name] for name in flips.ids])
    scores = CanaryScores.of(flips.ids, mu * joined + rng.standard_normal(count))
    return one_run(flips, scores, **options)


def too_often(above: int, runs: int, level: float = 0.05) -> bool:
    """Whether a bound lay above the truth more often than `level` allows; false alarm 1e-6."""
    return bool(stats.binom.sf(above - 1, runs, level) < 1e-6)


# --- (epsilon, delta)


def naive(guesses: Guesses, epsilon: float, delta: float) -> float:
    """Theorem 5.2 of Steinke, Nasr & Jagielski (2023), term by term."""
    r, v = guesses.made, guesses.correct
    law = stats.binom(r, 1.0 / (1.0 + math.exp(-epsilon)))
    tail, best = float(law.sf(v - 1)), 0.0
    for i in range(1, v + 1):
        best = max(best, (float(law.sf(v - i - 1)) - tail) / i)
    return min(1.0, tail + 2.0 * guesses.canaries * delta * best)


@given(MADE, st.floats(0.0, 8.0), st.sampled_from([0.0, 1e-6, 1e-4, 3e-3]))
def test_the_tail_bound_is_the_theorems(guesses: Guesses, epsilon: float, delta: float) -> None:
    """Guarantee of dpfedsyn.audit.one_run_bounds.p_value_approximate: Never below the theorem's
    bound, and it grows with epsilon and delta; equal to it where 2 m delta <= 1."""
    found, exact = (
        bounds.p_value_approximate(guesses, epsilon, delta),
        naive(guesses, epsilon, delta),
    )
    assert found >= exact * (1.0 - 1e-9)
    if 2 * guesses.canaries * delta <= 1.0:
        assert found == pytest.approx(exact, rel=1e-8, abs=1e-300)
    assert found <= bounds.p_value_approximate(guesses, epsilon + 0.1, delta) * (1.0 + 1e-9)
    assert found <= bounds.p_value_approximate(guesses, epsilon, 2.0 * delta) * (1.0 + 1e-9)


@pytest.mark.parametrize("count", [100, 400])
@pytest.mark.parametrize("epsilon", [0.3, 1.0, 2.0])
def test_epsilon_is_covered_exactly_where_coins_answer_at_random(
    epsilon: float, count: int
) -> None:
    """Guarantee of dpfedsyn.audit.one_run_bounds.epsilon_lower: For an (epsilon, delta)-DP run it
    exceeds epsilon with probability at most 1 - confidence. Randomised response is the worst case:
    the exact probability over its binomial law is close to 5 %, and that of raw counts is 50 %."""
    law = stats.binom(count, 1.0 / (1.0 + math.exp(-epsilon)))
    chances = law.pmf(np.arange(count + 1))
    lower = np.array(
        [bounds.epsilon_lower(Guesses(count, count, v), 0.0, 0.95) for v in range(count + 1)]
    )
    assert 0.015 <= chances[lower > epsilon].sum() <= 0.05
    raw = [math.log((v + 1e-9) / (count - v + 1e-9)) > epsilon for v in range(count + 1)]
    assert chances[np.array(raw)].sum() > 0.3


def test_a_run_that_tells_everything_with_probability_delta_is_covered() -> None:
    """Such a run is (0, delta)-DP, and all of its guesses are right with probability above delta:
    the term with delta is needed."""
    guesses = Guesses(50, 50, 50)
    chance = DELTA + (1.0 - DELTA) * 2.0**-50
    assert bounds.p_value_approximate(guesses, 0.0, DELTA) >= chance
    assert bounds.p_value_approximate(guesses, 0.0, 0.0) < chance


# --- f-DP


def least_by_linear_program(
    guesses: Guesses, chance: float, epsilons: NDArray[Any], deltas: NDArray[Any]
) -> float:
    """Least total probability of counts under the constraints of `least_mass`, by a solver."""
    m, r, v = guesses.canaries, guesses.made, guesses.correct
    counts = np.arange(r + 1)
    rows, limits = [-(counts >= v).astype(float)], [-chance]
    for j in range(r):
        wrong = np.where(counts >= j, r - counts, 0) / m
        right = np.where(counts >= j + 1, counts, 0) / m
        for growth, delta in zip(np.exp(epsilons), deltas, strict=True):
            rows += [right - growth * wrong, right - wrong / growth]
            limits += [delta, 1.0 - (1.0 - delta) / growth]
    found = optimize.linprog(np.ones(r + 1), np.array(rows), np.array(limits), method="highs")
    assert found.status in (0, 2)  # 2: not possible, whatever the total
    return float(found.fun) if found.status == 0 else math.inf


@pytest.mark.parametrize("guesses", [Guesses(6, 6, 6), Guesses(10, 6, 5), Guesses(9, 8, 6)])
@pytest.mark.parametrize("chance", [0.01, 0.2, 0.7])
def test_the_recursion_solves_its_linear_program(guesses: Guesses, chance: float) -> None:
    """Giving every count the least mass that it needs, from the top down, is optimal."""
    epsilons = np.array([0.0, 0.5, 1.0, 2.0])
    deltas = gaussian.delta(1.2, epsilons)
    greedy = float(bounds.least_mass(guesses, chance, bounds.lines_inverse(epsilons, deltas)))
    exact = least_by_linear_program(guesses, chance, epsilons, deltas)
    assert greedy == pytest.approx(exact, rel=1e-6) or min(greedy, exact) > 1.0


@given(MADE, st.floats(0.05, 4.0))
def test_mu_is_covered_where_coins_answer_at_random(guesses: Guesses, mu: float) -> None:
    """Guarantee of dpfedsyn.audit.one_run_bounds.mu_lower: For a mu-GDP run it exceeds mu with
    probability at most 1 - confidence: here by the exact law of guesses that are each right with
    probability Phi(mu / 2), which is mu-GDP."""
    r = guesses.made
    law = stats.binom(r, ndtr(mu / 2.0))
    above = [bounds.mu_lower(Guesses(r, r, v), 0.95) > mu for v in range(r + 1)]
    assert law.pmf(np.arange(r + 1))[np.array(above)].sum() <= 0.05


@given(MADE, st.floats(0.1, 3.0))
def test_a_p_value_is_at_least_the_chance_under_the_claim(guesses: Guesses, mu: float) -> None:
    """Guarantee of dpfedsyn.audit.one_run_bounds.p_value: Never below the largest chance for which
    `least_mass` stays within 1; so never below the binomial tail of one mu-GDP run."""
    inverse = bounds.gaussian_inverse(mu)
    found = bounds.p_value(guesses, inverse)
    if guesses.canaries == guesses.made:
        tail = stats.binom.sf(guesses.correct - 1, guesses.made, ndtr(mu / 2.0))
        assert found >= min(tail, 1.0) * (1.0 - 1e-9) or found >= 1.0 - 1e-9
    if found < 1.0:
        assert float(bounds.least_mass(guesses, found * (1.0 + 1e-9), inverse)) > 1.0


@given(MADE)
def test_more_right_guesses_never_lower_a_bound(guesses: Guesses) -> None:
    """Bounds on epsilon and mu grow with the right guesses, and shrink as confidence grows."""
    if guesses.correct < guesses.made:
        more = Guesses(guesses.canaries, guesses.made, guesses.correct + 1)
        assert bounds.mu_lower(guesses, 0.95) <= bounds.mu_lower(more, 0.95) + 1e-4
        assert bounds.epsilon_lower(guesses, DELTA, 0.9) <= bounds.epsilon_lower(more, DELTA, 0.9)
    assert bounds.mu_lower(guesses, 0.99) <= bounds.mu_lower(guesses, 0.9) + 1e-4


@pytest.mark.parametrize("mu", [0.5, 1.0, 2.0])
def test_a_claim_that_holds_is_rarely_contradicted(mu: float) -> None:
    """Guarantee of dpfedsyn.audit.one_run.OneRun.p_value: A run that keeps the claim gives a value
    <= alpha with probability at most alpha: over the exact law of right guesses; all of them right
    contradicts the claim."""
    count, claim = 300, Gaussian(1.0 / mu)
    chances = stats.binom.pmf(np.arange(count + 1), count, ndtr(mu / 2.0))
    likely = np.flatnonzero(chances > 1e-9)
    values = np.array(
        [OneRun(Guesses(count, count, int(v)), 0.95).p_value(claim) for v in likely[::4]]
    )
    assert (np.diff(values) <= 1e-9).all()
    for alpha in (0.05, 1e-3):
        first = likely[::4][values <= alpha]
        if len(first):
            assert stats.binom.sf(first[0] + 2, count, ndtr(mu / 2.0)) <= alpha
    assert OneRun(Guesses(count, count, count), 0.95).p_value(claim) < 0.05


@pytest.mark.parametrize("correct", [80, 90, 100])
def test_lines_of_a_claim_are_hardly_weaker_than_its_curve(correct: int) -> None:
    """A Gaussian claim by its (epsilon, delta) pairs: never below its exact curve's p-value."""
    guesses = Guesses(200, 100, correct)
    exact = bounds.p_value(guesses, bounds.gaussian_inverse(1.25))
    found = OneRun(guesses, 0.95).p_value(Gaussian(0.8))
    assert exact * (1.0 - 1e-4) <= found <= exact * 1.02


# --- one run


def share_above(mu: float, lower: Callable[[OneRun], float]) -> int:
    rng = np.random.default_rng(1)
    runs = [ideal(200, mu, rng, guesses=100) for _ in range(300)]
    return sum(lower(run) > mu for run in runs)


@pytest.mark.parametrize("mu", [0.3, 1.0, 2.5])
def test_bounds_of_ideal_runs_lie_below_the_truth(mu: float) -> None:
    """Guarantee of dpfedsyn.audit.one_run.one_run: Each bound of the result holds with probability
    `confidence` over coins and run. 300 runs; false alarm 1e-6; raw counts are rejected."""
    assert not too_often(share_above(mu, lambda run: run.mu_lower), 300)
    epsilon = gaussian.epsilon(mu, DELTA)
    above = share_above(mu, lambda run: mu + 1.0 if run.epsilon_lower(DELTA) > epsilon else 0.0)
    assert not too_often(above, 300)
    assert too_often(share_above(mu, raw), 300)


def raw(run: OneRun) -> float:
    """mu from raw counts: no bound at all."""
    return 2.0 * float(ndtri(min(run.guesses.correct / run.guesses.made, 1.0 - 1e-9)))


# Medians of public tools for 10,000 canaries (half as many guesses held out), delta = 1e-5.
PUBLIC = {1.0: (0.29, 0.33), 4.0: (0.49, 0.54), 8.0: (0.43, 0.62)}


@pytest.mark.parametrize("epsilon", sorted(PUBLIC))
def test_one_run_is_at_least_as_tight_as_public_tools(epsilon: float) -> None:
    """Medians of 5 ideal runs of 10,000 canaries: lower bounds over the truth."""
    mu = float(optimize.brentq(lambda m: gaussian.epsilon(m, DELTA) - epsilon, 0.01, 10.0))
    rng = np.random.default_rng(0)
    guesses = planned_guesses(10_000, Gaussian(1.0 / mu))
    runs = [ideal(10_000, mu, rng, guesses=guesses) for _ in range(5)]
    approximate = float(np.median([run.epsilon_lower(DELTA) for run in runs])) / epsilon
    exact = float(np.median([run.gaussian_epsilon_lower(DELTA) for run in runs])) / epsilon
    assert PUBLIC[epsilon][0] <= approximate <= exact <= 1.0
    assert PUBLIC[epsilon][1] <= exact


def test_the_number_of_guesses_follows_from_the_claim_alone() -> None:
    """The same for every run; weaker claims need more of the canaries guessed, within the count."""
    made = [planned_guesses(1000, Gaussian(1.0 / mu)) for mu in (0.2, 1.0, 6.0)]
    assert all(2 <= count <= 1000 and count % 2 == 0 for count in made)
    rng = np.random.default_rng(2)
    runs = [ideal(1000, mu, rng, claim=Gaussian(1.0)).guesses.made for mu in (0.0, 1.0, 9.0)]
    assert runs == [made[1]] * 3
    assert ideal(1001, 1.0, rng).guesses.made == 1000


def test_a_run_without_noise_is_contradicted_and_a_constant_one_is_not() -> None:
    """Everything right: far above the claim. Scores that are all the same show nothing."""
    claim = Gaussian(1.0)
    rng = np.random.default_rng(3)
    open_run = ideal(1000, 1e6, rng, guesses=800)
    assert open_run.guesses.correct == open_run.guesses.made
    assert open_run.p_value(claim) < 1e-6
    assert open_run.epsilon_lower(DELTA) > 1.0
    flips = flip(ids(200), rng)
    silent = one_run(flips, CanaryScores.of(flips.ids, [0.0] * 200))
    assert silent.p_value(claim) > 0.05
    assert (silent.mu_lower, silent.epsilon_lower(DELTA)) == (0.0, 0.0)
    assert silent.gaussian_epsilon_lower(DELTA) == 0.0
    assert "in one run" in str(open_run)


# --- ids


def test_scores_go_by_id_and_not_by_order() -> None:
    """Shuffled scores give the same result."""
    rng = np.random.default_rng(4)
    flips = flip(ids(60), rng)
    scores = {name: float(joined) + rng.normal() for name, joined in flips.included.items()}
    shuffled = rng.permutation(flips.ids).tolist()
    first = one_run(flips, CanaryScores.of(scores, scores.values()))
    second = one_run(flips, CanaryScores.of(shuffled, [scores[name] for name in shuffled]))
    assert first.guesses == second.guesses


def test_coins_are_fair_and_tell_who_joined() -> None:
    """4,000 coins: false alarm 1e-6; a coin of 45 % is rejected."""
    flips = flip(ids(4000), np.random.default_rng(5))
    joined = len(flips.joined)
    assert flips.joined == [name for name in flips.ids if flips.included[name]]
    assert stats.binomtest(joined, 4000, 0.5).pvalue > 1e-6
    assert stats.binomtest(joined, 4000, 0.45).pvalue < 1e-6


FLIPS = CoinFlips({name: k % 2 == 0 for k, name in enumerate(ids(10))})


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: flip(["a", "a", *ids(9)], np.random.default_rng()), "'a' occurs twice"),
        (lambda: flip(ids(7), np.random.default_rng()), "7 canaries"),
        (lambda: CanaryScores.of(["a", "b", "a"], [1, 2, 3]), "'a' occurs twice"),
        (lambda: CanaryScores.of(["a", "b"], [1.0]), "1 scores for 2 canaries"),
        (lambda: one_run(FLIPS, CanaryScores.of(ids(9), range(9))), "no score was given"),
        (lambda: one_run(FLIPS, CanaryScores.of(ids(11), range(11))), "no coin was tossed"),
        (
            lambda: one_run(FLIPS, CanaryScores.of(ids(10), [math.nan, *range(9)])),
            "'canary 0' is not a number",
        ),
        (lambda: one_run(FLIPS, SCORES, guesses=5), "even number from 2 to 10"),
        (lambda: one_run(FLIPS, SCORES, guesses=12), "even number from 2 to 10"),
        (lambda: one_run(FLIPS, SCORES, confidence=1.0), "confidence = 1.0"),
        (lambda: one_run(FLIPS, SCORES).epsilon_lower(1.0), "delta = 1.0"),
    ],
)
def test_what_could_be_misaligned_or_means_nothing_is_refused(
    act: Callable[[], object], words: str
) -> None:
    """Facts, consequence and mend, before anything is concluded."""
    with pytest.raises(AuditError, match=words):
        act()


SCORES = CanaryScores.of(ids(10), range(10))
