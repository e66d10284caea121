"""Marginals of numbers: what a record adds to a histogram, and what samples take from it."""

import math
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accountants import Adjacency
from dpfedsyn import marginals
from dpfedsyn.coordinates import Number
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.marginals import Array, MarginalQuery, corrected
from dpfedsyn.schema import Schema
from dpfedsyn.sums import sums_lattice
from tests.dpfedsyn.test_privatise import reals

HOSPITALS = TableEncoder(
    Schema.load(Path(str(files("dpfedsyn") / "examples" / "hospitals" / "schema.toml")))
)
QUERY = MarginalQuery(
    (
        Number(0, None, np.linspace(-2.0, 2.0, 5)),
        Number(1, 2, np.linspace(-2.0, 2.0, 3)),
        Number(3, None, np.array([-2.0, 2.0])),
    )
)
SPACING = 2.0**-20


def tables(rows: int) -> st.SearchStrategy[Array]:
    """Any vectors, also such that the encoder never makes."""
    return arrays(np.float64, (rows, 4), elements=reals())


@given(tables(1), st.sampled_from([1e-5, 0.7, 300.0]))
def test_one_record_adds_integers_of_norm_at_most_one_to_the_histograms(
    x: Array, std: float
) -> None:
    """Guarantee of dpfedsyn.marginals.MarginalQuery.points: One record adds a vector whose norm,
    times the spacing, is at most 1, whatever it holds: in integers, without slack."""
    spacing = sums_lattice(std).spacing
    added = QUERY.points(x, spacing)
    assert added.dtype == np.int64
    assert added.shape == (QUERY.length,) == (10,)
    assert sum(int(k) ** 2 for k in added) <= 1 / Fraction(spacing) ** 2
    for cells in np.split(added, [5, 8]):
        assert np.count_nonzero(cells) <= 1


@given(tables(3), tables(1), st.sampled_from(list(Adjacency)))
def test_histograms_of_neighbours_stay_within_the_sensitivity(
    x: Array, other: Array, adjacency: Adjacency
) -> None:
    """A record added, or replaced by any other, under each adjacency."""
    beside = np.concatenate([other, x[1:]]) if adjacency is Adjacency.REPLACE else x[1:]
    moved = (QUERY.points(x, SPACING) - QUERY.points(beside, SPACING)) * SPACING
    assert np.linalg.norm(moved) <= QUERY.sensitivity(adjacency) * (1.0 + 1e-12)


def test_constructed_records_attain_the_histograms_sensitivities() -> None:
    """All numbers there, all of them moved: 99 % of what is declared."""
    x = np.array([[2.0, 2.0, -1.0, 2.0]])
    low = np.array([[-2.0, -2.0, -1.0, -2.0]])
    one, other = QUERY.points(x, SPACING) * SPACING, QUERY.points(low, SPACING) * SPACING
    for adjacency in (Adjacency.ADD_OR_REMOVE, Adjacency.ZERO_OUT):
        assert np.linalg.norm(one) >= 0.99 * QUERY.sensitivity(adjacency)
    assert np.linalg.norm(one - other) >= 0.99 * QUERY.sensitivity(Adjacency.REPLACE)


@given(st.integers(1, 40))
def test_every_number_of_numbers_is_counted(numbers: int) -> None:
    """Rounding of 1 / sqrt(m) makes no vector too long, which the check would drop."""
    query = MarginalQuery((Number(0, None, np.array([-2.0, 2.0])),) * numbers)
    assert np.linalg.norm(query.points(np.ones((1, 1)), SPACING) * SPACING) >= 0.99


def test_histograms_count_records_by_the_nearest_value() -> None:
    """Missing numbers are counted nowhere; others within a ten-thousandth; a sum is exact."""
    x = np.array(
        [
            [-2.0, 0.1, -1.0, 2.0],
            [0.9, 1.2, -1.0, 2.0],
            [1.1, 0.0, 1.0, -2.0],
            [9.0, np.nan, -1.0, -9.0],
        ]
    )
    first, second, third = QUERY.histograms(QUERY.points(x, SPACING) * SPACING)
    assert first == pytest.approx([1, 0, 0, 2, 1], abs=1e-4)
    assert second == pytest.approx([0, 1, 1], abs=1e-4)
    assert third == pytest.approx([2, 2], abs=1e-4)
    alone = sum(QUERY.points(x[k : k + 1], SPACING) for k in range(4))
    assert np.array_equal(QUERY.points(x, SPACING), alone)
    assert QUERY.noise(0.7) == pytest.approx(QUERY.histograms(0.7 * np.eye(10)[0])[0][0])


def test_a_table_without_numbers_has_nothing_to_count_and_nothing_to_move() -> None:
    """Its vector is empty and its samples stay."""
    query, x = MarginalQuery(()), np.ones((2, 3))
    assert query.points(x, SPACING).shape == (0,)
    assert np.array_equal(corrected(x, query, np.zeros(0), 1.0), x)


