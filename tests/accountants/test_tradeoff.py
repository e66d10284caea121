"""Trade-off curves: against closed forms, against the best tests themselves, and as curves."""

import importlib
import math
from functools import lru_cache

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from accountants import (
    AccountingError,
    Bound,
    Cascade,
    Composed,
    Gaussian,
    PoissonSampled,
    Repeated,
    Shuffled,
    Unbounded,
    UnsupportedEvent,
    delta,
    epsilon,
    gaussian,
    lines,
    tradeoff,
)
from accountants.lines import rates

ADD_OR_REMOVE = "add-or-remove"
ALPHAS = st.one_of(st.floats(1e-12, 1 - 1e-12), st.floats(-12, -0.01).map(lambda x: 10.0**x))
MUS = st.floats(-3, 1).map(lambda x: 10.0**x)
STEP = (0.3, 0.8)  # sampling rate and noise multiplier of the one step that is solved here


def dp_sgd(rate=0.01, sigma=1.0, steps=1000):
    """A run of DP-SGD."""
    return Repeated(PoissonSampled(Gaussian(sigma), rate), steps)


CASCADE = Composed((Gaussian(3.0), Cascade(dp_sgd(), Gaussian(1.0))))
EVENTS = [Gaussian(0.7), dp_sgd(), dp_sgd(0.2, 2.0, 30), CASCADE]


def exact_beta(mu, alpha):
    """Phi(Phi^-1(1 - alpha) - mu), to 40 digits."""
    with mp.workdps(60):
        z = mp.findroot(lambda x: mp.ncdf(x) - mp.mpf(alpha), float(-gaussian_quantile(alpha)))
        return mp.ncdf(-z - mp.mpf(mu))


def gaussian_quantile(alpha):
    """Where to begin: bisection on the normal tail."""
    low, high = -40.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if ndtr(-middle) > alpha else (low, middle)
    return low


def holds(bound, value):
    """Whether a bracket contains a number."""
    return bound.lower <= value <= bound.upper


def gaussian_profile(mu, seen=None):
    """The mu-GDP profile as `rates` asks for it."""

    def at(eps):
        if seen is not None:
            seen.append(eps)
        low, high = gaussian.delta_bounds(mu, eps)
        return Bound(float(low), float(high))

    return at


# --- closed forms


@given(MUS, ALPHAS)
@example(20.15085380165659, 1.7039106482286887e-89)  # rounding of the quantile alone shows here
@example(38.5, 0.4)  # the miss rate is below the smallest normal float
@example(1e-11, 7e-11)  # as good as guessing
def test_gaussian_curves_are_the_closed_form(mu, alpha):
    """Guarantee of accountants.tradeoff.Tradeoff.beta: Every test with false-positive rate alpha
    misses with probability at least the lower end; for Gaussians the bracket is of rounding width,
    holds the exact value and no curve that is off by a millionth of mu."""
    curve = tradeoff(Composed((Gaussian(math.sqrt(2) / mu), Gaussian(math.sqrt(2) / mu))))
    bound, exact = curve.beta(alpha), exact_beta(mu, alpha)
    assert holds(bound, exact)
    with mp.workdps(60):
        assert holds(curve.true_positive_rate(alpha), 1 - exact)
    assert bound.upper - bound.lower <= 1e-11 * bound.upper + 1e-306
    if 1e-6 < alpha < 1 - 1e-6 and 1e-9 < mu < 30:
        assert not holds(bound, exact_beta(mu * (1 + 1e-6), alpha))
        assert not holds(bound, exact_beta(mu * (1 - 1e-6), alpha))


