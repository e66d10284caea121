"""What is claimed: valid against independent numbers, monotone, free of order, and tight enough."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from accountants import (
    AccountingError,
    Adjacency,
    Cascade,
    Composed,
    Gaussian,
    Laplace,
    PoissonSampled,
    Repeated,
    Unbounded,
    UnsupportedEvent,
    delta,
    epsilon,
    gaussian,
    odometer,
    overlap,
)

ADD_OR_REMOVE = "add-or-remove"
SIGMAS = st.floats(0.4, 20.0)
RATES = st.floats(0.001, 0.9)
STEPS = st.integers(1, 2000)
DELTAS = st.floats(-9, -2).map(lambda x: 10.0**x)
TINY = 1e-8  # relative: searches end at 1e-9


def dp_sgd(rate, sigma, steps):
    """A run of DP-SGD."""
    return Repeated(PoissonSampled(Gaussian(sigma), rate), steps)


def upper(event, at=1e-5, adjacency=ADD_OR_REMOVE):
    """The claim."""
    return epsilon(event, delta=at, adjacency=adjacency).upper


EVENTS = st.one_of(
    SIGMAS.map(Gaussian),
    st.builds(dp_sgd, RATES, SIGMAS, STEPS),
    st.builds(
        lambda rate, sigma, steps, moments, mu: Cascade(
            Composed((Gaussian(moments), dp_sgd(rate, sigma, steps))), Gaussian(1 / mu)
        ),
        RATES, SIGMAS, STEPS, SIGMAS, st.floats(0.01, 50.0),
    ),
)  # fmt: skip


def one_step(rate, sigma, at, remove):
    """delta of one sampled step at real epsilons, from the threshold on its one axis."""
    gap = np.exp(at) - 1 + rate if remove else np.exp(-at) - 1 + rate
    with np.errstate(divide="ignore", invalid="ignore"):
        z = sigma * (np.log(gap / rate) + 1 / (2 * sigma**2))
    z = np.where(gap > 0, z, -np.inf)
    side = -1 if remove else 1
    q, shifted = ndtr(side * z), ndtr(side * (z - 1 / sigma))
    p = (1 - rate) * q + rate * shifted
    return p - np.exp(at) * q if remove else q - np.exp(at) * p


def integrated_delta(parts, at):
    """Larger of both directions' delta: one axis in closed form, the others summed."""
    found = []
    for remove in (True, False):
        losses, weights = np.zeros(1), np.ones(1)
        for rate, sigma in parts[1:]:
            x = np.linspace(-9, 1 / sigma + 9, 20_001)
            scale = (x[1] - x[0]) / math.sqrt(2 * math.pi)
            q = np.exp(-x * x / 2) * scale
            p = (1 - rate) * q + rate * np.exp(-((x - 1 / sigma) ** 2) / 2) * scale
            loss, weight = (np.log(p / q), p) if remove else (np.log(q / p), q)
            losses = np.add.outer(losses, loss).ravel()
            weights = np.multiply.outer(weights, weight).ravel()
        found.append(float(weights @ one_step(*parts[0], at - losses, remove)))
    return max(found)


@pytest.mark.parametrize(
    ("rate", "sigma", "steps", "mu"),
    [
        (0.1, 1.0, 1, 0.0),
        (0.1, 1.0, 2, 0.0),
        (0.5, 2.0, 2, 0.0),
        (0.1, 1.0, 1, 1.0),
        (0.3, 0.7, 1, 0.5),
        (0.01, 0.5, 1, 2.0),
        (0.8, 1.0, 1, 1.0),
        (0.2, 1.5, 1, 0.3),
    ],
)
@pytest.mark.parametrize("at", [-1.0, -0.2, 0.0, 0.3, 1.0, 2.0, 4.0])
def test_brackets_hold_the_integral(rate, sigma, steps, mu, at):
    """Guarantee of accountants.plain.delta_bounds: lower <= delta(epsilon) <= upper; and with two
    axes no more than a thousandth apart.

    Guarantee of accountants.plain.epsilon_bounds: delta(upper) <= delta, and delta(lower) > delta
    unless lower is 0."""
    event = Composed((dp_sgd(rate, sigma, steps), *([Gaussian(1 / mu)] if mu else [])))
    truth = integrated_delta(([(1.0, 1 / mu)] if mu else []) + [(rate, sigma)] * steps, at)
    assert truth > 0
    found = delta(event, epsilon=at, adjacency=ADD_OR_REMOVE)
    assert found.upper >= truth * (1 - 1e-9) - 1e-15
    assert found.upper <= found.lower * 1.001 + 1e-15
    assert found.lower <= truth * (1 + 1e-9) + 1e-15
    if 1e-5 < truth < 1:
        spent = epsilon(event, delta=truth)
        assert spent.lower <= max(at, 0.0) + 1e-9
        assert spent.upper >= max(at, 0.0) - 1e-9


