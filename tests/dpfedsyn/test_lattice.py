"""Draws on the lattice: their law by chi-square, every branch by chosen words, and the claim."""

import math
from collections import deque
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import chi2

from dpfedsyn import lattice
from dpfedsyn.errors import MechanismError
from dpfedsyn.lattice import (
    CELLS_PER_BOUND,
    COARSE,
    Lattice,
    coarse,
    coarse_lattice,
    delta_with_noise,
    fine,
    generator_advantage,
    lattice_for,
    total_variation,
)
from dpfedsyn.noise import Keystream
from dpfedsyn.rounded_gaussian import INDEX_BITS, alias_table, weights

KEY = bytes(range(32))
DRAWS = 2_000_000
ALARM = 1e-7  # false-alarm rate of one test of a law; fixed keys, so that it is drawn only once
MIDDLE = 2 ** (INDEX_BITS - 1)
ODD = st.integers(0, 600).map(lambda half: 2 * half + 1)


def chi_square(draws: NDArray[np.int64], cells: int) -> float:
    """p-value of round(N(0, (1024 cells)^2)): 76 slices by size, each apart by the 8 residues.

    Probabilities are exact to 1e-15: differences of Phi at half-integers; coarse residues come
    from the table's own weights.
    """
    edges = np.round(np.linspace(-3.75, 3.75, 75) * COARSE * cells).astype(np.int64)
    bounds = np.concatenate([[-np.inf], (edges - 0.5) / (COARSE * cells), [np.inf]])
    observed = np.bincount(np.searchsorted(edges, draws, side="right"), minlength=76)
    expected = np.diff(ndtr(bounds)) * len(draws)
    table = np.bincount(draws % 8, minlength=8)
    flat = np.full(8, len(draws) / 8.0)  # the residues' own law is off by less than 1e-100
    statistic = ((observed - expected) ** 2 / expected).sum() + ((table - flat) ** 2 / flat).sum()
    return float(chi2.sf(statistic, 75 + 7))