@given(MUS, ALPHAS)
@example(37.0, 1e-307)  # the best line lies to the right of all that are tried
@example(38.0, 0.5)  # or to the left
@example(10.0, 0.5)
def test_the_lines_of_a_profile_give_its_curve(mu, alpha):
    """The same curve from the profile alone: valid ends, and apart by 1e-8 at most."""
    bound, found = rates(gaussian_profile(mu), alpha)
    exact = exact_beta(mu, alpha)
    assert holds(bound, exact)
    assert holds(found, 1 - exact)
    assert bound.lower >= 0.0
    assert found.upper <= 1.0
    if alpha > 1e-12:
        absolute = 1e-303 if alpha > 1e-3 else 1e-14  # 1 - delta loses what is far below alpha
        assert bound.upper - bound.lower <= 1e-8 * float(exact) + absolute
    wrong = rates(gaussian_profile(mu * 1.01), alpha)[0]
    if 1e-6 < alpha < 1 - 1e-6 and mu < 30:
        assert not holds(wrong, exact)


@given(MUS, st.floats(1e-12, 0.9))
def test_a_tiny_true_positive_rate_keeps_its_digits(mu, alpha):
    """1 - beta would round it away; the claimed end stays exact, by either way."""
    with mp.workdps(40):
        exact = 1 - exact_beta(mu, alpha)
    claims = (
        tradeoff(Gaussian(1 / mu)).true_positive_rate(alpha),
        rates(gaussian_profile(mu), alpha)[1],
    )
    for claim in claims:
        assert exact <= claim.upper <= exact * (1 + 1e-7) * (1 + 1e-10)


def test_the_number_of_questions_is_bounded():
    """At most 60 deltas for one false-positive rate, wherever it lies."""
    for alpha in (1e-300, 1e-9, 0.01, 0.5, 1 - 1e-9):
        seen = []
        rates(gaussian_profile(1.3, seen), alpha)
        assert len(seen) == len(set(seen)) <= 60
        assert min(seen) >= 0


def test_a_profile_without_lower_ends_gives_no_better_than_guessing_above():
    """The upper end of beta is 1 - alpha where nothing is known from below; the claim stays."""
    exact = gaussian_profile(1.0)
    loose = rates(lambda e: Bound(0.0, exact(e).upper), 0.1)[0]
    assert loose.upper == pytest.approx(0.9, rel=1e-15)
    assert loose.lower == rates(exact, 0.1)[0].lower


@given(st.floats(0.2, 3.0), st.floats(1e-4, 0.99), st.floats(1e-9, 1e-2))
def test_an_uncertain_profile_widens_the_bracket_and_no_more(mu, alpha, slack):
    """Deltas known within a share each way: the exact curve stays inside."""
    exact = gaussian_profile(mu)

    def uncertain(eps):
        true = exact(eps)
        return Bound(true.lower * (1 - slack), min(1.0, true.upper * (1 + slack)))

    bound = rates(uncertain, alpha)[0]
    assert holds(bound, exact_beta(mu, alpha))
    assert bound.upper - bound.lower <= 20 * slack + 1e-8


def test_no_chord_rests_on_what_is_not_known():
    """A point known from above only must not bend the bound beside it: the peak stays below."""
    at, alpha = np.array([-1.0, -0.5, -0.2, 0.0, 1.0, math.log(5.0)]), 0.2
    exact = [gaussian.delta(1.0, e) for e in at]
    heights = np.array([1 - float(d) - math.exp(e) * alpha for d, e in zip(exact, at, strict=True)])
    peak = float(exact_beta(1.0, alpha))
    assert peak > heights.max() + 0.01  # it lies at epsilon 0.34
    uncertain = np.array([heights, [1.0, *heights[1:]]])
    assert lines._above(at, uncertain, alpha) >= peak
    assert lines._above(at, np.array([heights, heights]), alpha) >= peak


# --- the best test of one sampled step, both directions


def step_errors(threshold):
    """Errors (alpha, beta) of the threshold tests of one step: data without the unit, and with."""
    rate, sigma = STEP
    with_unit = (1 - rate) * ndtr(threshold / sigma) + rate * ndtr((threshold - 1) / sigma)
    without = ndtr(threshold / sigma)
    return (1 - without, with_unit), (with_unit, 1 - without)


