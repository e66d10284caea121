"""Counts and moments: what one record can add to a sum, and the noise that hides it."""

import math
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn import moments
from dpfedsyn.clipping import clip_rows
from dpfedsyn.counts import count_points, counts_sensitivity, label_counts
from dpfedsyn.errors import MechanismError
from dpfedsyn.lattice import Lattice
from dpfedsyn.moments import MomentQuery
from dpfedsyn.noise import Keystream
from dpfedsyn.sums import noised, privatise, sums_lattice
from tests.dpfedsyn.test_privatise import is_noise, reals

Array = NDArray[np.float64]
Data = tuple[Array, NDArray[np.int64]]

QUERY = MomentQuery(dimension=4, classes=3, radius=3.8, means_share=0.3)
KEY = b"k" * 32


def exact_square(values: Array) -> Fraction:
    """Squared L2 norm of floats, without rounding."""
    return sum((Fraction(float(v)) ** 2 for v in values.ravel()), Fraction(0))


@st.composite
def data_sets(draw: st.DrawFn) -> Data:
    count = draw(st.integers(0, 5))
    x = draw(arrays(np.float64, (count, QUERY.dimension), elements=reals()))
    return x, draw(arrays(np.int64, count, elements=st.integers(0, QUERY.classes - 1)))


def neighbour(data: Data, adjacency: Adjacency, other: Data) -> Data:
    """The data set without its first record, with it replaced, or with it zeroed out."""
    x, labels = data
    if adjacency is Adjacency.REPLACE:
        return np.concatenate([other[0][:1], x[1:]]), np.concatenate([other[1][:1], labels[1:]])
    return x[1:], labels[1:]


@given(
    arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 6)), elements=reals()),
    st.sampled_from([1e-3, 1.0, 3.8, 1e6]),
)
@example(np.array([[1e308, 1e308, -1e308]]), 3.8)
@example(np.array([[5e-324, 0.0]]), 3.8)
@example(np.array([[3.8, 1e-8]]), 3.8)
def test_a_clipped_row_never_exceeds_the_radius_in_exact_arithmetic(
    rows: Array, radius: float
) -> None:
    """Guarantee of dpfedsyn.clipping.clip_rows: The norm of every returned row is at most `radius`
    in exact arithmetic on the returned floats; rows within it hardly move."""
    clipped = clip_rows(rows, radius)
    assert np.isfinite(clipped).all()
    for row, before in zip(clipped, rows, strict=True):
        assert exact_square(row) <= Fraction(radius) ** 2
        if not np.isfinite(before).all():
            assert not row.any()
        elif np.abs(before).max() <= 0.3 * radius / len(before):
            assert row == pytest.approx(before, rel=1e-11, abs=1e-300)


@given(arrays(np.float64, (1, QUERY.dimension), elements=reals()), st.integers(0, 2))
def test_one_record_adds_a_vector_of_norm_at_most_one(x: Array, label: int) -> None:
    """Guarantee of dpfedsyn.moments.MomentQuery.sums: One record adds a vector of norm at most 1,
    whatever it holds: it is clipped to R first."""
    sums = QUERY.sums(x, np.array([label]))
    assert exact_square(sums) <= 1
    assert sums.shape == (QUERY.classes * 4 + 10,)


LABELLED = replace(QUERY, label_share=0.4)
CENTRED = replace(QUERY, residual_radius=1.7, label_share=0.4)
ABOUT = replace(CENTRED, origin_radius=2.1)
MEANS = np.random.default_rng(0).standard_normal((3, 4))


@given(arrays(np.float64, (1, QUERY.dimension), elements=reals()), st.integers(0, 2))
def test_one_record_adds_at_most_one_to_every_kind_of_sum(x: Array, label: int) -> None:
    """Guarantee of dpfedsyn.moments.MomentQuery.label_sums: One record adds a vector of norm at
    most 1, whatever it holds; so do second moments of labels, and those about released means.
    Guarantee of dpfedsyn.moments.MomentQuery.origin_sums: One record adds a vector of norm at most
    1, and so do labels' sums about a released origin."""
    labels = np.array([label])
    # Two blocks share one vector; rounding of their weights is far below the slack of the clip.
    assert exact_square(CENTRED.label_sums(x, labels)) <= 1
    assert exact_square(ABOUT.label_sums(x, labels, MEANS[0])) <= 1
    assert exact_square(ABOUT.origin_sums(x)) <= 1
    assert exact_square(LABELLED.sums(x, labels)) <= 1
    assert exact_square(CENTRED.sums(x, labels, MEANS)) <= 1