def correlated(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether two sets of draws are correlated, at a false-alarm rate of 5.7e-7 (5 deviations)."""
    return bool(abs(np.corrcoef(one, other)[0, 1]) * math.sqrt(len(one)) > 5.0)


@pytest.mark.parametrize("key", [KEY, KEY[::-1]], ids=["one key", "another"])
@pytest.mark.parametrize("cells", [1, 3, 1127])
def test_draws_have_the_law_of_the_rounded_gaussian(key: bytes, cells: int) -> None:
    """False alarms 1e-7 each. Guarantee of dpfedsyn.lattice.coarse: Total variation at most 2^-114
    cannot be seen, so the tests below choose the words that decide."""
    stream = Keystream(key)
    draws = coarse(stream, DRAWS) if cells == 1 else fine(stream, DRAWS, cells)
    assert chi_square(draws, cells) > ALARM
    assert math.isclose(draws.std(), COARSE * cells, rel_tol=5.0 / math.sqrt(2.0 * DRAWS))


def test_a_law_that_is_wrong_is_rejected() -> None:
    """sigma x 0.98 or 1.02, a tail cut at 3.5, a mean off by 1/100, only even integers."""
    draws = coarse(Keystream(KEY), DRAWS)
    normal = Keystream(KEY).normal((DRAWS,)) * COARSE
    assert chi_square(np.rint(normal).astype(np.int64), 1) > ALARM
    for wrong in (normal * 0.98, normal * 1.02, normal + 0.01 * COARSE):
        assert chi_square(np.rint(wrong).astype(np.int64), 1) < ALARM
    assert chi_square(draws[np.abs(draws) < 3.5 * COARSE], 1) < ALARM
    assert chi_square(draws - draws % 2, 1) < ALARM


def test_draws_of_other_keys_and_places_are_uncorrelated_and_a_repeated_stream_is_seen() -> None:
    """Between keys, between neighbours, between chunks; a stream used twice is rejected."""
    one, other = coarse(Keystream(KEY), 2**18), coarse(Keystream(KEY[::-1]), 2**18)
    assert not correlated(one, other)
    for lag in (1, 2, 64, lattice._CHUNK):
        assert not correlated(one[lag:], one[:-lag])
    again = coarse(Keystream(KEY), 2**18)
    assert correlated(one, again)
    assert correlated(one, np.concatenate([again[:8192], other[8192:]]))


def test_a_stream_goes_on_and_equal_keys_give_equal_draws() -> None:
    """Two calls on one stream share no word."""
    stream = Keystream(KEY)
    first, second = coarse(stream, 50_000), coarse(stream, 50_000)
    assert np.array_equal(np.concatenate([first, second]), coarse(Keystream(KEY), 100_000))
    assert not correlated(first, second)
    assert coarse(Keystream(KEY), 0).shape == fine(Keystream(KEY), 0, 3).shape == (0,)


class Chosen:
    """A stream of chosen words; to ask for more than there are is an error."""

    def __init__(self, *words: int) -> None:
        self.left = deque(words)

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return the next ones."""
        return np.array([self.left.popleft() for _ in range(count)], dtype=np.uint64)


def entry(cell: int) -> tuple[int, int, int]:
    """(first 47 bits of the threshold, last 64, alias) of a cell."""
    head, tail = int(alias_table().heads[cell]), int(alias_table().tails[cell])
    return head >> INDEX_BITS, tail, head & 2**INDEX_BITS - 1


CELLS = st.integers(0, 2**INDEX_BITS - 1) | st.integers(MIDDLE - 15_000, MIDDLE + 15_000)


@given(CELLS, st.integers(-2, 2), st.integers(-2, 2))
def test_a_draw_compares_all_111_bits(cell: int, above: int, beyond: int) -> None:
    """Guarantee of dpfedsyn.lattice.coarse: Total variation at most 2^-114 per draw: the cell is
    kept exactly where the uniform number lies below its threshold; a tie of the first 47 bits is
    decided by 64 more, in further words, which are drawn only then."""
    head, tail, alias = entry(cell)
    first, second = (head + above) % 2**47, (tail + beyond) % 2**64
    stream = Chosen(first << INDEX_BITS | cell, second)
    kept = (first << 64 | second) < (head << 64 | tail)
    assert coarse(stream, 1).tolist() == [(cell if kept else alias) - MIDDLE]
    assert len(stream.left) == (0 if first == head else 1)


def test_ties_among_many_draws_take_further_words_in_order() -> None:
    """Three ties among five draws: each gets its own further word; the others keep theirs."""
    cells = [MIDDLE + 4000, MIDDLE - 5000, MIDDLE + 3, MIDDLE + 9000, MIDDLE + 3300]
    entries = [entry(cell) for cell in cells]
    tied = [True, False, True, False, True]
    words = [
        (head if tie else head ^ 2**40) << INDEX_BITS | cell
        for cell, (head, _, _), tie in zip(cells, entries, tied, strict=True)
    ]
    further = [entries[0][1] - 1, entries[2][1], entries[4][1] - 1]
    draws = coarse(Chosen(*words, *further), 5).tolist()
    assert draws[0] == cells[0] - MIDDLE
    assert draws[2] == entries[2][2] - MIDDLE
    assert draws[4] == cells[4] - MIDDLE


class Asked:
    """A stream for one fine draw: single words in turn, and a pair where 32 bits cannot decide."""

    def __init__(self, singles: list[int], pair: list[int]) -> None:
        self.singles, self.pair, self.asked_further = deque(singles), pair, False

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return one word, or the two further ones."""
        self.asked_further |= count == 2
        chosen = self.pair if count == 2 else [self.singles.popleft() for _ in range(count)]
        return np.array(chosen, dtype=np.uint64)


def proposing(offset: int, cells: int) -> int:
    """A word's low half that proposes the fine cell at this offset and is not refused."""
    low = -(-((offset + cells // 2) * 2**32 + 2**32 % cells) // cells)
    assert low * cells >> 32 == offset + cells // 2
    return low


def acceptance(cell: int, middle: int, cells: int) -> int:
    """2^160 P(cell) / P(cell of this coarse one nearest to 0), from mpmath, rounded down."""

    def probability(k: int) -> mpmath.mpf:
        low, high = ((2 * abs(k) + side) / mpmath.mpf(2 * COARSE * cells) for side in (-1, 1))
        return mpmath.ncdf(-low) - mpmath.ncdf(-high)

    with mpmath.workdps(90):
        nearest = max(abs(middle) * cells - cells // 2, 0)
        return int(mpmath.floor(probability(cell) / probability(nearest) * 2**160))


OWN = 7500  # cells up to here have thresholds above 0, so that head 0 draws them


@given(
    st.integers(-OWN, OWN),
    ODD.filter(lambda cells: cells > 1),
    st.integers(-40, 40),
    st.integers(-1, 1),
    st.data(),
)
def test_a_fine_cell_is_accepted_by_its_probability(
    middle: int, cells: int, off: int, last: int, data: st.DataObject
) -> None:
    """Guarantee of dpfedsyn.lattice.fine: Total variation at most 2^-114 per draw: near its
    acceptance, to the last of 160 bits, the word decides as mpmath's ratio of cell probabilities
    does; a rejected one is proposed again within the same coarse cell."""
    offset = data.draw(st.integers(-(cells // 2), cells // 2))
    cell = middle * cells + offset
    limit = acceptance(cell, middle, cells)
    uniform = min(max((limit >> 128) + off, 0), 2**32 - 1)
    further = min(max(limit % 2**128 + last, 0), 2**128 - 1)
    stream = Asked(
        [middle + MIDDLE, uniform << 32 | proposing(offset, cells), proposing(0, cells)],
        [further >> 64, further % 2**64],
    )
    accepted = (uniform << 128 | further) < limit
    assert fine(stream, 1, cells).tolist() == [cell if accepted else middle * cells]
    assert len(stream.singles) == (1 if accepted else 0)
    assert stream.asked_further or uniform != limit >> 128


@given(st.integers(-OWN, OWN), ODD.filter(lambda cells: cells > 1 and 2**32 % cells), st.data())
def test_a_proposal_that_would_be_uneven_is_refused(
    middle: int, cells: int, data: st.DataObject
) -> None:
    """Low halves whose product falls below 2^32 mod m: with them some cells would have one more
    word than others. The first of a cell's words is one exactly where its remainder is so small."""
    offset = data.draw(st.integers(-(cells // 2), cells // 2))
    first = -(-(offset + cells // 2) * 2**32 // cells)
    refused = first * cells % 2**32 < 2**32 % cells
    stream = Asked([middle + MIDDLE, first, proposing(0, cells)], [])
    assert fine(stream, 1, cells).tolist() == [middle * cells + (0 if refused else offset)]


@pytest.mark.parametrize("cells", [3, 1127])
def test_fine_draws_lie_in_the_coarse_cells_that_were_drawn(cells: int) -> None:
    """Rounded to coarse cells they are the coarse draws of the same words: rejection keeps k."""
    draws = fine(Keystream(KEY), lattice._CHUNK, cells)
    assert np.array_equal(np.rint(draws / cells), coarse(Keystream(KEY), lattice._CHUNK))
    offsets = draws - np.rint(draws / cells).astype(np.int64) * cells + cells // 2
    assert offsets.min() >= 0
    assert offsets.max() < cells
    assert len(np.unique(offsets)) > 0.99 * cells


def test_cells_that_cannot_be_divided_are_a_bug() -> None:
    """An even number of fine cells, none, or too many."""
    for cells in (0, 2, -3, 2**30 + 1):
        with pytest.raises(AssertionError, match="odd"):
            fine(Keystream(KEY), 1, cells)
        with pytest.raises(AssertionError, match="odd"):
            Lattice(1.0, cells, 1.0)


STDS = st.floats(1e-6, 1e6)


@given(STDS, st.floats(1e-3, 1e3))
def test_a_fine_lattice_draws_at_least_the_noise_that_is_charged(std: float, bound: float) -> None:
    """1024 m g is in [std, std (1 + 2^-51)], g <= bound / 2^20, m odd and the least that fits."""
    try:
        found = lattice_for(std, bound)
    except MechanismError:
        assert std / bound >= 2.0**20 * (1.0 - 1e-9) or std / bound < 2.0**-39
        return
    drawn = Fraction(found.spacing) * COARSE * found.cells
    assert Fraction(std) <= drawn <= Fraction(std) * (1 + Fraction(2) ** -51)
    assert Fraction(found.spacing) <= Fraction(bound) / CELLS_PER_BOUND
    assert found.cells % 2 == 1
    fewer = found.cells - 4
    assert fewer < 0 or std / (COARSE * fewer) > bound / CELLS_PER_BOUND


@given(STDS)
def test_a_coarse_lattice_is_exact(std: float) -> None:
    """g = std / 1024 without rounding; noise is drawn from its table."""
    found = coarse_lattice(std, 1.0)
    assert Fraction(found.spacing) * COARSE == Fraction(std)
    assert found.cells == 1
    assert np.array_equal(found.noise(Keystream(KEY), 9), coarse(Keystream(KEY), 9))


def test_a_fine_lattice_draws_fine_noise() -> None:
    """Std of a million draws within five of its errors."""
    found = lattice_for(1.1, 1.0)
    noise = found.spacing * found.noise(Keystream(KEY), 10**6)
    assert math.isclose(noise.std(), 1.1, rel_tol=5.0 / math.sqrt(2e6))


@pytest.mark.parametrize("std", [0.0, -1.0, math.nan, math.inf, 1e-300, 1e-16])
def test_noise_that_no_lattice_holds_is_refused(std: float) -> None:
    """By public numbers alone: zero, not finite, or far too small for the bound."""
    for make in (coarse_lattice, lattice_for):
        with pytest.raises(MechanismError, match="noise of std"):
            make(std, 1.0)
        for bound in (0.0, -1.0, math.nan, math.inf):
            with pytest.raises(MechanismError, match="on a bound of"):
                make(1.0, bound)
    with pytest.raises(MechanismError, match="less noise"):
        lattice_for(1e7, 1.0)


def test_a_lattice_with_less_noise_than_charged_cannot_be_made() -> None:
    """Not even by one unit in the last place."""
    found = lattice_for(1.1, 1.0)
    with pytest.raises(AssertionError, match="less noise"):
        Lattice(math.nextafter(found.spacing, 0.0), found.cells, found.std)


@given(st.floats(0.0, 40.0), st.integers(-20, -3).map(lambda n: 10.0**n), st.integers(0, 10**9))
@example(0.0, 1e-20, 10**9)
def test_the_claims_delta_pays_for_the_sampler_on_both_sides(
    epsilon: float, delta: float, draws: int
) -> None:
    """Guarantee of dpfedsyn.lattice.delta_with_noise: Whatever is (epsilon, delta)-DP: delta' is
    delta + (1 + e^epsilon)(tau + tau_prg), rounded up; refused beyond delta (1 + 1 / 1000)."""
    tau = Fraction(draws) * Fraction(2) ** -114
    advantage = Fraction(2 * draws + 1) ** 2 / Fraction(2) ** 129
    growth = 1 + Fraction(float(mpmath.exp(epsilon)))
    added = growth * (tau + advantage) if draws else Fraction(0)
    try:
        found = Fraction(delta_with_noise(delta, epsilon, draws))
    except MechanismError:
        assert added * 1001 > Fraction(delta)
        return
    assert added * 1000 <= Fraction(delta) * (1 + Fraction(1, 10**9))
    right = Fraction(delta) + added
    assert min(1, right) <= found <= right * (1 + Fraction(1, 10**9))


@given(st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12).filter(any), st.floats(0.0, 3.0))
def test_a_sampler_that_is_off_costs_one_tau_and_e_epsilon_more(
    parts: list[float], epsilon: float
) -> None:
    """Any two laws, both replaced by others at distance tau: the divergence grows by at most
    (1 + e^epsilon) tau. The next test has laws for which tau alone is too little."""
    masses = np.array(parts).reshape(4, 3) + 1e-3
    p, q, near_p, near_q = masses / masses.sum(axis=1, keepdims=True)
    growth = math.exp(epsilon)
    tau = max(0.5 * np.abs(p - near_p).sum(), 0.5 * np.abs(q - near_q).sum())
    before = np.maximum(p - growth * q, 0.0).sum()
    after = np.maximum(near_p - growth * near_q, 0.0).sum()
    assert after <= before + (1.0 + growth) * tau + 1e-12


def test_tau_without_e_epsilon_would_be_too_little() -> None:
    """P = (e^eps q, ...), Q = (q, ...): delta 0; moving tau out of Q's first place costs
    e^epsilon tau, and tau into P's another one."""
    epsilon, tau, q = 2.0, 0.01, 0.05
    p_after, q_after = math.exp(epsilon) * q + tau, q - tau
    cost = p_after - math.exp(epsilon) * q_after
    assert math.isclose(cost, (1.0 + math.exp(epsilon)) * tau)
    assert cost > 5.0 * tau


def test_the_target_of_fifty_million_draws_is_met_and_a_large_epsilon_is_refused() -> None:
    """epsilon 20, delta 1e-5, 5e7 draws: below delta / 1000; at epsilon 43 there is no claim."""
    draws = 50_000_000
    assert (1.0 + math.exp(20.0)) * total_variation(draws) < 1e-8
    assert 1e-5 < delta_with_noise(1e-5, 20.0, draws) < 1.0001e-5
    for epsilon in (43.0, 1e4, math.inf, math.nan):
        with pytest.raises(MechanismError, match=r"no \(epsilon, delta\) is claimed"):
            delta_with_noise(1e-5, epsilon, draws)
    with pytest.raises(MechanismError, match="smaller epsilon or fewer draws"):
        delta_with_noise(0.0, 1.0, 1)
    assert delta_with_noise(1e-5, 1e4, 0) == 1e-5


def test_blocks_of_a_draw_are_within_what_the_generator_is_charged_for() -> None:
    """Words per draw, squared: coarse 1, fine below 5 on average, where 16 are counted."""
    assert generator_advantage(10**6) > (10**6 / 2) ** 2 / 2.0**129
    for cells in (3, 3 * 2**28 + 1):
        stream = Counting()
        fine(stream, 20_000, cells)
        assert stream.count < 2.4 * 20_000


class Counting:
    """A keystream that counts its words."""

    def __init__(self) -> None:
        self.count, self._stream = 0, Keystream(KEY)

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return the next ones."""
        self.count += count
        return self._stream.words(count)


def test_the_table_is_built_when_noise_is_first_drawn() -> None:
    """Weights reach 12.8 standard deviations; importing builds nothing."""
    assert 12.7 < len(weights()) / COARSE < 12.8
    assert alias_table() is alias_table()
