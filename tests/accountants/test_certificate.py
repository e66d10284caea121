"""Each lemma of accountants/CERTIFICATE.md against numbers that do not use it."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accountants import certified, tilted
from accountants.contour import Offer, contour
from accountants.rdp import conversion
from accountants.saddle import best, table, thetas
from accountants.steps import ADD, REMOVE
from accountants.tail import tail_of
from accountants.tilted import log_moments, tilt

RATES = st.floats(1e-4, 0.99)
SIGMAS = st.floats(0.4, 8.0)
THETAS = st.floats(0.2, 12.0)
DIRECTIONS = st.sampled_from([REMOVE, ADD])


def reachable(sigma, direction, theta):
    """Whether a double-precision reference can follow this tilt."""
    power = theta + 1 if direction == REMOVE else theta
    return power / sigma < 25


def tilted_law(rate, sigma, direction, theta, points=60_001):
    """(loss, density weights) of the tilted step on a fine grid; smooth, so good to 1e-13."""
    power = theta + 1 if direction == REMOVE else -theta
    spacing = (28.0 + max(power, 0.0) / sigma) / (points - 1)
    z = -14.0 + spacing * np.arange(points)
    log_u = np.logaddexp(math.log1p(-rate), math.log(rate) + z / sigma - 1 / (2 * sigma**2))
    log_weight = power * log_u - 0.5 * z * z
    weight = np.exp(log_weight - log_weight.max())
    scale = weight.sum() * spacing / math.sqrt(2 * math.pi)
    loss = log_u if direction == REMOVE else -log_u
    return loss, weight / weight.sum(), math.log(scale) + float(log_weight.max())


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "expm1", "sin", "cos"])
def test_numpy_is_good_to_two_ulp(name):
    """What the rounding bounds assume: 2,000 arguments each, angles up to 10,000."""
    rng = np.random.default_rng(7)
    spans = {"exp": (-700, 700), "log": (1e-300, 1e3), "log1p": (-0.9, 10.0), "expm1": (-30, 30)}
    low, high = spans.get(name, (-1e4, 1e4))
    at = rng.uniform(low, high, 2000)
    found = getattr(np, name)(at)
    with mpmath.workdps(60):
        exact = [getattr(mpmath, name)(mpmath.mpf(float(x))) for x in at]
        worst = max(
            abs(mpmath.mpf(float(f)) - e) / mpmath.mpf(float(np.spacing(abs(float(e)))))
            for f, e in zip(found, exact, strict=True)
        )
    assert worst <= 2


@given(RATES, SIGMAS, DIRECTIONS, st.lists(THETAS, min_size=1, max_size=4, unique=True))
@settings(max_examples=40)
def test_log_moments_bound_from_above_and_hardly(rate, sigma, direction, powers):
    """Lemmas 2 to 4: log E_P[e^{theta L}] is never undercut and at most 1e-10 above."""
    powers = tuple(sorted(powers))
    assume(all(reachable(sigma, direction, t) for t in powers))
    found = log_moments(rate, sigma, direction, powers)
    for upper, theta in zip(found, powers, strict=True):
        exact = tilted_law(rate, sigma, direction, theta)[2]
        assert exact - 1e-12 * (1 + abs(exact)) <= upper <= exact + 1e-10 * (1 + abs(exact))


@pytest.mark.parametrize("direction", [REMOVE, ADD])
@pytest.mark.parametrize(("rate", "sigma", "theta"), [(0.01, 1.0, 3.0), (0.3, 0.6, 1.5)])
def test_characteristic_functions_are_as_good_as_claimed(rate, sigma, theta, direction):
    """Lemma 4 against 40 digits: off by at most the claimed error, which is below 1e-13 |w|."""
    step, count = 0.37, 30
    law = tilt(rate, sigma, direction, theta, step * count)
    x, y, error = law.shifted(step, count)
    with mpmath.workdps(40):
        q, s, c = mpmath.mpf(rate), mpmath.mpf(sigma), mpmath.mpf(law.centre)
        power = mpmath.mpf(theta) + 1 if direction == REMOVE else -mpmath.mpf(theta)
        sign = 1 if direction == REMOVE else -1

        def log_u(z):
            return mpmath.log(1 - q + q * mpmath.exp(z / s - 1 / (2 * s * s)))

        nodes = [mpmath.mpf(k) / 40 for k in range(-600, 900)]
        logs = [log_u(z) for z in nodes]
        weights = [mpmath.exp(power * v - z * z / 2) for v, z in zip(logs, nodes, strict=True)]
        total = mpmath.fsum(weights)
        for k in (0, 1, 7, 29):
            w = mpmath.mpf(step * k)
            exact = mpmath.fsum(
                g * mpmath.expj(w * (sign * v - c)) for g, v in zip(weights, logs, strict=True)
            )
            gap = abs(exact / total - 1 - mpmath.mpc(float(x[k]), float(y[k])))
            assert gap <= error[k]
            assert error[k] <= 1e-12 * (1 + step * k)


@given(RATES, SIGMAS, DIRECTIONS, THETAS, st.floats(0.05, 200.0))
@settings(max_examples=60)
def test_no_later_frequency_is_above_the_bound(rate, sigma, direction, theta, first):
    """Lemmas 5 and 6: |rho| on 300 frequencies from the first one on stays below."""
    assume(reachable(sigma, direction, theta))
    loss, weight, _ = tilted_law(rate, sigma, direction, theta, 6001)
    bound = tail_of(rate, sigma, direction, theta).log_beyond(first * 1.08 ** np.arange(100.0))
    assert (np.diff(bound) <= 1e-12).all()
    assert (bound <= 0).all()
    spacing = (28 + theta / sigma) / 6000
    w = np.geomspace(first, max(2 * first, 0.2 / spacing * sigma), 300)
    size = np.abs(np.exp(1j * np.multiply.outer(w, loss)) @ weight)
    assert (size <= math.exp(bound[0]) + 1e-9).all()


def test_bounds_on_later_frequencies_are_worth_having():
    """They fall, and far out by more than a factor e."""
    w = 2.0 * 1.08 ** np.arange(100.0)
    bound = tail_of(0.2, 1.0, REMOVE, 2.0).log_beyond(w)
    assert bound[0] < -0.02
    assert bound[-1] < bound[0] - 1


def answers(sampled, direction, mu2, epsilon):
    """The certified bracket, which the exact values of test_accountant vouch for."""
    lower, upper = certified.delta_bounds(sampled, direction, np.array([mu2]), np.array([epsilon]))
    return float(lower[0]), float(upper[0])


@given(
    st.floats(0.01, 0.9), st.floats(0.6, 4.0), st.integers(20, 3000), DIRECTIONS,
    st.sampled_from([0.0, 0.3]), st.floats(0.3, 3.0), st.floats(0.6, 8.0), st.floats(-9.0, -1.0),
    st.floats(0.5, 1.8), st.floats(0.2, 2.5),
)  # fmt: skip
@settings(max_examples=150)
def test_coarse_contours_know_how_coarse_they_are(
    rate, sigma, steps, direction, mu2, tilts, periods, allowed, shorter, deviations
):
    """Guarantee of accountants.contour.Contour.bounds: lower <= delta(epsilon) <= upper: also with
    a period so short that aliases show and a line so short that its end is missed."""
    sampled = (((rate, sigma), steps),)
    spread = steps * rate**2 * math.expm1(sigma**-2) + mu2
    assume(1e-4 < spread < 40)
    epsilon, theta = deviations * math.sqrt(spread), tilts / math.sqrt(spread)
    assume(theta < 60 and reachable(sigma, direction, theta))
    lower, upper = answers(sampled, direction, mu2, epsilon)
    assume(0 < upper < lower * (1 + 1e-7))
    t = thetas(-20, 40)
    known = log_moments(rate, sigma, direction, tuple(t[t < 80].tolist()))
    ahead = (t[t < 80] > theta * 1.01) & np.isfinite(known)
    assume(ahead.any())
    offer = Offer(0.0, theta, periods * math.sqrt(spread), shorter / math.sqrt(spread), allowed)
    line = contour(sampled, direction, mu2, offer, (t[t < 80][ahead], steps * known[ahead]))
    assume(line is not None)
    below, above = line.bounds(np.array([mu2]), np.array([epsilon]))
    assert below[0] <= upper
    assert lower <= above[0]


@pytest.mark.parametrize("direction", [REMOVE, ADD])
@pytest.mark.parametrize("coarser", [1.0, 1.5, 2.0])
def test_coarse_quadrature_knows_how_coarse_it_is(monkeypatch, direction, coarser):
    """Lemma 2: with nodes too far apart log moments still bound, by what the strip adds."""
    exact = tilted_law(0.1, 0.5, direction, 2.0)[2]
    fine = tilted._spacing

    monkeypatch.setattr(tilted, "_spacing", lambda *args: fine(*args) * coarser * 1.6)
    tilted.log_moments.cache_clear()
    found = log_moments(0.1, 0.5, direction, (2.0,))[0]
    tilted.log_moments.cache_clear()
    assert found >= exact - 1e-13


@given(
    RATES, SIGMAS, st.integers(10, 5000), DIRECTIONS, st.floats(1e-10, 1e-2), st.floats(0.0, 3.0)
)
@settings(max_examples=40)
def test_returned_epsilons_were_tested(rate, sigma, steps, direction, delta, mu2):
    """Guarantee of accountants.certified.epsilon_bounds: By `delta_bounds`, delta(upper) <= delta,
    and delta(lower) > delta unless lower is 0.

    Guarantee of accountants.certified.delta_bounds: lower <= delta(epsilon) <= upper, whatever is
    asked beside it.
    """
    sampled, mu2s = (((rate, sigma), steps),), np.array([mu2, mu2 + 1.0])
    lower, upper = certified.epsilon_bounds(sampled, direction, mu2s, delta)
    assert (lower <= upper).all()
    for low, high, mu in zip(lower, upper, mu2s, strict=True):
        if math.isfinite(high):
            assert answers(sampled, direction, mu, high)[1] <= delta
        if low > 0:
            assert answers(sampled, direction, mu, low)[0] > delta


def test_where_a_saddle_lies_does_not_depend_on_the_guess():
    """The table grows from any start to the same place."""
    sampled = (((0.01, 1.0), 1000),)

    def height(t, k):
        return (k + conversion(t) - 6.0 * t)[None, :]

    places = {int(best(sampled, REMOVE, guess, height)[0][0]) for guess in (1e-3, 0.1, 7.0, 900.0)}
    assert len(places) == 1
    first, t, upper = table(sampled, REMOVE, places.pop())
    assert (t == thetas(first, first + t.size)).all()
    assert upper.shape == t.shape


def test_far_from_every_saddle_nothing_is_claimed():
    """No contour: the bracket is [0, 1], never a number that does not hold."""
    assert answers((((1e-3, 0.3), 1),), REMOVE, 0.0, 5.0) == (0.0, 1.0)
