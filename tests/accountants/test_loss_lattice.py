"""Certified brackets: the truth inside, by closed forms, high precision and published numbers."""

import math
import time
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from accountants import (
    AccountingError,
    Adjacency,
    ApproximateDP,
    Composed,
    Gaussian,
    GroupSampled,
    Laplace,
    PoissonSampled,
    Repeated,
    SampledWithoutReplacement,
    gaussian,
    group,
    loss_lattice,
)
from accountants.mixture import mixture
from accountants.parts import Parts, parts_of
from accountants.steps import ADD, REMOVE

RATES = st.floats(-6, -0.01).map(lambda x: 10.0**x)
SIGMAS = st.floats(-0.5, 1.3).map(lambda x: 10.0**x)
DIRECTIONS = st.sampled_from([REMOVE, ADD])


def bracket(event, epsilon, direction=REMOVE, adjacency="add-or-remove"):
    """(lower, upper) delta at one epsilon."""
    parts = parts_of(event, Adjacency(adjacency))
    lower, upper = loss_lattice.delta_bounds(parts, direction, np.array([float(epsilon)]))
    return float(lower[0]), float(upper[0])


def sampled(rate, sigma, steps=1):
    """Steps on Poisson samples."""
    return Repeated(PoissonSampled(Gaussian(sigma), rate), steps)


def gaussian_profile(mu, epsilon):
    """delta of a mu-GDP mechanism, with mpmath."""
    if mu == 0:
        return max(mp.mpf(0), 1 - mp.exp(epsilon))
    return mp.ncdf(mu / 2 - epsilon / mu) - mp.exp(epsilon) * mp.ncdf(-mu / 2 - epsilon / mu)


def sampled_profile(rate, sigma, direction, epsilon):
    """delta of one sampled step, with mpmath: rate times the Gaussian's at a larger epsilon."""
    rate, epsilon = mp.mpf(rate), mp.mpf(epsilon)
    if direction == ADD:
        turned = sampled_profile(rate, sigma, REMOVE, -epsilon)
        return 1 - mp.exp(epsilon) + mp.exp(epsilon) * turned
    inner = (mp.expm1(epsilon) + rate) / rate
    if inner <= 0:
        return 1 - mp.exp(epsilon)
    return rate * gaussian_profile(1 / mp.mpf(sigma), mp.log(inner))


def glued_profile(rate, sigma, epsilon):
    """`remove` at epsilon >= 0 and its mirror image below."""
    if epsilon >= 0:
        return sampled_profile(rate, sigma, REMOVE, epsilon)
    turned = sampled_profile(rate, sigma, REMOVE, -mp.mpf(epsilon))
    return 1 - mp.exp(mp.mpf(epsilon)) * (1 - turned)


def loss_at(rate, sigma, z):
    """log u(z) of the sampled Gaussian."""
    return mp.log(1 - mp.mpf(rate) + rate * mp.exp(z / sigma - 1 / (2 * mp.mpf(sigma) ** 2)))


def two_steps(rate, sigma, direction, epsilon, profile):
    """delta of one sampled step and another mechanism, by integrating its profile over the loss."""
    shift = 1 / mp.mpf(sigma)

    def integrand(z):
        at = loss_at(rate, sigma, z)
        if direction == REMOVE:
            density = (1 - mp.mpf(rate)) * mp.npdf(z) + rate * mp.npdf(z - shift)
            return density * profile(epsilon - at)
        return mp.npdf(z) * profile(epsilon + at)

    # The profile of a sampled step turns sharply at log(1 - rate): ever shorter pieces towards it.
    u = mp.exp(epsilon if direction == REMOVE else -epsilon) / (1 - mp.mpf(rate))
    knots = {mp.mpf(k) / 2 for k in range(-24, math.ceil(2 * (12 + shift)) + 1)}
    if u > 1 - rate:
        turn = (mp.log((u - 1 + rate) / rate) + shift * shift / 2) / shift
        near = {turn, *(turn + side * mp.mpf(2) ** -k for side in (-1, 1) for k in range(14))}
        knots |= {z for z in near if min(knots) < z < max(knots)}
    return mp.quad(integrand, sorted(knots), maxdegree=5)


