"""Upper log moments of sampled steps at quarter-octaves of theta, and where a saddle lies."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accountants.parts import Sampled
from accountants.tilted import log_moments

Array = NDArray[np.float64]
Places = NDArray[np.int64]

PER_OCTAVE = 4
_BLOCK = 16  # thetas that are computed together
_BLOCKS = range(-4, 5)
_BEHIND, _AHEAD = 3, 8
_LARGEST_MOMENT = 1e5
_FARTHEST = 1e4  # theta^2 / (2 sigma^2): by then the tilted mass has moved to the far peak for good


def thetas(first: int, last: int) -> Array:
    """Theta at the places first, ..., last - 1."""
    places: Array = np.exp2(np.arange(first, last) / PER_OCTAVE)
    return places


def table(sampled: Sampled, direction: int, place: int) -> tuple[int, Array, Array]:
    """Return (first place, thetas, upper K) of a place's block and of those that it needs beside.

    K is infinite where it cannot be had or is of no use.
    """
    low = max((place - _BEHIND) // _BLOCK, _BLOCKS.start)
    high = min((place + _AHEAD) // _BLOCK + 1, _BLOCKS.stop)
    return _blocks(sampled, direction, low, high)


def best(
    sampled: Sampled,
    direction: int,
    guess: float,
    height: Callable[[Array, Array], Array],
) -> tuple[Places, Array]:
    """Return (place, upper K there) where each row of height(thetas, K), (k, m), is least.

    Heights are convex in theta, so it does not matter from which guess the table was grown.
    """
    own = math.floor(PER_OCTAVE * math.log2(guess) / _BLOCK)
    own = min(max(own, _BLOCKS.start), _BLOCKS.stop - 1)
    low, high = own, own + 1
    while True:
        first, t, upper = _blocks(sampled, direction, low, high)
        with np.errstate(invalid="ignore"):
            found = np.argmin(np.where(np.isfinite(upper), height(t, upper), np.inf), axis=1)
        if low > _BLOCKS.start and (found < 1).any():
            low -= 1
        elif high < _BLOCKS.stop and (found > t.size - 2).any() and math.isfinite(upper[-1]):
            high += 1
        else:
            return found + first, upper[found]


@lru_cache(maxsize=256)
def wall(sampled: Sampled, direction: int) -> int:
    """Return the last place at which K is known and finite."""
    for block in range(_BLOCKS.start, _BLOCKS.stop):
        finite = np.flatnonzero(np.isfinite(_block(sampled, direction, block)))
        if finite.size < _BLOCK:
            return block * _BLOCK + int(finite.size) - 1
    return _BLOCKS.stop * _BLOCK - 1


@lru_cache(maxsize=512)
def _blocks(sampled: Sampled, direction: int, low: int, high: int) -> tuple[int, Array, Array]:
    t = thetas(low * _BLOCK, high * _BLOCK)
    upper = np.concatenate([_block(sampled, direction, b) for b in range(low, high)])
    return low * _BLOCK, t, upper


@lru_cache(maxsize=2048)
def _block(sampled: Sampled, direction: int, block: int) -> Array:
    t = thetas(block * _BLOCK, (block + 1) * _BLOCK)
    total = np.zeros_like(t)
    for (rate, sigma), count in sampled:
        usable = t[t * t <= 2 * _FARTHEST * sigma * sigma]
        moments = None
        if usable.size:
            moments = log_moments(rate, sigma, direction, tuple(usable.tolist()))
        total[: usable.size] += np.inf if moments is None else count * moments
        total[usable.size :] = np.inf
    total[total > _LARGEST_MOMENT] = np.inf
    return total