@lru_cache
def best_tests():
    """(alpha, beta) of both directions' Neyman-Pearson tests, sorted by alpha."""
    first, second = step_errors(np.linspace(-12, 13, 20001))
    alpha, beta = (np.concatenate([one, two]) for one, two in zip(first, second, strict=True))
    order = np.argsort(alpha)
    return alpha[order], beta[order]


def step_profile(eps):
    """Exact delta of the step, the worse direction: the ratio crosses e^+-eps at one place."""
    rate, sigma = STEP

    def crossing(ratio):
        return sigma**2 * math.log((ratio - 1 + rate) / rate) + 0.5 if ratio > 1 - rate else -1e9

    g = math.exp(min(eps, 600.0))
    values = []
    for ratio, side in ((g, 0), (1 / g, 1)):
        alpha, beta = step_errors(crossing(ratio))[side]
        values.append(max(1 - beta - g * alpha if alpha > 0 else 0.0, 0.0))
    value = float(max(values))
    return Bound(value * (1 - 1e-9), min(1.0, value * (1 + 1e-9) + 1e-15))


def hull(alpha):
    """Convex hull of both directions' curves at alpha: the highest line that stays below both."""
    a, b = best_tests()
    logs = np.linspace(-40, 40, 801)
    for _ in range(4):
        heights = [(b + g * a).min() - g * alpha for g in np.exp(logs)]
        best, width = int(np.argmax(heights)), logs[1] - logs[0]
        logs = np.linspace(logs[best] - width, logs[best] + width, 41)
    return float(max(heights))


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.02, 0.1, 0.3, 0.5, 0.8, 0.95, 1 - 1e-4])
def test_a_sampled_step_s_curve_is_that_of_the_best_tests(alpha):
    """Guarantee of accountants.lines.rates: No test has a lower miss rate than the first lower end,
    nor a higher true-positive rate than the second upper end; and the curve is the convex hull of
    both directions' best tests, not of one of them."""
    bound, found = rates(step_profile, alpha)
    a, b = best_tests()
    least = float(np.interp(alpha, a[b.argsort()[::-1]], b[b.argsort()[::-1]]))
    assert bound.lower <= least * (1 + 1e-6)
    assert found.upper >= 1 - least * (1 + 1e-6) - 1e-12
    assert bound.lower <= hull(alpha) * (1 + 1e-5) + 1e-12
    assert bound.upper >= hull(alpha) * (1 - 1e-5) - 1e-12
    assert bound.upper - bound.lower <= 1e-6


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.1, 0.5, 0.9])
def test_the_claimed_curve_is_below_every_test(alpha):
    """Guarantee of accountants.tradeoff.Tradeoff.true_positive_rate: No test with false-positive
    rate fpr finds a unit with a probability above the upper end: the step's own event."""
    curve = tradeoff(PoissonSampled(Gaussian(STEP[1]), STEP[0]))
    a, b = best_tests()
    level = a <= alpha
    assert curve.beta(alpha).lower <= b[level].min()
    assert curve.true_positive_rate(alpha).upper >= 1 - b[level].min()
    quiet = tradeoff(PoissonSampled(Gaussian(STEP[1] * 2), STEP[0]))  # it adds twice the noise
    assert quiet.beta(0.1).lower > 0.0
    assert quiet.beta(0.1).lower > b[a <= 0.1].min()


# --- as curves


@pytest.mark.parametrize("event", EVENTS)
def test_the_claim_is_a_trade_off_function(event):
    """Decreasing, convex, below 1 - alpha, and its own inverse."""
    curve, at = tradeoff(event), np.linspace(0.005, 0.995, 34)
    claims = np.array([curve.beta(a).lower for a in at])
    assert (np.diff(claims) < 0).all()
    assert (np.diff(claims, 2) > -1e-9).all()
    assert (claims <= 1 - at).all()
    for alpha, beta in zip(at[::5], claims[::5], strict=True):
        assert curve.beta(float(beta)).lower == pytest.approx(alpha, abs=1e-6)