def skewed(rows: int, seed: int) -> Array:
    """Encoded rows of the hospitals' schema: skewed numbers, two fifths of one of them at 0."""
    rng = np.random.default_rng(seed)
    x = -np.ones((rows, HOSPITALS.dimension))
    for number in HOSPITALS.numbers:
        drawn = np.minimum(rng.exponential(0.8, rows) - 2.0, 2.0)
        x[:, number.coordinate] = number.values[marginals._cells(number, drawn)]
        if number.indicator is not None:
            x[rng.random(rows) < 0.2, number.indicator] = 1.0
    x[: 2 * rows // 5, HOSPITALS.numbers[-1].coordinate] = HOSPITALS.numbers[-1].values[40]
    return x


def gaussian(rows: int, seed: int) -> Array:
    """Correlated Gaussian samples for the same schema."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((rows, 1))
    return 0.5 * common + 0.3 * rng.standard_normal((rows, HOSPITALS.dimension))


def distance(a: Array, b: Array, number: Number) -> float:
    """Kolmogorov and Smirnov's, of two columns' cells."""
    shares = []
    for x in (a, b):
        measured = x[marginals._measured(number, x), number.coordinate]
        cells = np.bincount(marginals._cells(number, measured), minlength=len(number.values))
        shares.append(np.cumsum(cells) / cells.sum())
    return float(np.abs(shares[0] - shares[1]).max())


def test_without_noise_every_number_gets_the_records_own_marginal() -> None:
    """To one sample in 2,000; before, every one was off by more than a fifth."""
    records, samples = skewed(1500, 1), gaussian(2000, 2)
    query = MarginalQuery(HOSPITALS.numbers)
    moved = corrected(samples, query, query.points(records, SPACING) * SPACING, 0.0)
    for number in HOSPITALS.numbers:
        assert distance(samples, records, number) > 0.2
        assert distance(moved, records, number) < 0.001


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 50.0), st.floats(0.0, 1e4))
def test_moving_keeps_ranks_and_everything_else(seed: int, std: float, scale: float) -> None:
    """Guarantee of dpfedsyn.marginals.corrected: Post-processing: a function of samples, released
    sums and public settings. Whatever the sums: no rank falls, only numbers that are not missing
    move, all remain in the bounds' range or where they were, and the samples are left alone."""
    rng = np.random.default_rng(seed)
    samples, query = gaussian(60, seed % 1000), MarginalQuery(HOSPITALS.numbers)
    before, sums = samples.copy(), rng.normal(0.0, scale, query.length)
    moved = corrected(samples, query, sums, std)
    assert np.array_equal(samples, before)
    assert np.array_equal(moved, corrected(samples, query, sums, std))
    numeric = [number.coordinate for number in HOSPITALS.numbers]
    others = np.setdiff1d(np.arange(HOSPITALS.dimension), numeric)
    assert np.array_equal(moved[:, others], before[:, others])
    for number in HOSPITALS.numbers:
        rows = marginals._measured(number, before)
        missing = np.setdiff1d(np.arange(60), rows)
        old, new = before[rows, number.coordinate], moved[rows, number.coordinate]
        order = np.argsort(old, kind="stable")
        assert (np.diff(marginals._cells(number, new)[order]) >= 0).all()
        assert np.isin(new, np.append(number.values, old)).all()
        assert np.array_equal(moved[missing, number.coordinate], before[missing, number.coordinate])


def test_what_is_not_told_from_noise_stays_as_it_is() -> None:
    """Much noise: no sample moves. Histograms that the samples have already: none does either.

    A threshold of no standard deviation moves most of them.
    """
    records, samples = skewed(400, 1), gaussian(2000, 2)
    query = MarginalQuery(HOSPITALS.numbers)
    noise = 50.0 * np.random.default_rng(6).standard_normal(query.length)
    drowned = query.points(records, SPACING) * SPACING + noise
    kept = corrected(samples, query, drowned, 50.0)
    assert np.mean(kept != samples) < 0.02
    assert np.array_equal(
        corrected(samples, query, query.points(samples, SPACING) * SPACING, 1.0), samples
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marginals, "THRESHOLD", 0.0)
        numeric = [number.coordinate for number in HOSPITALS.numbers]
        moved = corrected(samples, query, drowned, 50.0)
        assert np.mean((moved != samples)[:, numeric]) > 0.5


@pytest.mark.parametrize("cells", [1, 2, 5, 96, 128])
def test_the_wavelet_basis_is_orthonormal_on_the_cells(cells: int) -> None:
    """Columns are orthonormal, so white noise in the cells is white in the coefficients."""
    basis = marginals._haar(cells)
    assert basis.T @ basis == pytest.approx(np.eye(cells), abs=1e-12)
    assert len(basis) == 2 ** math.ceil(math.log2(cells))