# One step of every kind, against its closed form.


@settings(max_examples=10)
@given(RATES, SIGMAS, DIRECTIONS, st.floats(-3, 6))
def test_one_sampled_step_is_bracketed(rate, sigma, direction, z):
    """Poisson samples, either direction, wherever the loss goes."""
    with mp.workdps(50):
        at = float(loss_at(rate, sigma, z)) * (1 if direction == REMOVE else -1)
        lower, upper = bracket(sampled(rate, sigma), at, direction)
        assert lower <= sampled_profile(rate, sigma, direction, at) <= upper


@settings(max_examples=10)
@given(RATES, SIGMAS, st.floats(-3, 6))
def test_one_glued_step_is_bracketed_and_symmetric(rate, sigma, z):
    """Batches of a fixed size and Poisson samples under replace: one pair for both directions."""
    with mp.workdps(50):
        at = float(loss_at(rate, sigma, z))
        lower, upper = bracket(sampled(rate, sigma), at, REMOVE, "replace")
        assert lower <= glued_profile(rate, sigma, at) <= upper
    assert (lower, upper) == bracket(sampled(rate, sigma), at, ADD, "replace")


@settings(max_examples=10)
@given(st.floats(-2, 2).map(lambda x: 10.0**x), st.floats(-1.2, 1.2), DIRECTIONS)
def test_one_laplace_mechanism_is_bracketed(sigma, share, direction):
    """delta = 1 - e^((epsilon - 1/b) / 2) between -1/b and 1/b."""
    epsilon = share / sigma
    lower, upper = bracket(Laplace(sigma), epsilon, direction)
    with mp.workdps(40):
        reach = 1 / mp.mpf(sigma)
        inside = 1 - mp.exp((epsilon - reach) / 2) if epsilon < reach else mp.mpf(0)
        exact = inside if epsilon > -reach else 1 - mp.exp(mp.mpf(epsilon))
    assert lower <= exact <= upper
    assert upper - lower <= 1e-4 * min(1.0, 1 / sigma) + 1e-12


def claims_profile(claim, count, epsilon):
    """Randomised response, composed exactly (Kairouz, Oh & Viswanath 2015, Theorem 3.3)."""
    reach, chance = mp.mpf(claim.epsilon), mp.mpf(claim.delta)
    total = 1 - (1 - chance) ** count
    high = 1 / (1 + mp.exp(-reach))
    for i in range(count + 1):
        mass = mp.binomial(count, i) * high**i * (1 - high) ** (count - i)
        gain = -mp.expm1(mp.mpf(epsilon) - (2 * i - count) * reach)
        total += (1 - chance) ** count * mass * max(gain, mp.mpf(0))
    return min(total, mp.mpf(1))  # of which its last digit may be more


@settings(max_examples=12)
@given(
    st.floats(-3, 1).map(lambda x: 10.0**x),
    st.sampled_from([0.0, 1e-9, 1e-3, 0.3]),
    st.integers(1, 60),
    st.floats(-0.5, 1.1),
    DIRECTIONS,
)
def test_composed_claims_are_bracketed(epsilon, delta, count, share, direction):
    """Any number of (epsilon, delta), as tight as a lattice whose nodes meet both atoms can be."""
    claim = ApproximateDP(epsilon, delta)
    at = share * count * epsilon
    lower, upper = bracket(Repeated(claim, count), at, direction)
    with mp.workdps(40):
        exact = claims_profile(claim, count, at)
    assert lower <= exact <= upper
    assert upper - lower <= 1e-5 * float(exact) + 1e-9