@given(st.sampled_from([*EVENTS, Composed(()), Gaussian(1e9)]), st.floats(0, 1))
@settings(max_examples=30)
def test_ends_are_in_order_and_a_test_is_no_worse_than_a_coin(event, alpha):
    """lower <= upper is what a Bound means; TPR >= FPR, and TPR is 1 - beta."""
    curve = tradeoff(event)
    beta, found = curve.beta(alpha), curve.true_positive_rate(alpha)
    assert 0 <= beta.lower <= beta.upper <= math.nextafter(1 - alpha, 2)
    assert alpha <= found.lower <= found.upper <= 1
    assert found.upper == pytest.approx(1 - beta.lower, abs=1e-12)


@given(st.sampled_from(EVENTS), st.floats(1e-9, 0.1), st.floats(0, 1))
@settings(max_examples=30)
def test_the_curve_and_epsilon_say_the_same(event, at, alpha):
    """Each certified (epsilon, delta) is a line under the curve, and the curve is no lower."""
    claimed = epsilon(event, delta=at, adjacency=ADD_OR_REMOVE).upper
    curve = tradeoff(event)
    lines = 1 - at - math.exp(claimed) * alpha, math.exp(-claimed) * (1 - at - alpha)
    assert curve.beta(alpha).lower >= max(*lines, 0.0) - 1e-7
    assert curve.advantage.upper >= curve.true_positive_rate(alpha).upper - alpha - 1e-12


def test_more_noise_and_fewer_steps_miss_more():
    """Monotone in what is released."""
    assert tradeoff(dp_sgd(steps=900)).beta(0.1).lower > tradeoff(dp_sgd()).beta(0.1).lower
    assert tradeoff(dp_sgd(sigma=1.1)).beta(0.1).lower > tradeoff(dp_sgd()).beta(0.1).lower
    alone = tradeoff(Gaussian(1.0)).beta(0.1).upper
    for release in (dp_sgd(), Cascade(dp_sgd(), Gaussian(1.0))):
        assert tradeoff(Composed((Gaussian(1.0), release))).beta(0.1).lower < alone - 1e-3


def test_ends_of_the_curve():
    """beta(0) is 1 - delta at infinity, beta(1) is 0; nothing released leaves a coin."""
    for event in EVENTS:
        curve = tradeoff(event)
        assert curve.beta(0.0).lower == pytest.approx(1.0, abs=1e-12)
        assert curve.beta(0.0).upper == 1.0
        assert curve.true_positive_rate(0.0).upper <= 1e-12
        assert curve.beta(1.0) == Bound(0.0, 0.0)
    nothing = tradeoff(Composed(()))
    assert nothing.beta(0.25).lower == pytest.approx(0.75, rel=1e-12)
    assert nothing.advantage.upper <= 1e-12


@pytest.mark.parametrize("alpha", [0.0, 1e-9, 0.5, 1.0])
def test_a_release_without_noise_gives_every_unit_away(alpha):
    """beta is 0, the attacker always right, and knows it."""
    curve = tradeoff(Composed((Gaussian(1.0), Unbounded("weights are published"))))
    assert curve.beta(alpha) == Bound(0.0, 0.0)
    assert curve.true_positive_rate(alpha) == Bound(1.0, 1.0)
    assert curve.advantage == Bound(1.0, 1.0)
    assert curve.bayes_risk(0.3) == Bound(0.0, 0.0)


def test_an_output_that_may_give_a_unit_away_is_seen_at_alpha_0(monkeypatch):
    """Where delta stays at 0.2 however large epsilon, a test without false positives finds 20%."""
    module = importlib.import_module("accountants.tradeoff")  # the package's name is the function
    monkeypatch.setattr(module, "delta", lambda event, *, epsilon, adjacency: Bound(0.0, 0.2))
    curve = tradeoff(dp_sgd())
    assert curve.beta(0.0).lower == pytest.approx(0.8, rel=1e-15)
    assert curve.true_positive_rate(0.0).upper == 0.2


