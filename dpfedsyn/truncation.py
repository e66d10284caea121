"""Real vectors onto a lattice g Z, toward zero, and their norms checked in integers.

What is private here is decided by `within`, in integers: no float's last bit and no rounding of a
norm enters the sensitivity. `truncate` is exact so that a clipped row never fails that check.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

MOST = 2.0**51  # spacings; beyond, a quotient's last bit is no longer below a quarter

_CHUNK = 2**14  # values whose quotients fit into a core's cache


def truncate(values: NDArray[np.floating], spacing: float) -> Integers:
    """Return values / g, truncated toward zero; non-finite values become 0.

    Values beyond 2^51 spacings become +-2^51, more than a `Lattice` can hold.

    Guarantee:
        |k| g <= |value| in real numbers, for every float64 value and spacing: no norm grows.
        Division rounds a quotient just below an integer up to it; that case is seen by the exact
        remainder (fmod has no rounding) and taken back.
    """
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    whole = np.empty(flat.shape, dtype=np.int64)
    for start in range(0, len(flat), _CHUNK):
        whole[start : start + _CHUNK] = _truncated(flat[start : start + _CHUNK], spacing)
    return whole.reshape(values.shape)


def _truncated(values: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    known = values if np.isfinite(values).all() else np.where(np.isfinite(values), values, 0.0)
    with np.errstate(over="ignore", under="ignore"):
        quotients = known / spacing
    np.clip(quotients, -MOST, MOST, out=quotients)
    whole = np.trunc(quotients)
    doubtful = np.flatnonzero(whole == quotients)
    remainders = np.fmod(np.abs(known[doubtful]), spacing)
    rounded_up = (remainders > 0.5 * spacing) & (np.abs(whole[doubtful]) < MOST)
    whole[doubtful] -= np.where(rounded_up, np.sign(known[doubtful]), 0.0)
    return whole


def within(ints: Integers, bound: float, spacing: float) -> NDArray[np.bool_]:
    """Return which rows (N,) of ints (N, d) satisfy sum k^2 <= floor((bound / g)^2), exactly.

    Guarantee:
        A row that passes, times g, has L2 norm <= bound in real numbers: the limit is computed
        from the floats' exact values and the sum in integers that cannot overflow.
    """
    limit = math.floor((Fraction(bound) / Fraction(spacing)) ** 2)
    longest = math.isqrt(limit)
    near = (ints <= longest) & (ints >= -longest)
    small = np.asarray(near.all(axis=1), dtype=np.bool_)
    if longest**2 * ints.shape[1] < 2**63:
        squares = np.einsum("nd,nd->n", ints, ints)  # overflows only in rows that are not small
    else:
        squares = np.array([sum(k * k for k in row) for row in ints.tolist()], dtype=object)
    return small & np.asarray(squares <= limit, dtype=np.bool_)


def checked(rows: NDArray[np.floating], bound: float, spacing: float) -> Integers:
    """Return rows (N, d) truncated onto the lattice; a row longer than `bound` becomes zeros.

    Guarantee:
        Every returned row, times g, has L2 norm <= bound in real numbers, whatever the rows hold.
    """
    ints = truncate(rows, spacing)
    ints[~within(ints, bound, spacing)] = 0
    return ints