def test_different_claims_compose_as_randomised_responses():
    """Two kinds whose atoms share no lattice still bracket the exact sum."""
    first, second = ApproximateDP(0.3, 1e-6), ApproximateDP(math.pi / 7, 0.01)
    lower, upper = bracket(Composed((Repeated(first, 3), second)), 0.4)
    with mp.workdps(40):
        high = 1 / (1 + mp.exp(-mp.mpf(second.epsilon)))
        ends = ((high, second.epsilon), (1 - high, -second.epsilon))
        rest = sum(m * claims_profile(first, 3, mp.mpf("0.4") - mp.mpf(x)) for m, x in ends)
        exact = mp.mpf(second.delta) + (1 - mp.mpf(second.delta)) * rest
    assert lower <= exact <= upper
    assert upper - lower <= 1e-4


@settings(max_examples=8)
@given(st.floats(-4, -0.1).map(lambda x: 10.0**x), st.floats(0.5, 10), st.integers(2, 9),
       DIRECTIONS, st.floats(-2, 5))  # fmt: skip
def test_a_sampled_group_is_bracketed(rate, sigma, size, direction, z):
    """One binomial mixture, its threshold found with mpmath."""
    with mp.workdps(40):
        weights = [mp.binomial(size, i) * mp.mpf(rate) ** i * (1 - mp.mpf(rate)) ** (size - i)
                   for i in range(size + 1)]  # fmt: skip
        shifts = [i / mp.mpf(sigma) for i in range(size + 1)]
        u = mp.fsum(w * mp.exp(c * z - c * c / 2) for w, c in zip(weights, shifts, strict=True))
        at = float(mp.log(u)) * (1 if direction == REMOVE else -1)
        p = mp.fsum(w * mp.ncdf(c - z) for w, c in zip(weights, shifts, strict=True))
        q = mp.ncdf(-mp.mpf(z))
        exact = p - u * q if direction == REMOVE else (1 - q) - (1 - p) / u
        lower, upper = bracket(group(sampled(rate, sigma), size), at, direction)
        slack = mp.mpf("1e-13")  # `at` is rounded
        assert lower <= exact * (1 + slack) + slack
        assert upper >= exact * (1 - slack) - slack


# Compositions.


@settings(max_examples=10)
@given(st.floats(-2, 2.5).map(lambda x: 10.0**x), st.floats(-4, 20), st.integers(1, 5))
def test_composed_gaussians_are_bracketed(mu, z, count):
    """Against the closed form, which adds mu^2; tight to a few parts in a million."""
    epsilon = mu * z + mu * mu / 2
    event = Repeated(Gaussian(math.sqrt(count) / mu), count)
    lower, upper = bracket(event, epsilon)
    low, high = gaussian.delta_bounds(mu, [epsilon])
    assert lower <= high[0] * (1 + 1e-12)
    assert upper >= low[0] * (1 - 1e-12)
    assert upper - lower <= 1e-4 * upper


@settings(max_examples=6)
@example(0.1, 0.5, REMOVE, 2.0)
@example(0.1, 1.0, REMOVE, 2.0)
@given(RATES, st.floats(0.5, 4.0), DIRECTIONS, st.floats(-1, 4))
def test_two_sampled_steps_are_bracketed(rate, sigma, direction, z):
    """Against a 30-digit integral of one step's profile over the other's loss.

    Guarantee of accountants.loss_lattice.delta_bounds: lower <= delta <= upper for the composed
    dominating pairs, rounding included.
    """
    with mp.workdps(30):
        at = float(loss_at(rate, sigma, z)) * (1.5 if direction == REMOVE else -1.5)
        exact = two_steps(rate, sigma, direction, mp.mpf(at),
                          lambda e: sampled_profile(rate, sigma, direction, e))  # fmt: skip
    lower, upper = bracket(sampled(rate, sigma, 2), at, direction)
    assert lower <= exact + 1e-15
    assert upper >= exact - 1e-15


@settings(max_examples=6)
@given(st.floats(-2, -0.1).map(lambda x: 10.0**x), st.floats(0.6, 4.0), st.floats(0.2, 5.0),
       DIRECTIONS, st.floats(-1, 4))  # fmt: skip
