"""Payoffs of the audit: under a true claim none is worth more than its price."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr

from accountants import (
    ApproximateDP,
    Cascade,
    Composed,
    Gaussian,
    Laplace,
    PoissonSampled,
    Repeated,
    Unbounded,
    UnsupportedEvent,
)
from dpfedsyn.audit.bets import POWERS, TailBet, best_tail, likelihood_payoffs, likelihood_prices
from dpfedsyn.audit.claims import GDP, POSTERIORS, Curve, curve_of, gaussian_curve, scaled
from dpfedsyn.errors import AuditError

MUS = st.floats(0.01, 8.0)


def posterior_mean(phi, mu):
    """Of phi(posterior) for N(0, 1) against N(mu, 1), by quadrature."""

    def weighted(z):
        density = math.exp(-((z - mu) ** 2) / 2) + math.exp(-(z**2) / 2)
        return 0.5 * density / math.sqrt(2 * math.pi) * phi(1 / (1 + math.exp(-mu * (z - mu / 2))))

    points = [mu / 2 - 3, mu / 2, mu / 2 + 3]
    return quad(weighted, -12 + mu / 2, 12 + mu / 2, points=points, limit=400)[0]


@given(MUS, st.floats(0.0, 1.0), st.floats(1.0, 8.0))
@settings(max_examples=40, deadline=None)
def test_means_of_convex_payoffs_are_bounded_closely(mu, at, power):
    """Guarantee of dpfedsyn.audit.claims.Curve.expected: "The mean of phi over the outputs of".

    The bound lies above the mean under the Gaussian pair, and not far above it.
    """
    found = float(gaussian_curve(mu).expected(np.abs(POSTERIORS - at) ** power))
    real = posterior_mean(lambda p: abs(p - at) ** power, mu)
    assert real - 1e-9 <= found <= real + 2e-3


@given(MUS, st.sampled_from(list(POWERS)))
@settings(max_examples=40, deadline=None)
def test_prices_are_hoelders_norms(mu, power):
    """The price of a power is the mean of the posterior's norm, to four digits."""
    order = 1 / (1 - power)
    price = float(likelihood_prices(gaussian_curve(mu), np.array([power]))[0])
    real = posterior_mean(lambda p: (p**order + (1 - p) ** order) ** (1 / order), mu)
    assert real - 1e-9 <= price <= real * (1 + 1e-4)


CLAIMS = [
    GDP(0.5),
    ApproximateDP(1.0, 1e-3),
    Laplace(1.0),
    PoissonSampled(Gaussian(1.0), 0.1),
    Repeated(PoissonSampled(Gaussian(2.0), 0.05), 50),
]


def pair_of(claim):
    """Discrete output laws (P, Q) that keep the claim, as hard to tell as those known here."""
    match claim:
        case GDP(mu):
            edges = np.linspace(-6, 6 + mu, 200)
            return np.diff(ndtr(edges)), np.diff(ndtr(edges - mu))
        case ApproximateDP(epsilon, delta):
            high = (1 - delta) / (1 + math.exp(-epsilon))
            return np.array([delta, 1 - delta - high, high, 0.0]), np.array(
                [0.0, high, 1 - delta - high, delta]
            )
        case Laplace(scale):
            edges = np.linspace(-30, 31, 600)
            cdf = lambda x: np.where(x < 0, np.exp(x / scale) / 2, 1 - np.exp(-x / scale) / 2)  # noqa: E731
            return np.diff(cdf(edges)), np.diff(cdf(edges - 1))
        case PoissonSampled(Gaussian(sigma), rate):
            edges = np.linspace(-8 * sigma, 8 * sigma + 1, 600) / sigma
            without = np.diff(ndtr(edges))
            return without, (1 - rate) * without + rate * np.diff(ndtr(edges - 1 / sigma))
    return None


@pytest.mark.parametrize("claim", CLAIMS[:4], ids=str)
@pytest.mark.parametrize("swapped", [False, True])
@given(seed=st.integers(0, 2**32), sharper=st.floats(0.3, 5.0))
@settings(max_examples=25, deadline=None)
def test_no_likelihood_rule_beats_its_price(claim, swapped, seed, sharper):
    """Guarantee of dpfedsyn.audit.bets.likelihood_prices: "q_b^t over its price has a mean of".

    Whatever rule is drawn, its mean payoff over both labels is at most the price, in both
    directions; the best rule for the pair comes within a percent of it.
    """
    first, second = pair_of(claim)
    if swapped:
        first, second = second, first
    first, second = first / first.sum(), second / second.sum()
    prices = likelihood_prices(curve_of(claim))
    best = (second + 1e-300) / (first + second + 2e-300)
    mixed = np.random.default_rng(seed).random(len(best))
    tilted = best**sharper / (best**sharper + (1 - best) ** sharper)
    for rule in (best, mixed, tilted):
        for power, price in zip(POWERS, prices, strict=True):
            mean = 0.5 * float(first @ (1 - rule) ** power + second @ rule**power)
            assert mean <= price * (1 + 1e-9)


@pytest.mark.parametrize("claim", CLAIMS[:4], ids=str)
@given(threshold=st.integers(0, 200), line=st.floats(0.5, 0.999), share=st.floats(0, 0.99))
@settings(max_examples=40, deadline=None)
def test_no_tail_bet_beats_its_price(claim, threshold, line, share):
    """Guarantee of dpfedsyn.audit.bets.TailBet.price: "The payoff over its price has a mean of"."""
    first, second = (law / law.sum() for law in pair_of(claim))
    odds = np.log((second + 1e-300) / (first + 1e-300))
    for toward in (0, 1):
        at = np.sort((2 * toward - 1) * odds)[min(threshold, len(odds) - 1)]
        bet = TailBet(toward, float(at), line, share / line)
        mean = 0.5 * float(
            first @ np.exp(bet.log_payoffs(odds, np.zeros(len(odds))))
            + second @ np.exp(bet.log_payoffs(odds, np.ones(len(odds))))
        )
        assert mean <= bet.price(curve_of(claim)) * (1 + 1e-9)


