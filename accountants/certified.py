"""Which contour answers which question: certified delta and epsilon of Gaussians and sampled ones.

A contour is best where its theta is the saddle of K(s) - s eps. Thetas are therefore cut into
half-octaves; each question falls, by its epsilon and mu^2 alone, into one of these cells and is
answered by the cell's contour, which is made once. Asked again in any company, it gets the same
answer.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountants.contour import Contour, Offer, contour
from accountants.parts import Sampled
from accountants.rdp import conversion
from accountants.saddle import PER_OCTAVE, Places, best, table, wall

Array = NDArray[np.float64]

_WANTED = (1e-10, 1e-6)  # relative widths of delta that a contour aims for; the second if dear
_NEARBY = (0, 1, -1, -2, -4, -6, -9, -12)  # places tried beside a cell's own
_MOST_TRIED = 4
_CHEAP = 60.0  # frequencies below which no other place is tried first
_SMALL_SHARE = 8.0  # mu^2 below the sampled steps' own spread over this counts as down to 0
_LEAST_LOG_DELTA = -60.0
_HUGE = 1e9  # stands for a K that is infinite or of no use
_CLOSE = 1e-12  # of log delta: where the search ends
_FAR = 1.0  # of log delta: where another contour may serve better
_SEARCH = 60
_DOUBLINGS = 40


class Cell(NamedTuple):
    """A half-octave of theta and an octave of mu^2; `lowest`: epsilons down to 0 fall in it."""

    place: int
    lowest: bool
    least_mu2: float
    most_mu2: float


class Corner(NamedTuple):
    """One extreme question that a cell serves, and about its answer."""

    mu2: float
    epsilon: float
    log_delta: float


def delta_bounds(
    sampled: Sampled, direction: int, mu2: Array, epsilon: Array
) -> tuple[Array, Array]:
    """Return certified (lower, upper) delta of sampled steps beside Gaussians of total mu^2.

    Args:
        mu2, epsilon: (k,) each, epsilon >= 0.
    Returns:
        (k,) each; 0 and 1 where no contour closes.
    Guarantee:
        lower <= delta(epsilon) <= upper, by the certificate of the contours.
    """
    return _evaluated(_grouped(sampled, direction, mu2, epsilon), mu2, epsilon)


def epsilon_bounds(
    sampled: Sampled, direction: int, mu2: Array, delta: float
) -> tuple[Array, Array]:
    """Return (lower, upper) epsilon >= 0 for each mu^2, (k,); 0 and infinity where none closes.

    Guarantee:
        By `delta_bounds`, delta(upper) <= delta, and delta(lower) > delta unless lower is 0.
    """
    target = math.log(delta)
    at, slope = _start(sampled, direction, mu2, target)
    lines = _grouped(sampled, direction, mu2, at)
    low, high = _over(_evaluated(lines, mu2, at), target)
    for _ in range(_SEARCH):
        moved = np.maximum(at - high / slope, 0.0)
        if ((np.abs(high) < _CLOSE) | (moved == at) | (high == -target)).all():
            break
        if (np.abs(high) > _FAR).any():
            lines = _grouped(sampled, direction, mu2, moved)
        fresh_low, fresh = _over(_evaluated(lines, mu2, moved), target)
        gap, change = moved - at, fresh - high
        falling = change * gap < 0
        slope = np.where(falling, change / np.where(falling, gap, 1.0), slope)
        at, low, high = moved, fresh_low, fresh
    margin = (np.abs(high) + _CLOSE) / -slope + 4e-16 * at
    width = (high - low) / -slope
    return _certified(sampled, direction, mu2, target, (at - width - margin, at + margin), margin)


def _certified(
    sampled: Sampled,
    direction: int,
    mu2: Array,
    target: float,
    guess: tuple[Array, Array],
    margin: Array,
) -> tuple[Array, Array]:
    """Step outward from a guess, further each time, to epsilons that were tested."""
    below, above = guess
    lower, upper = np.full_like(below, -1.0), np.full_like(above, np.inf)
    both = np.concatenate([mu2, mu2])
    for _ in range(_DOUBLINGS):
        tried = np.maximum(np.concatenate([below, above]), 0.0)
        under, over = _over(delta_bounds(sampled, direction, both, tried), target)
        lower = np.where((lower < 0) & (under[: below.size] > 0), below, lower)
        lower = np.where((lower < 0) & (below <= 0), 0.0, lower)
        upper = np.where(np.isinf(upper) & (over[above.size :] <= 0), tried[above.size :], upper)
        if (np.isfinite(upper) & (lower >= 0)).all():
            break
        margin = 2 * margin
        below, above = below - margin, above + margin
    return np.maximum(lower, 0.0), upper


def _over(bounds: tuple[Array, Array], target: float) -> tuple[Array, Array]:
    """log of (lower, upper) delta over the target."""
    lower, upper = bounds
    return np.log(np.maximum(lower, 1e-300)) - target, np.log(np.maximum(upper, 1e-300)) - target


Lines = list[tuple[Contour | None, Places]]


def _grouped(sampled: Sampled, direction: int, mu2: Array, epsilon: Array) -> Lines:
    """The contour of each cell that occurs, and which questions are for it."""
    cells = _cells(sampled, direction, mu2, epsilon)
    found: dict[Cell, list[int]] = {}
    for lane, cell in enumerate(cells):
        found.setdefault(cell, []).append(lane)
    return [(_line(sampled, direction, c), np.array(lanes)) for c, lanes in found.items()]


def _evaluated(lines: Lines, mu2: Array, epsilon: Array) -> tuple[Array, Array]:
    lower, upper = np.zeros_like(epsilon), np.ones_like(epsilon)
    for line, lanes in lines:
        if line is not None:
            lower[lanes], upper[lanes] = line.bounds(mu2[lanes], epsilon[lanes])
    return np.maximum(lower, 0.0), upper


def _start(sampled: Sampled, direction: int, mu2: Array, log_delta: float) -> tuple[Array, Array]:
    """Return (the saddle-point approximation's epsilon, minus its theta): where to begin."""

    def height(t: Array, k: Array) -> Array:
        total = np.maximum(k + np.multiply.outer(0.5 * mu2, t * (t + 1)), 1e-300)
        # V = 2 K / (t (t + 1)), as if Gaussian
        prefactor = 0.5 * np.log(4 * np.pi * total * t * (t + 1))
        value: Array = (total - np.maximum(prefactor, 0.0) - log_delta) / t
        return value

    guess = math.sqrt(max(-2 * log_delta, 1.0) / (_rough_spread(sampled) + float(mu2.max())))
    places, upper = best(sampled, direction, guess, height)
    t = np.exp2(places / PER_OCTAVE)
    value = np.diagonal(height(t, np.where(np.isfinite(upper), upper, 0.0)))
    return np.maximum(value, 0.0), -t


def _rough_spread(sampled: Sampled) -> float:
    """About the variance of the loss, as in the central limit theorem; only a guess."""
    return sum(
        count * rate * rate * math.expm1(min(sigma**-2, 30.0)) for (rate, sigma), count in sampled
    )


def _cells(sampled: Sampled, direction: int, mu2: Array, epsilon: Array) -> list[Cell]:
    """The cell of each question: the half-octave in which Chernoff's bound on delta is best."""

    def height(t: Array, k: Array) -> Array:
        gaussians = np.multiply.outer(0.5 * mu2, t * (t + 1))
        bound: Array = gaussians + k + conversion(t) - np.multiply.outer(epsilon, t)
        return bound

    spread = _rough_spread(sampled) + float(mu2.max())
    guess = max(float(np.median(epsilon)) / spread - 0.5, 1 / math.sqrt(spread))
    places, upper = best(sampled, direction, guess, height)
    t = np.exp2(places / PER_OCTAVE)
    spreads = np.where(np.isfinite(upper), 2 * upper / (t * (t + 1)), 0.0)
    # A little right of a saddle near 0 the integrand falls as fast, and 1 / s^2 is tamer.
    least = np.ceil(-0.5 * PER_OCTAVE * np.log2(np.maximum(spreads + mu2, 1e-300))).astype(int)
    if (places < least).any():
        least = np.minimum(least, wall(sampled, direction) - 2)
    chosen = np.maximum(places, least)
    return [
        Cell(int(c - c % 2), bool(c == low), *_octave(m, v))
        for c, low, m, v in zip(chosen, least, mu2.tolist(), spreads.tolist(), strict=True)
    ]


def _octave(mu2: float, spread: float) -> tuple[float, float]:
    if mu2 == 0.0:
        return 0.0, 0.0
    if mu2 * _SMALL_SHARE < spread:
        return 0.0, 2.0 ** math.floor(math.log2(spread / _SMALL_SHARE) + 1)
    least = 2.0 ** math.floor(math.log2(mu2))
    return least, 2 * least


@lru_cache(maxsize=512)
def _line(sampled: Sampled, direction: int, cell: Cell) -> Contour | None:
    """The contour that serves a cell; None where none closes.

    Where K rises like a wall just behind the saddle, aliases from the right ask for a tiny step;
    a little before it they do not: thetas nearby are tried, the cheapest one first.
    """
    first, t, upper = table(sampled, direction, cell.place)
    place = cell.place - first
    if not (2 <= place < t.size - 2 and np.isfinite(upper[place])):
        return None
    corners = _corners(t, upper, place, cell)
    nearby = [place + back for back in _NEARBY]
    nearby = [n for n in nearby if 1 <= n < t.size - 1 and np.isfinite(upper[n - 1 : n + 1]).all()]
    for wanted in _WANTED:
        offers = [_offer(t, upper, place, corners, wanted)]
        if offers[0].cost > _CHEAP:
            offers = sorted(_offer(t, upper, n, corners, wanted) for n in nearby)
        for offer in offers[:_MOST_TRIED]:
            ahead = (t > offer.theta * 1.001) & np.isfinite(upper)
            points = (t[ahead], upper[ahead])
            line = contour(sampled, direction, cell.least_mu2, offer, points)
            if line is not None:
                return line
    return None


def _corners(t: Array, upper: Array, place: int, cell: Cell) -> list[Corner]:
    """The questions at both ends of the epsilons and of the mu^2 that a cell serves."""
    corners = []
    for mu2 in sorted({cell.least_mu2, cell.most_mu2}):
        heights = np.where(np.isfinite(upper), upper, _HUGE) + 0.5 * mu2 * t * (t + 1)
        heights = heights + conversion(t)
        slopes = np.diff(heights[place - 1 : place + 3]) / np.diff(t[place - 1 : place + 3])
        first = 0.0 if cell.lowest else max(float(slopes[0]), 0.0)
        # The last cell before a wall would serve every epsilon; it is made for deltas of use.
        deepest = float(((heights - _LEAST_LOG_DELTA) / t).min())
        for epsilon in (first, max(min(float(slopes[2]), deepest), first)):
            log_delta = float(np.min(heights - t * epsilon))
            corners.append(Corner(mu2, epsilon, min(log_delta, 0.0) - 2.0))
    return corners


def _offer(t: Array, upper: Array, place: int, corners: list[Corner], relative: float) -> Offer:
    """A contour on t[place] that serves these questions to this relative width of delta."""
    theta, period, allowed, variance = float(t[place]), 1e-9, math.inf, math.inf
    # K falls off towards 0 as V t (t + 1) / 2: about the variance, from what lies before a wall.
    curvature = float(2 * upper[place - 1] / (t[place - 1] * (t[place - 1] + 1)))
    ahead = t[place + 1 :]
    known = np.where(np.isfinite(upper[place + 1 :]), upper[place + 1 :], _HUGE)
    logs = conversion(ahead) + known
    for mu2, epsilon, log_delta in corners:
        wanted = log_delta + math.log(relative)
        heights = logs + ahead * ((0.5 * mu2) * (ahead + 1) - epsilon) - wanted
        period = max(period, -wanted / theta, float((heights / (ahead - theta)).min()))
        moment = float(upper[place]) + 0.5 * mu2 * theta * (theta + 1)
        allowed = min(allowed, wanted - (moment - theta * epsilon))
        variance = min(variance, curvature + mu2)
    shortest = math.sqrt(2 * max(2.0, -allowed) / max(variance, 1e-300))
    return Offer(period * shortest / (2 * math.pi), theta, period, shortest, allowed)