def test_unequal_mechanisms_are_bracketed(rate, sigma, mu, direction, z):
    """A sampled step beside a Gaussian and a Laplace mechanism: three kinds of laws at once."""
    at = mu * z + mu * mu / 2
    with mp.workdps(30):
        exact = two_steps(rate, sigma, direction, mp.mpf(at), lambda e: gaussian_profile(mu, e))
    lower, upper = bracket(Composed((sampled(rate, sigma), Gaussian(1 / mu))), at, direction)
    assert lower <= exact + 1e-15
    assert upper >= exact - 1e-15
    assert upper - lower <= 1e-4 * upper + 1e-12
    more = bracket(Composed((sampled(rate, sigma), Gaussian(1 / mu), Laplace(5.0))), at, direction)
    assert more[1] >= lower


@settings(max_examples=6)
@given(st.floats(0.3, 5.0), st.floats(-0.4, 0.9))
def test_two_laplace_mechanisms_are_bracketed(sigma, share):
    """Atoms and densities enumerated: sums over two atoms and one integral."""
    with mp.workdps(30):
        reach, at = 1 / mp.mpf(sigma), 2 * mp.mpf(share) / sigma

        def profile(x):
            if x >= reach:
                return mp.mpf(0)
            return 1 - mp.exp((x - reach) / 2) if x > -reach else 1 - mp.exp(x)

        exact = profile(at - reach) / 2 + mp.exp(-reach) / 2 * profile(at + reach)
        knots = sorted({-reach, reach, *(x for x in (at - reach, at + reach) if abs(x) < reach)})
        exact += mp.quad(lambda x: mp.exp((x - reach) / 2) / 4 * profile(at - x), knots)
    lower, upper = bracket(Repeated(Laplace(sigma), 2), float(at))
    assert lower <= exact + 1e-15
    assert upper >= exact - 1e-15
    assert upper - lower <= 1e-4


@pytest.mark.parametrize(
    ("rate", "sigma", "steps", "epsilon", "delta"),
    [
        (0.01, 1.0, 10_000, 6.187712389971539, 1e-5),
        (64 / 300, 4.0, 2000, 12.7396199450856, 1e-5),
        (0.01, 1.0, 10_000, 10.346689837619, 1e-12),
        (0.01, 1.0, 10_000, 11.759978502, 1e-15),
    ],
)
def test_runs_of_dp_sgd_are_bracketed(rate, sigma, steps, epsilon, delta):
    """Against contour integrals with 30 to 40 digits, down to delta = 1e-15."""
    lower, upper = bracket(sampled(rate, sigma, steps), epsilon)
    digits = 1e-8  # the last epsilon is given to 11 digits, where delta moves by 4e-9 of itself
    assert lower <= delta * (1 + digits)
    assert upper >= delta * (1 - digits)
    assert upper <= lower * 1.002
    back = bracket(sampled(rate, sigma, steps), epsilon, ADD)
    assert back[1] <= upper


def test_the_larger_of_two_composed_directions_is_below_the_truth():
    """Batches under replace, two steps, the second chosen after the first: .058 against .062.

    An adversary that sees the first loss lets the second batch differ the other way round where
    that serves better. Composing the glued pair covers it, composing directions apart does not.

    Guarantee of accountants.steps.Glued: h dominates Poisson samples and batches of a fixed
    size, in both directions.
    """
    rate, sigma, epsilon = 0.1, 1.0, 0.0
    with mp.workdps(25):

        def step(direction):
            return lambda e: sampled_profile(rate, sigma, direction, e)

        apart = [
            two_steps(rate, sigma, side, mp.mpf(epsilon), step(side)) for side in (REMOVE, ADD)
        ]
        chosen = two_steps(
            rate, sigma, REMOVE, mp.mpf(epsilon), lambda e: max(step(REMOVE)(e), step(ADD)(e))
        )
    batches = SampledWithoutReplacement(Gaussian(sigma), 10, 100)
    lower, upper = bracket(Repeated(batches, 2), epsilon, REMOVE, "replace")
    assert float(max(apart)) == pytest.approx(0.05844, abs=1e-5)
    assert float(chosen) == pytest.approx(0.06185, abs=1e-5)
    assert lower == pytest.approx(0.06525, abs=1e-5)
    assert lower <= upper <= lower * (1 + 1e-6)