def test_residuals_at_their_radius_attain_the_sensitivity() -> None:
    """A record far from its label's mean reaches 99 % of norm 1, and no block has slack."""
    x, labels = np.full((1, 4), 1e3), np.array([2])
    assert np.linalg.norm(CENTRED.sums(x, labels, MEANS)) >= 0.99
    assert np.linalg.norm(CENTRED.label_sums(x, labels)) >= 0.99
    assert np.linalg.norm(ABOUT.label_sums(x, labels, MEANS[0])) >= 0.99
    assert np.linalg.norm(ABOUT.origin_sums(x)) >= 0.99
    assert np.linalg.norm(LABELLED.sums(x, labels)) >= 0.99


@given(arrays(np.float64, (5, 4), elements=st.floats(-0.4, 0.4)), st.data())
def test_unpacking_inverts_the_sums_about_means_and_of_labels(
    x: Array, data: st.DataObject
) -> None:
    """Within the radii, sums of residuals' products come back in the data's own units."""
    labels = data.draw(arrays(np.int64, 5, elements=st.integers(0, 2)))
    means = 0.1 * MEANS
    sums = CENTRED.sums(x, labels, means)
    rest = x - means[labels]
    of_labels = [rest[labels == y].T @ rest[labels == y] for y in range(3)]
    assert CENTRED.unpack(sums)[1] == pytest.approx(rest.T @ rest, abs=1e-9)
    assert CENTRED.unpack_labels(sums) == pytest.approx(np.stack(of_labels), abs=1e-9)
    assert CENTRED.label_sums(x, labels).reshape(3, 4) * QUERY.radius == pytest.approx(
        np.stack([x[labels == y].sum(axis=0) for y in range(3)]), abs=1e-9
    )
    about = ABOUT.label_sums(x, labels, means[0]).reshape(3, 4) * ABOUT.first_radius
    assert about == pytest.approx(
        np.stack([(x - means[0])[labels == y].sum(axis=0) for y in range(3)]), abs=1e-9
    )
    assert ABOUT.origin_sums(x) * QUERY.radius == pytest.approx(x.sum(axis=0), abs=1e-9)
    assert QUERY.unpack_labels(QUERY.sums(x, labels)) is None


@pytest.mark.parametrize("query", [QUERY, LABELLED, CENTRED])
def test_declared_noise_is_the_noise_of_unpacked_sums(query: MomentQuery) -> None:
    """Std over 4,000 noisy vectors of zeros: within 8 % (five standard errors: below 1e-6)."""
    rng, std = np.random.default_rng(3), 0.7
    length = len(
        query.sums(np.zeros((0, 4)), np.zeros(0, np.int64), MEANS if query is CENTRED else None)
    )
    draws = std * rng.standard_normal((4000, length))
    products = np.array([query.unpack(d)[1][0, 1] for d in draws])
    assert products.std() == pytest.approx(query.product_noise(std), rel=0.08)
    if query.label_share:
        own = np.array([query.unpack_labels(d)[1][0, 1] for d in draws])  # type: ignore[index]
        assert own.std() == pytest.approx(query.label_product_noise(std), rel=0.08)
        assert own.std() != pytest.approx(query.product_noise(std), rel=0.08)


@given(data_sets(), data_sets(), st.sampled_from(list(Adjacency)))
def test_neighbouring_data_sets_stay_within_both_sensitivities(
    data: Data, other: Data, adjacency: Adjacency
) -> None:
    """Histogram and joint sums of neighbours, under each adjacency, differ by the declared norm."""
    assume(len(data[0]) and (adjacency is not Adjacency.REPLACE or len(other[0])))
    beside = neighbour(data, adjacency, other)
    moved = QUERY.sums(*data) - QUERY.sums(*beside)
    assert np.linalg.norm(moved) <= QUERY.sensitivity(adjacency) * (1.0 + 1e-12)
    counts = label_counts(data[1], 3) - label_counts(beside[1], 3)
    assert np.linalg.norm(counts) <= counts_sensitivity(adjacency)