@pytest.mark.parametrize(
    ("rate", "sigma", "steps", "exact"),
    [(0.01, 1.0, 10_000, 6.187712389971539), (64 / 300, 4.0, 2000, 12.7396199450856)],
)
def test_published_runs_are_bracketed_to_nine_digits(rate, sigma, steps, exact):
    """Known exact values (30-digit contour integrals) lie inside a bracket of less than 1e-8."""
    found = epsilon(dp_sgd(rate, sigma, steps), delta=1e-5)
    assert found.lower <= exact <= found.upper <= found.lower + 1e-8


@pytest.mark.parametrize(("at", "exact"), [(1e-12, 10.346689837619), (1e-15, 11.759978502)])
def test_tiny_deltas_are_bracketed_where_lattices_fail(at, exact):
    """Rate .01, multiplier 1, 10,000 steps: mpmath's values at delta 1e-12 and 1e-15."""
    found = epsilon(dp_sgd(0.01, 1.0, 10_000), delta=at)
    assert found.lower - 1e-9 <= exact <= found.upper + 1e-9
    assert found.upper - found.lower <= 1e-8


def test_published_gaussian_composition_is_exact():
    """1,000 different Gaussians: 3.068684662715907, both ends."""
    event = Composed(tuple(Gaussian(float(s)) for s in np.geomspace(20, 200, 1000)))
    found = epsilon(event, delta=1e-5, adjacency="replace")
    assert found.lower == pytest.approx(3.068684662715907, abs=1e-9)
    assert found.upper == pytest.approx(3.068684662715907, abs=1e-9)
    assert found.lower <= found.upper


def test_published_mixture_of_sampled_and_plain_gaussians():
    """2,000 sampled steps then 1,000 Gaussians: 13.45571759648."""
    plain = tuple(Gaussian(float(s)) for s in np.geomspace(20, 200, 1000))
    found = epsilon(Composed((dp_sgd(64 / 300, 4.0, 2000), *plain)), delta=1e-5)
    assert found.lower <= 13.45571759648 + 1e-10
    assert found.upper >= 13.45571759648 - 1e-10
    assert found.upper - found.lower <= 1e-8


@given(EVENTS, DELTAS)
@settings(max_examples=40)
def test_lower_is_at_most_upper_and_delta_agrees(event, at):
    """The bracket stands, and delta at the claimed epsilon is within the target."""
    found = epsilon(event, delta=at, adjacency=ADD_OR_REMOVE)
    assert 0 <= found.lower <= found.upper < math.inf
    assert delta(event, epsilon=found.upper, adjacency=ADD_OR_REMOVE).upper <= at * (1 + 1e-9)


@given(RATES, SIGMAS, STEPS, DELTAS, st.floats(1.01, 3.0))
@settings(max_examples=12)
def test_more_noise_fewer_steps_less_sampling_or_more_delta_never_cost_more(
    rate, sigma, steps, at, factor
):
    """Monotone in noise multiplier, sampling rate, steps and delta, as far as brackets can tell."""
    base = epsilon(dp_sgd(rate, sigma, steps), delta=at)
    less = [
        epsilon(dp_sgd(rate, sigma * factor, steps), delta=at),
        epsilon(dp_sgd(rate / factor, sigma, steps), delta=at),
        epsilon(dp_sgd(rate, sigma, max(1, int(steps / factor))), delta=at),
        epsilon(dp_sgd(rate, sigma, steps), delta=min(0.5, at * factor)),
    ]
    for bound in less:
        assert bound.lower <= base.upper
        width = max(bound.upper - bound.lower, base.upper - base.lower)
        assert bound.upper <= base.upper + width