def test_batches_cost_more_than_poisson_samples_of_twice_the_noise():
    """DP-SGD's sum of clipped terms: sensitivity C under add-or-remove, 2 C under replace."""
    poisson = bracket(sampled(0.01, 2.0, 1000), 2.0)
    batches = SampledWithoutReplacement(Gaussian(1.0), 10, 1000)
    replaced = bracket(Repeated(batches, 1000), 2.0, REMOVE, "replace")
    assert replaced[0] > poisson[1]
    same = bracket(sampled(0.01, 1.0, 1000), 2.0, REMOVE, "replace")
    assert same == replaced


def test_a_group_costs_no_more_than_its_chain_and_no_less_than_one():
    """Binomial mixtures lie between one unit's profile and a Gaussian of all units."""
    one = bracket(sampled(0.05, 2.0, 200), 3.0)
    four = bracket(group(sampled(0.05, 2.0, 200), 4), 3.0)
    all_join = bracket(Repeated(PoissonSampled(Gaussian(0.5), 0.2), 200), 3.0)
    assert one[1] < four[0]
    assert four[1] < all_join[0]


# What every answer must be.

EVENTS = st.lists(
    st.one_of(
        st.builds(sampled, RATES, SIGMAS, st.integers(1, 10**5)),
        st.builds(lambda s, k: Repeated(Laplace(s), k), SIGMAS, st.integers(1, 50)),
        st.builds(
            lambda e, d, k: Repeated(ApproximateDP(e, d), k),
            st.floats(0, 3), st.sampled_from([0.0, 1e-9]), st.integers(1, 50),
        ),
        st.builds(lambda s, k: Repeated(Gaussian(s), k), SIGMAS, st.integers(1, 10**4)),
        st.builds(
            lambda q, s, m, k: Repeated(GroupSampled(Gaussian(s), q, m), k),
            RATES, SIGMAS, st.integers(2, 12), st.integers(1, 100),
        ),
    ),
    min_size=1,
    max_size=3,
).map(lambda events: Composed(tuple(events)))  # fmt: skip


@settings(max_examples=10)
@given(EVENTS, DIRECTIONS, st.sampled_from([-4.0, -0.1, 0.0, 1e-3, 0.5, 3.0, 40.0, 1000.0]))
def test_brackets_are_brackets(event, direction, epsilon):
    """0 <= lower <= upper <= 1, never NaN, and the floor 1 - e^epsilon is respected."""
    lower, upper = bracket(event, epsilon, direction)
    assert 0.0 <= lower <= upper <= 1.0
    assert upper >= -math.expm1(min(epsilon, 0.0)) * (1 - 1e-15)


@settings(max_examples=8)
@given(EVENTS, DIRECTIONS)
def test_delta_falls_in_epsilon_up_to_the_brackets_width(event, direction):
    """A larger epsilon's lower bound never passes a smaller one's upper bound."""
    parts = parts_of(event, Adjacency.ADD_OR_REMOVE)
    lower, upper = loss_lattice.delta_bounds(parts, direction, np.linspace(-1.0, 8.0, 7))
    assert np.all(lower[1:] <= upper[:-1])


@settings(max_examples=5)
@given(EVENTS, DIRECTIONS, st.randoms(use_true_random=False))
def test_order_of_events_does_not_matter(event, direction, random):
    """The same parts in any order give the same bits."""
    turned = Composed(tuple(random.sample(event.events, len(event.events))))
    assert bracket(event, 0.7, direction) == bracket(turned, 0.7, direction)