def test_constructed_records_attain_the_sensitivities() -> None:
    """A record at the radius, and a replaced label, reach 99 % of what is declared: no slack."""
    x = np.zeros((1, QUERY.dimension))
    x[0, 2] = 1e6
    added = np.linalg.norm(QUERY.sums(x, np.array([1])))
    assert added >= 0.99 * QUERY.sensitivity(Adjacency.ADD_OR_REMOVE)
    replaced = label_counts(np.array([0]), 3) - label_counts(np.array([1]), 3)
    assert np.linalg.norm(replaced) >= 0.99 * counts_sensitivity(Adjacency.REPLACE)
    single = label_counts(np.array([0]), 3)
    for adjacency in (Adjacency.ADD_OR_REMOVE, Adjacency.ZERO_OUT):
        assert np.linalg.norm(single) >= 0.99 * counts_sensitivity(adjacency)
    assert QUERY.sensitivity(Adjacency.REPLACE) == 2.0 * QUERY.sensitivity(Adjacency.ADD_OR_REMOVE)


@given(arrays(np.float64, (5, 4), elements=st.floats(-1.5, 1.5)), st.data())
def test_unpacking_inverts_the_sums(x: Array, data: st.DataObject) -> None:
    """Within the radius the sums of x and of x x^T come back in the data's own units."""
    labels = data.draw(arrays(np.int64, 5, elements=st.integers(0, 2)))
    means, products = QUERY.unpack(QUERY.sums(x, labels))
    expected = np.stack([x[labels == label].sum(axis=0) for label in range(3)])
    assert means == pytest.approx(expected, abs=1e-9)
    assert products == pytest.approx(x.T @ x, abs=1e-9)


def test_noise_of_one_coordinate_is_what_unpacking_makes_of_the_vectors_noise() -> None:
    """A unit vector, unpacked, has exactly the noise that the base is told of."""
    size = QUERY.classes * 4 + 10
    means, _ = QUERY.unpack(0.7 * np.eye(size)[0])
    assert means[0, 0] == pytest.approx(QUERY.mean_noise(0.7), rel=1e-12)
    _, products = QUERY.unpack(0.7 * np.eye(size)[QUERY.classes * 4 + 1])
    assert products[0, 1] == products[1, 0] == pytest.approx(QUERY.product_noise(0.7), rel=1e-12)


def test_privatised_sums_carry_gaussian_noise_of_the_given_std() -> None:
    """Guarantee of dpfedsyn.sums.privatise: With lattice.std >= noise_multiplier * sensitivity
    this is one Gaussian mechanism.

    60,000 draws; false alarm 2e-9, and noise of 0.97 times the std is rejected.
    """
    lattice = sums_lattice(0.8)
    sums = np.linspace(-5e6, 5e6, 60_000).astype(np.int64)
    noise = (privatise(sums, lattice, KEY) - sums) * lattice.spacing
    assert is_noise(noise, 0.8)
    assert not is_noise(noise, 0.97 * 0.8)


def test_noise_belongs_to_its_key() -> None:
    """One key, one noise, whatever the sums; another key, noise that is uncorrelated with it.

    10,000 draws, |r| < 6 / sqrt(n): false alarm below 1e-8.
    """
    zeros, lattice = np.zeros(10_000, dtype=np.int64), sums_lattice(1.0)
    first = privatise(zeros, lattice, KEY)
    assert np.array_equal(privatise(zeros + 3, lattice, KEY), first + 3)
    other = privatise(zeros, lattice, b"o" * 32)
    assert abs(np.corrcoef(first, other)[0, 1]) < 6.0 / math.sqrt(10_000)


QUERIES = {"joint": QUERY, "of labels": LABELLED, "about means": CENTRED}


def means_of(query: MomentQuery) -> Array | None:
    return MEANS if query.residual_radius else None


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
@given(x=arrays(np.float64, (1, 4), elements=reals()), label=st.integers(0, 2),
       std=st.sampled_from([1e-5, 0.7, 300.0]))  # fmt: skip
