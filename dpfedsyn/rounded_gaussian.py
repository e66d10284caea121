"""The law round(N(0, s^2)) in integer arithmetic: cell probabilities and their alias table.

Nothing here is a float: a cell's weight is an integer out of 2^128, and the alias table (Walker
1977; Vose 1991) is built from those integers exactly, so that the law that is sampled is known to
the last bit. `LATTICE_NOISE.md`, beside this file, bounds its distance from the Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache

import numpy as np
from numpy.typing import NDArray

COARSE = 1024  # s of the table: standard deviation in lattice spacings
INDEX_BITS = 17  # 2^17 cells, from -64 s to 64 s
WEIGHT_BITS = 128  # weights are integers that sum to 2^128
HEAD_BITS = 64 - INDEX_BITS  # of a threshold, beside the index in the first word
TAIL_BITS = 64  # of a threshold, read where the head ties
RATIO_BITS = 160

_POINT = 192  # bits behind the binary point of every fixed-point number here
_TERMS = 18
_DECIMAL = Context(prec=70)


@dataclass(frozen=True)
class AliasTable:
    """Threshold and alias of each of the 2^17 cells; cell i stands for the integer i - 2^16.

    Attributes:
        heads: (2^17,) uint64; the threshold's first 47 bits, then the alias in the low 17.
        tails: (2^17,) uint64; the threshold's last 64 bits.
    """

    heads: NDArray[np.uint64]
    tails: NDArray[np.uint64]


def averaged(cell: int, std: int) -> int:
    """Return p / (h phi(z)) times 2^192: the density's mean over a cell, relative to its middle.

    For N(0, std^2), h = 1 / std and z = cell / std, the mean of phi over [z - h/2, z + h/2] is
    phi(z) sum_i (h/2)^(2i) He_2i(z) / (2i + 1)!. With a_n = (h/2)^n He_n(z) / n! the Hermite
    recurrence reads a_(n+1) = (2 cell a_n - a_(n-1)) / (4 std^2 (n + 1)). Wrong by less than
    2^-187 for std >= 1024 and |z| <= 17.
    """
    before, term, total = 0, 1 << _POINT, 1 << _POINT
    for n in range(_TERMS):
        before, term = term, (2 * cell * term - before) // (4 * std * std * (n + 1))
        if n % 2 == 1:
            total += term // (n + 2)
    return total


@cache
def weights() -> tuple[int, ...]:
    """Return the weights of the integers 0, 1, 2, ... under round(N(0, 1024^2)), out of 2^128.

    -k weighs what k does and what is not listed weighs nothing: beyond 12.8 standard deviations a
    cell has less than 2^-129. Each weight but that of 0 is its probability times 2^128, rounded;
    0 takes what is left, so that all of them sum to 2^128 exactly.
    """
    # exp(-k^2 / 2 s^2) by its own recurrence: density *= step; step *= shrink.
    density, step = 1 << _POINT, _exp(-1, 2 * COARSE**2)
    shrink, cells = _exp(-2, 2 * COARSE**2), list[int]()
    while density:
        cells.append(density * averaged(len(cells), COARSE) >> _POINT)
        density, step = density * step >> _POINT, step * shrink >> _POINT
    whole = 2 * sum(cells) - cells[0]
    one = 1 << WEIGHT_BITS
    rounded = [(2 * one * cell + whole) // (2 * whole) for cell in cells]
    listed = [weight for weight in rounded if weight]
    return (one - 2 * sum(listed[1:]), *listed[1:])


@cache
def alias_table() -> AliasTable:
    """Return the table: cell i keeps its own mass where 111 uniform bits lie below its threshold.

    Guarantee:
        An index that is uniform over 2^17 and a threshold's 111 bits that are uniform give each
        integer with probability weight / 2^128, exactly: every step of the construction is in
        integers.
    """
    full = 1 << HEAD_BITS + TAIL_BITS
    half = [*weights()[1:]]
    unused = [0] * (2 ** (INDEX_BITS - 1) - 1 - len(half))
    mass = [0, *unused, *reversed(half), weights()[0], *half, *unused]
    alias = list(range(len(mass)))
    small = [cell for cell, own in enumerate(mass) if own < full]
    large = [cell for cell, own in enumerate(mass) if own > full]
    while small:
        taker, giver = small.pop(), large[-1]
        alias[taker] = giver
        mass[giver] -= full - mass[taker]
        if mass[giver] <= full:
            large.pop()
            if mass[giver] < full:
                small.append(giver)
    # A cell that is full and its own alias needs no threshold; 2^111 would not fit.
    low, index = (1 << TAIL_BITS) - 1, np.array(alias, dtype=np.uint64)
    heads = np.array([own % full >> TAIL_BITS for own in mass], dtype=np.uint64)
    tails = np.array([own & low for own in mass], dtype=np.uint64)
    return AliasTable(heads << np.uint64(INDEX_BITS) | index, tails)


def ratio(cell: int, nearest: int, std: int) -> int:
    """Return P(cell) / P(nearest) under round(N(0, std^2)), times 2^160, rounded down.

    Both are probabilities of cells, not densities at lattice points; wrong by less than 2^-170
    before it is rounded. |cell| >= |nearest|, so that the ratio is at most 1.
    """
    fall = _exp(nearest**2 - cell**2, 2 * std**2)
    whole = fall * averaged(cell, std) // averaged(nearest, std)
    return whole >> _POINT - RATIO_BITS


def _exp(numerator: int, denominator: int) -> int:
    """Return exp(numerator / denominator) times 2^192, rounded down; at most one unit off."""
    exponent = _DECIMAL.divide(Decimal(numerator), Decimal(denominator))
    return int(_DECIMAL.multiply(_DECIMAL.exp(exponent), Decimal(1 << _POINT)))