def test_an_epsilon_is_answered_alike_alone_and_among_others():
    """Each entry depends on its own epsilon only, also after others were asked."""
    parts = parts_of(sampled(0.02, 0.8, 300), Adjacency.ADD_OR_REMOVE)
    at = np.array([[0.1, 2.0, -1.0], [5.0, 2.0, 9.0]])
    lower, upper = loss_lattice.delta_bounds(parts, REMOVE, at)
    assert lower.shape == upper.shape == at.shape
    assert lower[0, 1] == lower[1, 1]
    for place, epsilon in np.ndenumerate(at):
        alone = loss_lattice.delta_bounds(parts, REMOVE, np.array([epsilon]))
        assert (alone[0][0], alone[1][0]) == (lower[place], upper[place])


def test_more_steps_cost_more():
    """Adding any step raises delta by more than the brackets are wide."""
    before = bracket(sampled(0.1, 1.0, 50), 1.0)
    for more in (Laplace(1.0), Gaussian(1.0), ApproximateDP(0.5, 0.0), sampled(0.1, 1.0, 50)):
        assert bracket(Composed((sampled(0.1, 1.0, 50), more)), 1.0)[0] > before[1]


@pytest.mark.parametrize("sigma", [0.05, 0.3])
@pytest.mark.parametrize("rate", [1e-6, 0.1, 1.0])
@pytest.mark.parametrize("steps", [1, 10**7])
def test_far_corners_give_numbers(sigma, rate, steps):
    """Tiny and full rates, little noise, ten million steps, epsilon from -5 to 1,000."""
    for direction in (REMOVE, ADD):
        started = time.process_time()
        parts = parts_of(sampled(rate, sigma, steps), Adjacency.ADD_OR_REMOVE)
        at = np.array([1e-3, 1000.0])
        lower, upper = loss_lattice.delta_bounds(parts, direction, at)
        assert np.all((lower >= 0) & (lower <= upper) & (upper <= 1))
        assert time.process_time() - started < 20.0  # a hang, not a benchmark
        if steps * rate * min(1.0, 1 / sigma) < 1e-3:
            assert upper[0] <= steps * rate * 1.01  # total variations add up


def test_small_deltas_do_not_underflow():
    """delta = 1e-250 is still bracketed within a few percent: scales are kept apart."""
    mu, z = 2.0, 33.9
    epsilon = mu * z + mu * mu / 2
    lower, upper = bracket(Gaussian(1 / mu), epsilon)
    exact = float(gaussian.delta(mu, epsilon))
    assert 1e-260 < exact < 1e-245
    assert exact * 0.95 < lower <= exact * (1 + 1e-9)
    assert exact * (1 - 1e-9) <= upper < exact * 1.05


def test_nothing_released_costs_nothing():
    """No steps: delta is 1 - e^epsilon left of zero."""
    lower, upper = loss_lattice.delta_bounds(Parts(), REMOVE, np.array([-1.0, 0.0, 2.0]))
    expected = [1 - math.exp(-1), 0.0, 0.0]
    assert lower == pytest.approx(expected)
    assert upper == pytest.approx(expected)


def test_cascades_and_unbounded_releases_are_refused():
    """The lattice has no law for them."""
    for parts in (Parts(unbounded=("raw",)), Parts(cascades=((Parts(1.0), Parts(1.0)),))):
        with pytest.raises(AccountingError, match="cascade or an unbounded"):
            loss_lattice.delta_bounds(parts, REMOVE, np.array([1.0]))


def test_roundings_of_the_last_sums_go_outward():
    """Chances of an infinite loss, values with an error, and sums: each to its own side."""
    values = np.array([0.0, 1e-20, 0.5])
    assert np.all(loss_lattice._outward(values, 1e-12, up=True) > values)
    assert np.all(loss_lattice._outward(values, 1e-12, up=False) <= np.maximum(values - 1e-12, 0))
    assert loss_lattice._up(0.3) > 0.3 > loss_lattice._down(0.3)
    with mp.workdps(40):
        for chance, count in ((1e-18, 3), (1e-5, 10**6), (0.3, 2)):
            exact = -mp.expm1(count * mp.log1p(-mp.mpf(chance)))
            chances = [(chance, count), (0.0, 7)]
            assert loss_lattice._at_least_one(chances, up=False) < exact
            assert exact < loss_lattice._at_least_one(chances, up=True)
    assert loss_lattice._at_least_one([(1.0, 1)], up=True) == 1.0