def test_one_record_adds_integers_of_norm_at_most_one(
    query: MomentQuery, x: Array, label: int, std: float
) -> None:
    """Guarantee of dpfedsyn.moments.MomentQuery.points: One record adds a vector whose norm, times
    the spacing, is at most 1, its own part of every block together: in integers, without slack.
    Guarantee of dpfedsyn.moments.MomentQuery.label_points: One record adds a vector whose norm,
    times the spacing, is at most 1; and
    Guarantee of dpfedsyn.moments.MomentQuery.origin_points: One record adds a vector whose norm,
    times the spacing, is at most 1; and
    Guarantee of dpfedsyn.counts.count_points: One record adds floor(1 / spacing) to one count."""
    spacing, labels = sums_lattice(std).spacing, np.array([label])
    assert spacing <= 2.0**-20
    limit = 1 / Fraction(spacing) ** 2
    for added in (
        query.points(x, labels, spacing, means_of(query)),
        query.label_points(x, labels, spacing),
        query.origin_points(x, spacing),
        replace(query, origin_radius=2.1).label_points(x, labels, spacing, MEANS[0]),
        count_points(labels, 3, spacing),
    ):
        assert added.dtype == np.int64
        assert sum(int(k) ** 2 for k in added) <= limit
    assert count_points(labels, 3, spacing)[label] == int(1 / Fraction(spacing))


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
@pytest.mark.parametrize("at_once", [1, 50, 2**22])
def test_sums_on_the_lattice_are_those_of_the_vectors_however_they_are_cut(
    query: MomentQuery, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every record's truncation takes less than a spacing from a coordinate, in every block; pieces
    of a few records change no bit, and without records there are zeros of the same length."""
    monkeypatch.setattr(moments, "NUMBERS_AT_ONCE", at_once)
    rng, spacing = np.random.default_rng(7), sums_lattice(0.7).spacing
    x, labels = 2.0 * rng.standard_normal((23, 4)), rng.integers(0, 3, 23)
    found = query.points(x, labels, spacing, means_of(query))
    exact = query.sums(x, labels, means_of(query))
    assert found.shape == exact.shape == (query.length,)
    assert np.abs(found * spacing - exact).max() <= 23 * spacing
    alone = [
        query.points(x[k : k + 1], labels[k : k + 1], spacing, means_of(query)) for k in range(23)
    ]
    assert np.array_equal(found, np.sum(alone, axis=0))
    of_labels = query.label_points(x, labels, spacing)
    assert np.abs(of_labels * spacing - query.label_sums(x, labels)).max() <= 23 * spacing
    assert len(of_labels) == query.label_length
    about = replace(query, origin_radius=2.1)
    centred = about.label_points(x, labels, spacing, MEANS[0]) * spacing
    assert np.abs(centred - about.label_sums(x, labels, MEANS[0])).max() <= 23 * spacing
    assert np.abs(query.origin_points(x, spacing) * spacing - query.origin_sums(x)).max() <= (
        23 * spacing
    )
    assert np.array_equal(query.points(x[:0], labels[:0], spacing, means_of(query)), 0 * found)


def test_a_records_vector_is_truncated_toward_zero() -> None:
    """Away from zero it could be longer than what is charged."""
    x, labels = np.array([[1.0, -1.0, 0.3, 0.0]]), np.array([0])
    found = QUERY.label_points(x, labels, 0.01).reshape(3, 4)
    assert found[0].tolist() == [26, -26, 7, 0]  # of 26.3, -26.3 and 7.9


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_vector_whose_integers_are_too_long_is_dropped(
    query: MomentQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the clip fails the check in integers holds: such a record adds zeros, and nothing of
    its neighbour's is lost."""
    x, labels = np.array([[5.0, -1.0, 0.3, 0.0], MEANS[1] + 0.2]), np.array([0, 1])
    monkeypatch.setattr(moments, "clip_rows", lambda rows, radius: rows)
    about = replace(query, origin_radius=2.1)
    for summed in (
        query.label_points,
        partial(about.label_points, origin=MEANS[0]),
        lambda x, y, spacing: query.origin_points(x, spacing),
        partial(query.points, means=means_of(query)),
    ):
        found = summed(x, labels, 2.0**-20)
        assert found.any()
        assert np.array_equal(found, summed(x[1:], labels[1:], 2.0**-20))


def test_noise_on_integers_is_rounded_gaussian_noise_to_the_last_bit() -> None:
    """Guarantee of dpfedsyn.sums.noised: For whole numbers x, x + round(Z) = round(x + Z): the
    draws of the stream, added; also beyond 64 bits, modulo 2^64."""
    lattice = Lattice(0.5, 3, 1536.0)
    points = np.array([[2**63 - 1, 0], [-(2**63), 5]])
    draws = lattice.noise(Keystream(KEY), 4)
    found = noised(points, lattice, Keystream(KEY))
    wanted = [
        (int(p) + int(z) + 2**63) % 2**64 - 2**63 for p, z in zip(points.flat, draws, strict=True)
    ]
    assert found.ravel().tolist() == wanted


def test_noise_that_sums_could_not_hold_is_refused() -> None:
    """From the noise alone, which is public; the message names the mend."""
    with pytest.raises(MechanismError, match=r"2\^32 records would overflow.*privacy.epsilon"):
        sums_lattice(1e-7)
    for std in (1e-6, 1.0, 1e5):
        lattice = sums_lattice(std)
        assert Fraction(lattice.spacing) * 1024 * lattice.cells >= Fraction(std) == lattice.std
