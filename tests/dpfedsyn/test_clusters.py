"""Cells about public centres: what one record adds, and what comes back in data units."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accountants import Adjacency
from dpfedsyn.clusters import Array, Centres, ClusterQuery

CLASSES, DIMENSION, CELLS, AXES = 2, 4, 3, 2
RNG = np.random.default_rng(1)
AXES_OF = np.stack([np.linalg.qr(RNG.standard_normal((4, 4)))[0][:, :AXES] for _ in range(2)])
CENTRES = Centres(
    RNG.standard_normal((CLASSES, DIMENSION)),
    AXES_OF,
    2.0 * RNG.standard_normal((CLASSES, CELLS, AXES)),
)
MOVING = ClusterQuery(CENTRES, 1.5, 0.1, 0.9)
LAST = ClusterQuery(CENTRES, 1.5, 0.05, 0.15)
BOTH = pytest.mark.parametrize("query", [MOVING, LAST], ids=["moving", "last"])


def exact_square(vector: Array) -> Fraction:
    return sum((Fraction(float(v)) ** 2 for v in vector.ravel()), Fraction(0))


@BOTH
@given(
    x=arrays(np.float64, (1, DIMENSION), elements=st.floats(allow_nan=True, allow_infinity=True)),
    label=st.integers(0, 1),
    spacing=st.sampled_from([2.0**-20, 2.0**-6, 0.3]),
)
def test_one_record_adds_a_vector_of_norm_at_most_one(
    query: ClusterQuery, x: Array, label: int, spacing: float
) -> None:
    """Guarantee of dpfedsyn.clusters.ClusterQuery.points: One record adds, to one cell, a vector
    whose norm times the spacing is at most 1, whatever it holds."""
    points = query.points(x, np.array([label]), spacing)
    assert points.shape == (query.length,)
    assert exact_square(points.astype(float)) * Fraction(spacing) ** 2 <= 1
    cells = points.reshape(CLASSES, CELLS, -1).any(axis=2)
    assert cells.sum() <= 1
    assert not cells[1 - label].any()


def test_a_record_far_away_attains_the_sensitivity() -> None:
    """Its residual is clipped to the radius, and the three blocks together reach norm 1."""
    for query in (MOVING, LAST):
        far = query.sums(np.full((1, DIMENSION), 1e3), np.array([0]))
        assert 0.999 <= np.linalg.norm(far) <= 1.0
    assert LAST.sensitivity(Adjacency.ADD_OR_REMOVE) == 1.0
    assert LAST.sensitivity(Adjacency.REPLACE) == 2.0


def test_cells_come_back_as_counts_sums_and_products_of_residuals() -> None:
    """Against sums over the records of each cell, written out."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, 40)
    x = CENTRES.means[labels] + 0.3 * rng.standard_normal((40, DIMENSION))
    query = ClusterQuery(CENTRES, 20.0, 0.05, 0.15)
    cells = query.unpack(query.sums(x, labels), 0.0)
    assert cells.products is not None
    for y in range(CLASSES):
        projected = (x[labels == y] - CENTRES.means[y]) @ CENTRES.axes[y]
        apart = np.linalg.norm(projected[:, None] - CENTRES.places[y], axis=2).argmin(axis=1)
        for k in range(CELLS):
            rest = projected[apart == k] - CENTRES.places[y, k]
            assert cells.counts[y, k] == pytest.approx(len(rest))
            assert cells.sums[y, k] == pytest.approx(rest.sum(axis=0), abs=1e-9)
            assert cells.products[y, k] == pytest.approx(rest.T @ rest, abs=1e-8)
    moving = ClusterQuery(CENTRES, 20.0, 0.1, 0.9)
    assert moving.unpack(moving.sums(x, labels), 0.0).products is None


def test_points_are_the_sums_on_the_lattice() -> None:
    """Within one spacing per record and number."""
    rng = np.random.default_rng(4)
    x, labels = rng.standard_normal((25, DIMENSION)), rng.integers(0, CLASSES, 25)
    points = LAST.points(x, labels, 2.0**-18)
    assert points * 2.0**-18 == pytest.approx(LAST.sums(x, labels), abs=25 * 2.0**-18)


def test_declared_noise_is_the_noise_of_unpacked_cells() -> None:
    """Std over 6,000 noisy vectors of zeros: within 6 % (six standard errors: below 1e-8), and
    not that of another block."""
    rng, std = np.random.default_rng(5), 0.7
    found = [LAST.unpack(std * rng.standard_normal(LAST.length), std) for _ in range(6000)]
    counts = np.array([cells.counts[0, 0] for cells in found])
    sums = np.array([cells.sums[1, 2, 0] for cells in found])
    products = np.array([cells.products[1, 0, 0, 1] for cells in found])  # type: ignore[index]
    assert counts.std() == pytest.approx(found[0].count_noise[0], rel=0.06)
    assert sums.std() == pytest.approx(found[0].sum_noise[1], rel=0.06)
    assert products.std() == pytest.approx(found[0].product_noise[1], rel=0.06)
    assert sums.std() != pytest.approx(found[0].product_noise[1], rel=0.06)


@BOTH
@pytest.mark.parametrize("scale", [1.0, 1e200])
def test_a_records_vector_has_the_same_bits_whoever_is_beside_it(
    query: ClusterQuery, scale: float
) -> None:
    """Records on the border of two cells, to the last bit: a product whose order of adding depends
    on the number of rows moves some of them when others leave."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, 400)
    middles = CENTRES.places[labels][:, :2].mean(axis=1)
    x = CENTRES.means[labels] + np.einsum("ndk,nk->nd", CENTRES.axes[labels], middles)
    x = x * scale + 1e-16 * rng.standard_normal(x.shape)
    whole = query.points(x, labels, 2.0**-20)
    alone = [query.points(x[k : k + 1], labels[k : k + 1], 2.0**-20) for k in range(400)]
    assert np.array_equal(whole, np.sum(alone, axis=0))
