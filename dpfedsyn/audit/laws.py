"""Exact tests of integers that should be independent draws of round(N(0, std^2)).

Every p-value is valid at any sample size: quantiles of chi-square and of the normal's extremes, the
Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant, inner products given one of their
sides, and Markov's bound on repetitions. Rounding moves a Gaussian draw by half a spacing at most;
where that could matter the statistic is first moved by it towards its centre.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtr, chdtrc, log_ndtr, ndtr

from dpfedsyn.noise import Keystream

Array = NDArray[np.float64]

WINDOW = 8  # draws in a row that never come twice: (2.8e-4)^8 for any two windows at std 1024


def gaussian(draws: Array, std: float) -> dict[str, float]:
    """Return p-values of the draws (N, d) of one release: law, scale and independence inside it."""
    flat = draws.ravel()
    return {
        "mean": inner(flat, np.ones(flat.size), std),
        "variance": variance(flat, std),
        "law": law(flat, std),
        "extremes": extremes(flat, std),
        "rows together": together(draws, std),
        "coordinates together": together(draws.T, std),
        "neighbouring rows": neighbours(draws, std),
        "neighbouring coordinates": neighbours(draws.T, std),
    }


def variance(flat: Array, std: float) -> float:
    """Sum of squares over std^2, two-sided, exact chi-square; 1/12 per draw is the rounding's."""
    return _chi_square(float(flat @ flat) - flat.size / 12.0, std, flat.size)


def together(draws: Array, std: float) -> float:
    """What rows share: squared column sums over N std^2, two-sided, chi-square of d."""
    rows, columns = draws.shape
    sums = draws.sum(axis=0)
    return _chi_square((float(sums @ sums) / rows - columns / 12.0), std, columns)


def law(flat: Array, std: float) -> float:
    """Largest distance of the empirical law from round(N(0, std^2))'s: 2 exp(-2 n D^2) at most."""
    values, counts = np.unique(np.rint(flat), return_counts=True)
    upto = np.cumsum(counts) / flat.size
    before = np.concatenate([[0.0], upto[:-1]])
    at, below = ndtr((values + 0.5) / std), ndtr((values - 0.5) / std)
    distance = max(float(np.abs(upto - at).max()), float(np.abs(before - below).max()))
    return min(1.0, 2.0 * math.exp(-2.0 * flat.size * distance**2))


def extremes(flat: Array, std: float) -> float:
    """The largest absolute draw, two-sided: cut tails are too short, wrong scales too long."""
    most = float(np.abs(flat).max())
    tails = [2.0 * float(ndtr(-max(most + half, 0.0) / std)) for half in (0.5, -0.5)]
    shorter = math.exp(flat.size * math.log1p(-tails[0]))
    longer = 1.0 if tails[1] == 1.0 else -math.expm1(flat.size * math.log1p(-tails[1]))
    return min(1.0, 2.0 * min(shorter, longer))


def neighbours(draws: Array, std: float) -> float:
    """Inner product of every second row with the next one."""
    pairs = len(draws) // 2
    if pairs == 0:
        return 1.0
    return inner(draws[0 : 2 * pairs : 2], draws[1 : 2 * pairs : 2], std)


def inner(draws: Array, weights: Array, std: float) -> float:
    """<draws, weights>, two-sided: N(0, std^2 |weights|^2) where the weights are independent."""
    weights = weights.ravel()
    norm = float(np.sqrt(weights @ weights))
    if norm == 0.0:
        return 1.0
    product, rounding = abs(float(draws.ravel() @ weights)), 0.5 * float(np.abs(weights).sum())
    return min(1.0, 2.0 * math.exp(log_ndtr(-max(product - rounding, 0.0) / (std * norm))))


def repeats(vectors: Sequence[NDArray[np.int64]], std: float) -> tuple[float, int]:
    """Return (p-value, windows): runs of `WINDOW` draws that come twice anywhere, at any offset.

    By Markov's inequality the chance of a repetition is at most the expected number of equal pairs.
    A window equals another with probability at most (1 / (sqrt(2 pi) std))^WINDOW, that of the
    likeliest one, also where both overlap: each draw is then determined by an earlier one.
    """
    long = [vector.ravel() for vector in vectors if vector.size >= WINDOW]
    views = [np.lib.stride_tricks.sliding_window_view(vector, WINDOW) for vector in long]
    count = sum(len(view) for view in views)
    if count < 2:
        return 1.0, count
    # Equal windows have equal sums of products; those few that agree are compared whole.
    multipliers = Keystream(bytes(32)).words(WINDOW) | np.uint64(1)
    sums = np.concatenate([_products(vector, multipliers) for vector in long])
    order = np.argsort(sums, kind="stable")
    alike = np.flatnonzero(sums[order[1:]] == sums[order[:-1]])
    starts = np.cumsum([0, *(len(view) for view in views)])

    def window(place: int) -> NDArray[np.int64]:
        which = int(np.searchsorted(starts, place, side="right")) - 1
        found: NDArray[np.int64] = views[which][place - starts[which]]
        return found

    repeated = any(
        np.array_equal(window(int(order[place])), window(int(order[place + 1]))) for place in alike
    )
    expected = 0.5 * count * (count - 1.0) / (math.sqrt(2.0 * math.pi) * std) ** WINDOW
    return (min(1.0, expected) if repeated else 1.0), count


def _products(vector: NDArray[np.int64], multipliers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words, length = vector.astype(np.uint64), vector.size - WINDOW + 1
    total = np.zeros(length, dtype=np.uint64)
    for place, multiplier in enumerate(multipliers):
        total += words[place : place + length] * multiplier
    return total


def _chi_square(squares: float, std: float, degrees: int) -> float:
    value = max(squares, 0.0) / std**2
    return min(1.0, 2.0 * min(float(chdtr(degrees, value)), float(chdtrc(degrees, value))))