@given(st.lists(EVENTS, min_size=2, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_order_and_nesting_do_not_matter(events, randomness):
    """Composition is free of order and of brackets, to the last bit."""
    shuffled = list(events)
    randomness.shuffle(shuffled)
    nested = Composed((Composed(tuple(shuffled[:1])), Composed(tuple(shuffled[1:]))))
    assert upper(Composed(tuple(events))) == upper(nested)


@given(EVENTS)
@settings(max_examples=15)
def test_composition_with_nothing_changes_nothing(event):
    """Empty compositions and zero repetitions are free."""
    padded = Composed((Composed(()), event, Repeated(Gaussian(0.1), 0)))
    assert epsilon(padded, delta=1e-5, adjacency=ADD_OR_REMOVE) == epsilon(
        event, delta=1e-5, adjacency=ADD_OR_REMOVE
    )
    assert upper(Composed(())) == 0.0


@given(EVENTS, EVENTS)
@settings(max_examples=15)
def test_composing_more_never_costs_less(first, second):
    """Two releases cost at least what each costs (to a thousandth: chords differ)."""
    both = upper(Composed((first, second)))
    assert both >= max(upper(first), upper(second)) * (1 - 1e-3)


def test_full_sampling_is_the_plain_gaussian():
    """Rate 1 is no sampling: exact, and allowed under every adjacency."""
    event = dp_sgd(1.0, 2.0, 9)
    for adjacency in Adjacency:
        found = epsilon(event, delta=1e-5, adjacency=adjacency)
        assert found.upper == pytest.approx(gaussian.epsilon(1.5, 1e-5), rel=1e-12)
        assert found.lower == pytest.approx(found.upper, rel=1e-12)


def test_thousands_of_mu_and_heavy_tails_stay_finite():
    """Extremes give finite numbers without overflow (warnings are errors)."""
    assert 12.5e6 < upper(Gaussian(1 / 5000)) < 12.6e6
    assert upper(dp_sgd(0.001, 0.001, 1000)) < 1e9
    assert upper(dp_sgd(0.3, 0.5, 10**6)) < 1e6
    assert upper(Composed((Gaussian(1e-4), dp_sgd(0.9, 0.05, 50)))) < 1e9
    assert upper(dp_sgd(1e-9, 1.0, 100)) == 0.0
    assert upper(dp_sgd(0.01, 1e5, 10)) < 1e-3


def test_sampling_under_replace_glues_both_directions():
    """Never less than either direction under add-or-remove; zero-out is the same as that."""
    event = dp_sgd(0.1, 1.0, 5)
    glued = epsilon(event, delta=1e-5, adjacency="replace")
    assert glued.lower >= epsilon(event, delta=1e-5).lower * (1 - 1e-3)
    assert upper(event, adjacency="zero-out") == upper(event)


@pytest.mark.parametrize(
    "event",
    [
        PoissonSampled(PoissonSampled(Gaussian(1.0), 0.5), 0.5),
        PoissonSampled(Unbounded("raw rows"), 0.5),
        Cascade(Gaussian(1.0), dp_sgd(0.5, 1.0, 1)),
        Cascade(Cascade(Gaussian(1.0), Gaussian(1.0)), Gaussian(1.0)),
    ],
)
def test_events_without_a_known_bound_are_refused(event):
    """Better no number than a guessed one."""
    with pytest.raises(UnsupportedEvent):
        upper(event)


def test_bad_questions_are_refused():
    """Unknown adjacency, impossible delta or epsilon, and things that are no events."""
    with pytest.raises(AccountingError, match="adjacency"):
        upper(Gaussian(1.0), adjacency="swap")
    with pytest.raises(AccountingError, match="delta"):
        upper(Gaussian(1.0), at=0.0)
    with pytest.raises(AccountingError, match="epsilon"):
        delta(Gaussian(1.0), epsilon=math.nan, adjacency=ADD_OR_REMOVE)
    with pytest.raises(AccountingError, match="no event"):
        upper("Gaussian(1.0)")


def test_unbounded_releases_are_infinite_unless_a_cascade_keeps_them_inside():
    """A model without DP costs only its noisy answers; published, it costs everything."""
    raw = Unbounded("trained without noise")
    found = epsilon(Composed((Gaussian(1.0), raw)), delta=1e-5, adjacency=ADD_OR_REMOVE)
    assert found.lower == found.upper == math.inf
    inside = upper(Cascade(raw, Gaussian(2.0)))
    assert inside == pytest.approx(gaussian.epsilon(0.5, 1e-5), rel=1e-9)
    training = dp_sgd(0.1, 1.0, 10)
    assert upper(Cascade(training, Unbounded("theta is published"))) == upper(training)


# --- cascades ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "product", "least"), [(0.5, 0.0881, 0.238), (0.05, None, None), (1.0, None, None)]
)
def test_cascade_lies_between_the_truth_and_both_readings(at, product, least):
    """A one-dimensional model, clipped and answered with noise: true <= product <= min.

    Published at epsilon = .5: true .0293, product .0881, min .238.
    """
    x, theta = np.linspace(-12, 13, 4001), np.linspace(-8, 9, 1501)
    answers = np.exp(-((x[:, None] - np.clip(theta, -1, 1)[None, :]) ** 2) / (2 * 1.5**2))
    answers /= 1.5 * math.sqrt(2 * math.pi)

    def law(bit):
        weight = np.exp(-((theta - bit) ** 2) / 2) / math.sqrt(2 * math.pi)
        return (answers * weight).sum(axis=1) * (theta[1] - theta[0]) * (x[1] - x[0])

    p, q = law(0), law(1)
    g = math.exp(at)
    truth = max(np.maximum(p - g * q, 0).sum(), np.maximum(q - g * p, 0).sum())
    model, answer = Gaussian(1.0), Gaussian(1.5 / 2)
    found = delta(Cascade(model, answer), epsilon=at, adjacency=ADD_OR_REMOVE)
    readings = [
        delta(event, epsilon=at, adjacency=ADD_OR_REMOVE).upper for event in (model, answer)
    ]
    assert truth <= found.upper <= min(readings) * (1 + 1e-9)
    assert found.upper == pytest.approx(readings[0] * readings[1], rel=0.02)
    assert found.upper >= readings[0] * readings[1] * (1 - 1e-9)
    assert found.lower == 0.0
    if product is not None:
        assert truth == pytest.approx(0.0293, abs=2e-4)
        assert found.upper == pytest.approx(product, abs=2e-3)
        assert min(readings) == pytest.approx(least, abs=1e-3)


@given(st.floats(0.05, 3.0), st.floats(0.05, 3.0), st.floats(0.05, 3.0), st.floats(0.0, 3.0))
def test_releases_beside_a_cascade_are_never_multiplied_away(released, model, answers, at):
    """R composed with the product costs at least R alone."""
    beside = Gaussian(1 / released)
    event = Composed((beside, Cascade(Gaussian(1 / model), Gaussian(1 / answers))))
    alone = delta(beside, epsilon=at, adjacency=ADD_OR_REMOVE).lower
    assert delta(event, epsilon=at, adjacency=ADD_OR_REMOVE).upper >= alone


@given(st.floats(1.01, 3.0), st.floats(0.05, 3.0), st.floats(0.05, 0.99), st.floats(0.0, 3.0))
def test_putting_a_release_inside_the_product_would_claim_too_little(released, model, answers, at):
    """The trap: R inside the factor that is multiplied by delta_B costs less than R beside it."""
    beside, inside = Gaussian(1 / released), Gaussian(1 / model)
    answer = Gaussian(1 / answers)
    right = Composed((beside, Cascade(inside, answer)))
    wrong = Cascade(Composed((beside, inside)), answer)
    found = [delta(event, epsilon=at, adjacency=ADD_OR_REMOVE).upper for event in (right, wrong)]
    assert found[0] > found[1]


def test_a_cascade_of_gaussians_composes_like_a_numeric_integral():
    """R smoothed over the product's pair equals direct integration of the product's profile."""
    released, model, answers, at = 0.7, 1.2, 1.5, 0.8
    losses = np.linspace(-7 * released, 7 * released, 40_001) + released**2 / 2
    weight = np.exp(-((losses - released**2 / 2) ** 2) / (2 * released**2))
    weight /= weight.sum()
    g = at - losses
    forward = gaussian.delta(model, np.abs(g)) * gaussian.delta(answers, np.abs(g))
    profile = np.where(g >= 0, forward, 1 - np.exp(np.minimum(g, 0)) * (1 - forward))
    expected = float((weight * profile).sum())
    event = Composed((Gaussian(1 / released), Cascade(Gaussian(1 / model), Gaussian(1 / answers))))
    found = delta(event, epsilon=at, adjacency=ADD_OR_REMOVE).upper
    assert expected * (1 - 1e-6) <= found <= expected * 1.02


@given(RATES, SIGMAS, STEPS, st.floats(0.01, 3000.0))
@settings(max_examples=6)
def test_a_cascade_never_costs_more_than_either_reading(rate, sigma, steps, mu):
    """Never worse than DP-SGD alone, never worse than the answers alone."""
    training = Composed((Gaussian(3.0), dp_sgd(rate, sigma, steps)))
    found = upper(Cascade(training, Gaussian(1 / mu)))
    assert found <= upper(training) * (1 + TINY)
    assert found <= upper(Gaussian(1 / mu)) * (1 + TINY) + 1e-12


def test_two_cascades_are_not_multiplied():
    """Models that might continue from one another are read without the product."""
    one = Cascade(Gaussian(1.0), Gaussian(1.0))
    together = upper(Composed((one, one)))
    assert together == pytest.approx(gaussian.epsilon(math.sqrt(2), 1e-5), rel=1e-9)
    joint = Cascade(Repeated(Gaussian(1.0), 2), Repeated(Gaussian(1.0), 2))
    assert upper(joint) < together
    assert upper(Repeated(one, 2)) == together


def test_a_sampled_release_beside_a_cascade_is_composed():
    """R may itself be DP-SGD (a published model): valid, and between its neighbours."""
    release, cascade = dp_sgd(0.1, 2.0, 20), Cascade(Gaussian(1.0), Gaussian(1.0))
    both = upper(Composed((release, cascade)))
    assert max(upper(release), upper(cascade)) < both
    assert both <= upper(Composed((release, Gaussian(1.0)))) * (1 + TINY)


# --- odometer and overlap -----------------------------------------------------------------------


def test_odometer_entries_are_the_epsilons_of_their_prefixes():
    """Entry k - 1 is the composition of releases with the cascade of the first k rounds."""
    training, release = Composed((Gaussian(2.0), dp_sgd(0.2, 6.0, 300))), Gaussian(10.0)
    rounds = [Gaussian(4.0 + k) for k in range(5)]
    readings = odometer(training, rounds, delta=1e-5, releases=release, cascade=True)
    for k, entry in enumerate(readings, start=1):
        whole = Composed((release, Cascade(training, Composed(tuple(rounds[:k])))))
        assert entry == epsilon(whole, delta=1e-5, adjacency=ADD_OR_REMOVE)
    uppers = [entry.upper for entry in readings]
    assert uppers == sorted(uppers)
    plain = odometer(training, rounds, delta=1e-5, releases=release)
    for k, entry in enumerate(plain, start=1):
        whole = epsilon(Composed((training, release, *rounds[:k])), delta=1e-5)
        assert max(entry.lower, whole.lower) <= min(entry.upper, whole.upper)
        assert entry.upper == pytest.approx(whole.upper, rel=1e-8)
    alone = odometer(None, rounds[:2], delta=1e-5, adjacency="replace")
    assert alone[1].upper == upper(Composed(tuple(rounds[:2])), adjacency="replace")
    assert odometer(None, [], delta=1e-5, adjacency="replace") == []


def test_overlap_takes_the_worst_subset():
    """A person in two of three silos is charged for the two most expensive."""
    silos = [Gaussian(4.0), Gaussian(1.0), Gaussian(2.0)]
    for m, worst in ((1, silos[1:2]), (2, silos[1:]), (3, silos), (9, silos)):
        found = overlap(silos, m, delta=1e-5, adjacency=ADD_OR_REMOVE)
        assert found == epsilon(Composed(tuple(worst)), delta=1e-5, adjacency=ADD_OR_REMOVE)


def test_overlap_drops_the_products_of_several_cascades():
    """Two cascades of two silos are read as their models or their answers, whichever is less."""
    cascades = [Cascade(dp_sgd(0.1, 2.0, 50), Gaussian(1 / mu)) for mu in (0.5, 40.0)]
    found = overlap(cascades, 2, delta=1e-5, adjacency=ADD_OR_REMOVE).upper
    assert found == upper(dp_sgd(0.1, 2.0, 100))
    assert found > overlap(cascades, 1, delta=1e-5, adjacency=ADD_OR_REMOVE).upper


def test_overlap_of_many_silos_is_bounded_by_their_largest_moments():
    """Where subsets are too many to try, the bound is valid and not far above the worst one."""
    sigmas = [1.5 + 0.1 * k for k in range(24)]
    silos = [Cascade(Gaussian(s), Gaussian(0.01)) for s in sigmas]
    random.Random(5).shuffle(silos)
    found = overlap(silos, 3, delta=1e-5, adjacency=ADD_OR_REMOVE).upper
    worst = upper(Composed(tuple(Gaussian(s) for s in sigmas[:3])))
    assert worst <= found <= 1.15 * worst


@pytest.mark.parametrize(("silos", "m"), [([], 1), ([Gaussian(1.0)], 0)])
def test_overlap_needs_silos_and_a_positive_m(silos, m):
    """Nothing is claimed for an empty group."""
    with pytest.raises(AccountingError):
        overlap(silos, m, delta=1e-5, adjacency=ADD_OR_REMOVE)


def test_overlap_of_many_silos_adds_up_other_mechanisms_too():
    """Laplace releases of 24 silos: valid, finite, and above any two of them composed."""
    silos = [Composed((Laplace(2.0 + k // 8), Gaussian(3.0))) for k in range(24)]
    found = overlap(silos, 2, delta=1e-5).upper
    worst = epsilon(Composed(tuple(silos[:2])), delta=1e-5)
    assert worst.lower <= found <= 1.3 * worst.upper