# --- risks


@given(st.floats(0.01, 6.0), st.floats(1e-6, 1 - 1e-6))
def test_bayes_risk_is_that_of_the_best_threshold(mu, prior):
    """Guarantee of accountants.tradeoff.Tradeoff.bayes_risk: No test errs with a probability below
    the lower end: here the likelihood-ratio test, which reaches it; no test of less noise does."""
    cut = mu / 2 + math.log(prior / (1 - prior)) / mu
    best = prior * ndtr(-cut) + (1 - prior) * ndtr(cut - mu)
    bound = tradeoff(Gaussian(1 / mu)).bayes_risk(prior)
    assert bound.lower <= best * (1 + 1e-9)
    assert bound.upper >= best * (1 - 1e-9)
    assert bound.upper - bound.lower <= 1e-9
    assert bound.upper <= min(prior, 1 - prior)
    if 0.05 < prior < 0.95 and mu > 1:
        assert bound.lower > tradeoff(Gaussian(0.99 / mu)).bayes_risk(prior).upper


@pytest.mark.parametrize("prior", [0.01, 0.3, 0.5, 0.8, 0.99])
def test_bayes_risk_holds_for_both_labellings(prior):
    """Of a sampled step: the unit that is in with the prior, or out with it; and it is reached."""
    curve = tradeoff(PoissonSampled(Gaussian(STEP[1]), STEP[0]))
    a, b = best_tests()
    best = float((prior * a + (1 - prior) * b).min())
    assert curve.bayes_risk(prior).lower <= best
    exact = min(prior, 1 - prior) * (1 - step_profile(abs(math.log(prior / (1 - prior)))).upper)
    assert exact == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("event", EVENTS)
def test_risk_advantage_and_curve_agree(event):
    """At even odds the risk is (1 - advantage) / 2; both priors of a pair give one risk."""
    curve = tradeoff(event)
    even = curve.bayes_risk(0.5)
    assert even.lower == pytest.approx((1 - curve.advantage.upper) / 2, rel=1e-9)
    assert even.upper == pytest.approx((1 - curve.advantage.lower) / 2, rel=1e-9)
    assert curve.advantage == delta(event, epsilon=0.0, adjacency=ADD_OR_REMOVE)
    assert curve.bayes_risk(0.125).lower == pytest.approx(curve.bayes_risk(0.875).lower, rel=1e-9)
    assert curve.bayes_risk(0.0) == curve.bayes_risk(1.0) == Bound(0.0, 0.0)
    at = np.linspace(0.001, 0.999, 60)
    least = min(0.2 * a + 0.8 * curve.beta(a).lower for a in at)
    assert least == pytest.approx(curve.bayes_risk(0.2).lower, rel=1e-2)
    assert least >= curve.bayes_risk(0.2).lower * (1 - 1e-9)


# --- refusals


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_what_is_no_probability_is_refused_by_name(value):
    """The message names the argument and the mend."""
    curve = tradeoff(Gaussian(1.0))
    for name, ask in (
        ("alpha", curve.beta), ("fpr", curve.true_positive_rate), ("prior", curve.bayes_risk),
    ):  # fmt: skip
        with pytest.raises(AccountingError, match=rf"{name}=.*Pass one in \[0, 1\]"):
            ask(value)


def test_what_has_no_bound_is_refused_before_any_question():
    """Shuffled batches, an unknown adjacency, and what is no event."""
    with pytest.raises(UnsupportedEvent, match="shuffled"):
        tradeoff(Shuffled(Gaussian(1.0), 5))
    with pytest.raises(UnsupportedEvent, match="adjacency"):
        tradeoff(dp_sgd(), adjacency="both")
    with pytest.raises(AccountingError, match="no event"):
        tradeoff("training")