def test_the_floor_of_every_profile_is_respected():
    """Where a lattice is of no use the bracket is [(1 - e^epsilon)_+, 1] at worst."""
    lower, upper = bracket(sampled(0.5, 1.0, 10), -30.0)
    assert lower >= 1 - 1e-12
    assert upper == 1.0


def profile(up, tilt=1.0, spacing=0.5, lead=0.0, mass=(0.25, 0.5, 0.25), **changes):
    """A composed law on a few nodes, given by its untilted masses; log scale 0."""
    nodes = np.arange(len(mass)) * spacing
    values = {
        "tilt": tilt, "spacing": spacing, "lead": lead,
        "probability": np.array(mass) * np.exp(tilt * (nodes + lead)),
        "near": np.exp(-tilt * nodes) * -np.expm1(-nodes), "far": np.exp(-(tilt + 1) * nodes),
        "log_scale": 0.0, "log_scale_error": 0.0, "outside": 0.0, "infinite": 0.0, "up": up,
    }  # fmt: skip
    return loss_lattice._Profile(**{**values, **changes})


@pytest.mark.parametrize("epsilon", [-0.7, 0.0, 0.2, 0.5, 0.9, 1.5])
def test_the_sum_of_a_composed_law_is_its_profile(epsilon):
    """On, between, before and behind the nodes, from both sides."""
    losses = ((0.25, 0.0), (0.5, 0.5), (0.25, 1.0))
    exact = math.fsum(m * max(0.0, -math.expm1(epsilon - x)) for m, x in losses)
    assert profile(False).at(epsilon) <= exact <= profile(True).at(epsilon)
    assert profile(True).at(epsilon) == pytest.approx(exact, abs=1e-10)
    assert profile(False).at(epsilon) == pytest.approx(exact, abs=1e-10)
    assert profile(True, infinite=0.1).at(epsilon) >= exact + 0.1


def test_tilted_mass_outside_the_window_counts_at_its_worst():
    """A node cut off at either end, and the same node wrapped around, are both covered."""
    tilt, far, epsilon = 1.0, 1.5, 0.8
    weight = 0.2 * math.exp(tilt * far)
    exact = -0.25 * math.expm1(epsilon - 1.0) - 0.2 * math.expm1(epsilon - far)
    assert profile(True, outside=weight).at(epsilon) >= exact
    wrapped = profile(False, mass=(0.25, 0.5, 0.25 + weight * math.exp(-tilt)), outside=weight)
    assert wrapped.at(epsilon) <= -0.25 * math.expm1(epsilon - 1.0)


def test_errors_of_scale_and_position_go_outward():
    """A scale known to a thousandth; losses of 1e12, whose last digit is a ten-thousandth."""
    exact = -0.25 * math.expm1(-0.2)
    assert profile(True, log_scale_error=1e-3).at(0.8) >= exact * 1.0009
    assert profile(False, log_scale_error=1e-3).at(0.8) <= exact * 0.9991
    for up, side in ((True, 1), (False, -1)):
        one = profile(up, tilt=1e-14, lead=1e12, mass=(0.0, 0.0, 1.0))
        true = -math.expm1(-1.0 - side * 2e-4)
        assert side * (one.at(1e12) - true) >= 0


@given(st.floats(-6, 6).map(lambda x: 10.0**x))
def test_mu_is_rounded_to_either_side(mu2):
    """The shift that stands for plain Gaussians is at least (at most) the exact root."""
    for up, side in ((True, 1), (False, -1)):
        ((step, count),) = loss_lattice._steps(Parts(mu2=mu2), up=up)
        shift = Fraction(mixture(step).shifts[0])
        assert count == 1
        assert side * (shift**2 - Fraction(mu2)) > 0
        assert float(shift**2) == pytest.approx(mu2, rel=1e-14)
