"""Noise that is Gaussian in fact: integers on a lattice g Z, added to integers.

Floating-point Gaussians leak (Mironov 2012; Haney et al. 2022). Here what a silo answers is
truncated onto the lattice, its norm is checked in integers, and the noise is round(N(0, (s/g)^2))
from a cryptographic keystream. For integers x, x + round(Z) = round(x + Z) is post-processing of
the ideal Gaussian mechanism. `LATTICE_NOISE.md`, beside this file, has the proofs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import MechanismError
from dpfedsyn.rounded_gaussian import COARSE, INDEX_BITS, RATIO_BITS, alias_table, ratio
from dpfedsyn.truncation import Integers, checked, truncate, within

__all__ = [
    "COARSE",
    "Lattice",
    "Words",
    "checked",
    "coarse",
    "coarse_lattice",
    "delta_with_noise",
    "fine",
    "generator_advantage",
    "lattice_for",
    "total_variation",
    "truncate",
    "within",
]

SAMPLER = (
    "rounded Gaussian on a lattice (alias table of 2^17 cells in 128-bit weights, thresholds of "
    "111 bits) from an AES-256-CTR keystream, one key per charge"
)
PER_DRAW = 2.0**-114  # total variation of one draw, coarse or fine
CELLS_PER_BOUND = 2**20  # of a fine lattice, at least
MOST_CELLS = 2**30  # fine cells in a coarse one
MOST_STEPS = 2.0**50  # spacings in a bound; truncation is exact up to 2^51

_CHUNK = 2**14  # draws whose words and cells fit into a core's cache
_INDEX = np.uint64(2**INDEX_BITS - 1)
_LOW, _HALF = np.uint64(2**32 - 1), np.uint64(32)
# A fine cell is accepted at least exp(-13 / 1024) times, and within 2^-29 of its densities' ratio.
_SURE, _DOUBT = int(0.987 * 2.0**32), 2.0**4  # in units of 2^-32


class Words(Protocol):
    """A source of uniform 64-bit words: a `Keystream`, or chosen words in a test."""

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return the next `count` words."""
        ...


@dataclass(frozen=True)
class Lattice:
    """Spacing g and noise std of one release; std / g is 1024 cells, or a hair more.

    g is any float, not a power of two, since std would have to double to meet one. On a coarse
    lattice (cells = 1) g = std / 1024 is exact. On a fine one g is rounded up, so that the noise
    that is drawn, 1024 cells g, is at least the `std` that is charged.
    """

    spacing: float
    cells: int  # m, odd: fine cells in a coarse one
    std: float

    def __post_init__(self) -> None:
        if self.cells % 2 == 0 or not 1 <= self.cells < MOST_CELLS:
            raise AssertionError("a coarse cell has an odd number of fine cells, below 2^30")
        if Fraction(self.spacing) * COARSE * self.cells < Fraction(self.std):
            raise AssertionError("less noise than is charged")

    def noise(self, stream: Words, count: int) -> Integers:
        """Return `count` integers whose multiples of g are the noise."""
        return coarse(stream, count) if self.cells == 1 else fine(stream, count, self.cells)


def coarse_lattice(std: float, bound: float) -> Lattice:
    """Return the lattice of answers, g = std / 1024, for vectors of norm <= `bound`.

    Raises:
        MechanismError: the noise is too small for the bound.
    """
    _finite(std, bound)
    return _usable(Lattice(std / COARSE, 1, std), bound)


def lattice_for(std: float, bound: float) -> Lattice:
    """Return the lattice of counts, moments and DP-SGD: g <= bound / 2^20.

    Truncation at std / 1024 would eat the signal of a single record; at a millionth of its bound
    it is lost in the noise.

    Raises:
        MechanismError: the noise is too small, or too large, for the bound.
    """
    _finite(std, bound)
    most = Fraction(bound) / CELLS_PER_BOUND
    cells = math.ceil(Fraction(std) / (COARSE * most)) | 1
    if cells >= MOST_CELLS:
        raise MechanismError(
            f"noise of std {std:g} on a bound of {bound:g}: a lattice that is fine enough for the "
            f"bound would have over {MOST_CELLS} cells in a coarse one. Ask for less noise, below "
            f"{bound * 2.0**20:g}; a budget that needs more buys nothing."
        )
    return _usable(Lattice(_rounded_up(Fraction(std) / (COARSE * cells)), cells, std), bound)


def coarse(stream: Words, count: int) -> Integers:
    """Return independent integers with the law round(N(0, 1024^2)), one word each.

    The word's low 17 bits are the cell, the other 47 the first of a threshold's 111 uniform bits;
    64 further ones are drawn where they tie (2^-47 of the draws).

    Guarantee:
        Total variation at most 2^-114 per draw for uniform words: each integer has the
        probability weight / 2^128 of `rounded_gaussian.weights`, exactly.
    """
    table, draws = alias_table(), np.empty(count, dtype=np.int64)
    for start in range(0, count, _CHUNK):
        words = stream.words(min(_CHUNK, count - start))
        cells = (words & _INDEX).view(np.int64)
        heads = table.heads.take(cells, mode="clip")
        kept = (words | _INDEX) < heads
        ties = (words ^ heads) <= _INDEX
        if ties.any():
            kept[ties] = stream.words(int(ties.sum())) < table.tails[cells[ties]]
        draws[start : start + _CHUNK] = np.where(kept, cells, (heads & _INDEX).view(np.int64))
    draws -= 2 ** (INDEX_BITS - 1)
    return draws


