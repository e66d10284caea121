"""The law of round(N(0, s^2)): weights, alias table and ratios against mpmath at 60 digits."""

import itertools
from collections.abc import Iterator

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.lattice import PER_DRAW
from dpfedsyn.rounded_gaussian import (
    COARSE,
    HEAD_BITS,
    INDEX_BITS,
    RATIO_BITS,
    TAIL_BITS,
    WEIGHT_BITS,
    alias_table,
    averaged,
    ratio,
    weights,
)

ONE = 1 << WEIGHT_BITS
MIDDLE = 2 ** (INDEX_BITS - 1)
LISTED = len(weights())


@pytest.fixture(scope="module", autouse=True)
def _digits() -> Iterator[None]:
    """60 digits are claimed; a difference of tails may lose some of these."""
    with mpmath.workdps(120):
        yield


def probability(cell: int, std: int) -> mpmath.mpf:
    """P(round(N(0, std^2)) = cell) to some 60 digits: a difference of tails, never of bodies."""
    low, high = ((abs(cell) + side * mpmath.mpf("0.5")) / std for side in (-1, 1))
    return mpmath.ncdf(-low) - mpmath.ncdf(-high)


@pytest.mark.parametrize("cell", [0, 1, 2, 511, 512, 1023, 4096, 9999, 13_077, LISTED - 1])
def test_a_weight_is_its_probability_rounded(cell: int) -> None:
    """To half a unit of 2^-128; only 0 takes what is left of all the others' rounding."""
    off = abs(weights()[cell] - probability(cell, COARSE) * ONE)
    assert off < (LISTED if cell == 0 else 0.5 + 2.0**-25)


def test_weights_sum_to_one_exactly_and_end_where_a_cell_rounds_to_nothing() -> None:
    """In integers; the first cell without weight has less than 2^-129."""
    assert weights()[0] + 2 * sum(weights()[1:]) == ONE
    assert all(np.diff([float(weight) for weight in weights()]) <= 0.0)
    assert min(weights()) >= 1
    assert probability(LISTED, COARSE) * ONE < 0.5
    assert probability(LISTED - 1, COARSE) * ONE > 0.5


def test_the_total_variation_of_a_draw_is_what_is_certified() -> None:
    """Half the sum of |W_k 2^-128 - P_k| over every cell, and the tail that has no cell."""
    with mpmath.workdps(60):
        edges = [mpmath.ncdf(-(2 * k + 1) / mpmath.mpf(2 * COARSE)) for k in range(LISTED)]
    whole = [1 - 2 * edges[0]] + [a - b for a, b in itertools.pairwise(edges)]
    off = [abs(mpmath.mpf(w) / ONE - p) for w, p in zip(weights(), whole, strict=True)]
    variation = (2 * sum(off[1:]) + off[0]) / 2 + edges[-1]
    assert variation < PER_DRAW / 4
    assert mpmath.log(variation, 2) == pytest.approx(-116.3, abs=0.1)


def test_the_alias_table_gives_every_integer_its_weight_exactly() -> None:
    """Guarantee of dpfedsyn.rounded_gaussian.alias_table: An index that is uniform over 2^17 and
    111 uniform bits: every cell's own mass and that which it has as an alias are added up in
    integers, 2^111 a cell."""
    table, full = alias_table(), 1 << HEAD_BITS + TAIL_BITS
    heads = [int(head) for head in table.heads]
    mass = [0] * len(heads)
    for cell, (head, tail) in enumerate(zip(heads, table.tails.tolist(), strict=True)):
        own = (head >> INDEX_BITS) << TAIL_BITS | tail
        assert own < full
        mass[cell] += own
        mass[head & (1 << INDEX_BITS) - 1] += full - own
    assert len(mass) == 2**INDEX_BITS
    assert mass[MIDDLE:] == [*weights(), *[0] * (MIDDLE - LISTED)]
    assert mass[MIDDLE:0:-1] == mass[MIDDLE:]
    assert mass[0] == 0


@given(st.integers(0, 17 * 1024 - 1), st.integers(0, 2**20), st.sampled_from([1, 3, 1025]))
def test_the_mean_of_the_density_over_a_cell_is_right(coarse: int, off: int, cells: int) -> None:
    """Within 2^-187, out to 17 standard deviations."""
    std, cell = COARSE * cells, coarse * cells + off % cells
    z = mpmath.mpf(cell) / std
    middle = mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi) / std
    right = probability(cell, std) / middle * 2**192
    assert abs(averaged(cell, std) - right) < 2**5


@given(st.integers(1, LISTED - 1), st.data())
def test_ratios_are_of_cell_probabilities_and_not_of_densities(
    coarse: int, data: st.DataObject
) -> None:
    """One unit of 2^-160 off at most; the densities' ratio is a million units off."""
    cells = 2 * data.draw(st.integers(1, 2**10) | st.integers(2**28, 2**29 - 1)) + 1
    nearest = coarse * cells - cells // 2
    cell = nearest + data.draw(st.integers(1, cells - 1))
    found, std = ratio(cell, nearest, COARSE * cells), COARSE * cells
    right = probability(cell, std) / probability(nearest, std) * 2**RATIO_BITS
    falls = mpmath.mpf(nearest**2 - cell**2) / (2 * std * std)
    densities = mpmath.exp(falls) * 2**RATIO_BITS
    assert -1e-3 <= right - found <= 1.0 + 1e-3
    assert abs(densities - found) > 10**6


@pytest.mark.parametrize("cells", [3, 21])
@pytest.mark.parametrize("coarse", [0, 1, -700, 12_000])
def test_fine_cells_make_up_their_coarse_cell(coarse: int, cells: int) -> None:
    """An odd number of them, to 50 digits; the first and the last are not shared with others."""
    half = cells // 2
    inside = range(coarse * cells - half, coarse * cells + half + 1)
    total = sum(probability(cell, COARSE * cells) for cell in inside)
    right = probability(coarse, COARSE)
    assert abs(total - right) < right * mpmath.mpf("1e-50")
    assert len(inside) == cells