def test_a_price_for_less_privacy_is_no_bargain():
    """The test above has teeth: with a claim that the pair breaks, a rule beats its price."""
    first, second = pair_of(GDP(1.0))
    best = second / (first + second)
    price = likelihood_prices(curve_of(GDP(0.8)))[3]
    assert 0.5 * float(first @ (1 - best) ** POWERS[3] + second @ best ** POWERS[3]) > price


@given(st.floats(0.05, 3.0), st.floats(0.05, 3.0))
@settings(max_examples=30, deadline=None)
def test_less_privacy_costs_more(one, other):
    """Curves and prices grow with mu, so that what rejects a claim rejects every stronger one."""
    small, large = sorted((one, other))
    assert np.all(gaussian_curve(small).tails <= gaussian_curve(large).tails + 1e-15)
    assert np.all(
        likelihood_prices(gaussian_curve(small)) <= likelihood_prices(gaussian_curve(large)) + 1e-12
    )


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
def test_curves_have_the_accuracy_of_total_variation(claim):
    """Accuracy is (1 + delta(0)) / 2."""
    from accountants import delta

    event = Gaussian(1 / claim.mu) if isinstance(claim, GDP) else claim
    assert curve_of(claim).accuracy == pytest.approx((1 + delta(event, epsilon=0.0).upper) / 2)


def test_a_curve_of_an_event_is_that_of_its_mu():
    """Gaussian(2) is GDP(1/2)."""
    assert np.allclose(curve_of(Gaussian(2.0)).tails, curve_of(GDP(0.5)).tails, atol=1e-9)


def test_masses_give_the_curve_back():
    """The law of the posterior that a curve stands for has the curve's accuracy and mean."""
    curve = gaussian_curve(1.0)
    masses = curve.masses()
    assert masses.sum() == pytest.approx(1.0)
    assert masses @ POSTERIORS == pytest.approx(0.5, abs=1e-6)
    assert masses @ np.maximum(POSTERIORS, 1 - POSTERIORS) == pytest.approx(
        curve.accuracy, abs=1e-3
    )


def test_tails_between_points_lie_on_chords():
    """V of a posterior between two points is bounded from above."""
    curve = gaussian_curve(0.7)
    between = (POSTERIORS[200:-3] + POSTERIORS[201:-2]) / 2
    losses = np.log(between / (1 - between))
    exact = [
        0.5 * (1 - c) * (ndtr(0.35 - e / 0.7) - math.exp(e) * ndtr(-0.35 - e / 0.7))
        for c, e in zip(between, losses, strict=True)
    ]
    assert np.all(curve.tail(between) >= np.array(exact) - 1e-16)


def test_the_best_tail_bets_where_one_label_is_alone():
    """Labels that are all alike beyond a score are worth a stake; coins are worth none."""
    rng = np.random.default_rng(3)
    odds = rng.standard_normal(4000)
    fair = rng.integers(0, 2, 4000).astype(float)
    curve = gaussian_curve(0.5)
    idle = best_tail(odds, fair, 1, curve)
    assert idle.inside(odds).mean() * idle.stake < 0.005
    lopsided = np.where(odds > 1.5, 1.0, fair)
    bet = best_tail(odds, lopsided, 1, curve)
    assert bet.stake > 0.3
    assert 1.0 < bet.threshold < 2.5
    assert best_tail(odds[:3], lopsided[:3], 1, curve).stake == 0.0


def test_likelihood_payoffs_are_log_probabilities():
    """log q of the label that came."""
    paid = likelihood_payoffs(np.log([3.0, 3.0]), np.array([1.0, 0.0]))
    assert np.allclose(np.exp(paid), [0.75, 0.25])


def test_scaling_reaches_every_noise():
    """Half the noise of each event, also inside of others."""

    def whole(noise):
        steps = Repeated(PoissonSampled(Gaussian(4.0 * noise), 0.1), 3)
        kept = Cascade(Gaussian(noise), Laplace(6.0 * noise))
        return Composed((Gaussian(2.0 * noise), steps, kept))

    assert scaled(whole(1.0), 0.5) == whole(0.5)
    assert scaled(GDP(1.0), 0.5) == GDP(2.0)
    assert scaled(ApproximateDP(1.0, 0.1), 0.5) == ApproximateDP(2.0, 0.1)
    with pytest.raises(UnsupportedEvent, match="no noise"):
        scaled(Unbounded("all"), 0.5)
    with pytest.raises(AuditError, match="noise_ratio"):
        scaled(GDP(1.0), 0.0)


@pytest.mark.parametrize("mu", [0.0, -1.0, math.nan, math.inf, "1"])
def test_a_claim_needs_a_number(mu):
    """Nothing else is a mu."""
    with pytest.raises(AuditError, match="mu"):
        GDP(mu)


def test_a_claim_of_nothing_cannot_be_tested():
    """An event without a finite epsilon allows everything."""
    with pytest.raises(AuditError, match="allows everything"):
        curve_of(Unbounded("no noise"))
    assert isinstance(curve_of(GDP(60.0)), Curve)