def fine(stream: Words, count: int, cells: int) -> Integers:
    """Return independent integers with the law round(N(0, (1024 cells)^2)), `cells` odd.

    A coarse cell first; then one of its fine cells, proposed uniformly (Lemire 2019) and accepted
    with P(cell) / P(the cell nearest to 0), again and again within the same coarse cell.

    Guarantee:
        Total variation at most 2^-114 per draw for uniform words: cell probabilities decide, not
        densities at lattice points, and where 32 bits cannot decide, 160 do.
    """
    if cells % 2 == 0 or not 1 <= cells < MOST_CELLS:
        raise AssertionError("a coarse cell has an odd number of fine cells, below 2^30")
    draws = np.empty(count, dtype=np.int64)
    for start in range(0, count, _CHUNK):
        middles = coarse(stream, min(_CHUNK, count - start)) * cells
        open_ = np.arange(start, start + len(middles))
        while len(open_) > 0:
            proposed, accepted = _propose(stream, middles[open_ - start], cells)
            draws[open_[accepted]] = proposed[accepted]
            open_ = open_[~accepted]
    return draws


def _propose(stream: Words, middles: Integers, cells: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Return one proposed fine cell within each coarse one, and whether it is accepted."""
    words = stream.words(len(middles))
    products = (words & _LOW) * np.uint64(cells)
    accepted = (products & _LOW) >= np.uint64(2**32 % cells)
    proposed = middles + (products >> _HALF).view(np.int64) - cells // 2
    uniforms = (words >> _HALF).view(np.int64)
    unsure = np.nonzero(accepted & (uniforms >= _SURE))[0]
    far = np.abs(proposed[unsure])
    nearest = np.maximum(np.abs(middles[unsure]) - cells // 2, 0)
    std = COARSE * cells
    falls = (far - nearest).astype(np.float64) * (far + nearest) / (2.0 * std * std)
    ratios = 2.0**32 * np.exp(-falls)
    uniform = uniforms[unsure]
    accepted[unsure] = uniform < ratios
    for place in np.nonzero(np.abs(uniform + 0.5 - ratios) < _DOUBT + 0.5)[0]:
        further = int.from_bytes(stream.words(2).astype(">u8").tobytes(), "big")
        exact = int(uniform[place]) << RATIO_BITS - 32 | further
        accepted[unsure[place]] = exact < ratio(int(far[place]), int(nearest[place]), std)
    return proposed, accepted


def total_variation(draws: int) -> float:
    """Return a certified bound on the total variation between `draws` draws and Gaussian ones."""
    return draws * PER_DRAW


def generator_advantage(draws: int) -> float:
    """Return how well AES-256-CTR can be told from uniform words, if AES-256 is a permutation.

    A keystream never repeats a block: q^2 / 2^129 for q blocks of one key (Bellare & Rogaway 2006),
    and less if several keys share them. A draw takes at most 4 words in root mean square, two of
    which make a block. That AES-256 and HKDF-SHA256 are as good as random is assumed, not counted.
    """
    return (2.0 * draws + 1.0) ** 2 * 2.0**-129


def delta_with_noise(delta: float, epsilon: float, draws: int) -> float:
    """Return delta' = min(1, delta + (1 + e^epsilon) (tau + tau_prg)): the claim's delta.

    tau is the `total_variation` and tau_prg the `generator_advantage` of all the draws that the
    claim covers, a cap fixed beforehand. It is applied once, after all composition.

    Guarantee:
        Whatever is (epsilon, delta)-DP with ideal noise is (epsilon, delta')-DP with this noise,
        in each direction: tau is lost once for P and e^epsilon times for Q.

    Raises:
        MechanismError: what is added exceeds delta / 1000: there is no claim to print.
    """
    growth = (1.0 + math.exp(min(epsilon, 700.0))) * (1.0 + 2.0**-40)
    apart = total_variation(draws) + generator_advantage(draws)
    added = growth * apart if draws else 0.0
    if not added <= delta / 1000.0:
        raise MechanismError(
            f"epsilon = {epsilon:g} for {draws} draws of noise: sampler and generator together add "
            f"{added:.2g} to delta, more than delta / 1000 = {delta / 1000:g}, so that no "
            "(epsilon, delta) is claimed. State a smaller epsilon or fewer draws."
        )
    return min(1.0, math.nextafter(delta + added, 2.0) if draws else delta)


def _finite(std: float, bound: float) -> None:
    if not (0.0 < std < math.inf and 0.0 < bound < math.inf):
        raise MechanismError(
            f"noise of std {std} on a bound of {bound}: both must be positive and finite, or there "
            "is no lattice to draw on. Give a finite bound and a finite noise."
        )


def _usable(lattice: Lattice, bound: float) -> Lattice:
    """Refuse a lattice on which the bound, or a float, could not be told."""
    if not (lattice.spacing >= 2.0**-900 and bound / lattice.spacing <= MOST_STEPS):
        raise MechanismError(
            f"noise of std {lattice.std:g} on a bound of {bound:g}: the lattice has spacing "
            f"{lattice.spacing:g}, too fine for integers of 51 bits. Ask for more noise, above "
            f"{bound * COARSE * lattice.cells / MOST_STEPS:g}."
        )
    return lattice


def _rounded_up(value: Fraction) -> float:
    near = float(value)
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)
