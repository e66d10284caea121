"""Error rates of the best test at a given false-positive rate, from a privacy profile.

The profile's line at epsilon says that a test with false-positive rate alpha misses at least
1 - delta(epsilon) - e^epsilon alpha (Wasserman & Zhou 2010, Theorem 2.4), and the curve is the
supremum over all real epsilon (Dong, Roth & Su 2022, Proposition 2.12). Here delta is the worse of
both directions, so that delta(-epsilon) = 1 - e^-epsilon (1 - delta(epsilon)): one question gives
two lines. With g = e^epsilon the line's value H(g) = 1 - delta - g alpha is concave, since delta is
convex: that bounds H between the epsilons that were asked for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants.bound import Bound

Array = NDArray[np.float64]
Profile = Callable[[float], Bound]

_UNIT = 2.0**-52
_FAR = 700.0  # e^-700 is 1e-304: what lies beyond cannot be told from nothing
_COARSE = (0.0, *(_FAR * 3.0**-k for k in range(20, -1, -1)))
_REFINEMENTS = 35
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, order=True)
class _Line:
    """One line at alpha: the least `hit` is the best, and where hits are alike the least `fails`.

    hit: upper end of the true-positive rate that it allows. fails: minus the lower end of H(g).
    above: upper end of H(g). Of hit = 1 - H the one is precise where the other is rounded to 1.
    """

    hit: float
    fails: float
    above: float


def rates(profile: Profile, alpha: float) -> tuple[Bound, Bound]:
    """(miss rate, true-positive rate) of the best test at `alpha` in (0, 1); 60 questions at most.

    Args:
        profile: delta at epsilon >= 0 as a bracket, the worse of both directions.
    Guarantee:
        No test has a lower miss rate than the first lower end, nor a higher true-positive rate than
        the second upper end. The other ends hold for the profile's own lower ends.
    """
    known: dict[float, Bound] = {}

    def line(epsilon: float) -> _Line:
        size = abs(epsilon)
        if size not in known:
            known[size] = profile(size)
        return _line(epsilon, known[size], alpha)

    last = min(-math.log(alpha), _FAR)  # further right every line is below 0
    right = sorted({*(e for e in _COARSE if e < last), last})
    coarse = [*(-e for e in _COARSE[:0:-1]), *right]
    best = min(range(len(coarse)), key=lambda k: line(coarse[k]))
    _refine(line, coarse[max(best - 1, 0)], coarse[min(best + 1, len(coarse) - 1)])
    at = sorted({e for size in known for e in (-size, size) if e <= last})
    lines = [line(e) for e in at]
    found = min(lines)
    hit, miss = min(found.hit, 1.0), max(-found.fails, 0.0)
    above = _above(np.array(at), np.array([(-one.fails, one.above) for one in lines]).T, alpha)
    highest = max(min(above, math.nextafter(1.0 - alpha, 2.0)), miss)
    return Bound(miss, highest), Bound(min(max(alpha, 1.0 - highest - _UNIT), hit), hit)


def _line(epsilon: float, delta: Bound, alpha: float) -> _Line:
    if epsilon >= 0:
        chance = math.exp(epsilon) * alpha
        hit = (delta.upper + chance) * (1 + 4 * _UNIT)
        above = 1.0 - (delta.lower + chance) * (1 - 4 * _UNIT) + _UNIT
        return _Line(hit, hit - 1.0 + _UNIT, above)
    shrunk, rest = math.exp(epsilon), 1.0 - alpha
    below = shrunk * (rest * (1 - 2 * _UNIT) - delta.upper)
    below -= 4 * _UNIT * abs(below)
    above = shrunk * (rest * (1 + 2 * _UNIT) - delta.lower)
    return _Line(1.0 - below + _UNIT, -below, above + 4 * _UNIT * abs(above))


def _refine(line: Callable[[float], _Line], low: float, high: float) -> None:
    """Golden-section search: H has one peak."""
    inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    for _ in range(_REFINEMENTS - 2):
        if line(inner) < line(outer):
            high, outer = outer, inner
            inner = high - _GOLDEN * (high - low)
        else:
            low, inner = inner, outer
            outer = low + _GOLDEN * (high - low)
    line(inner), line(outer)


def _above(at: Array, ends: Array, alpha: float) -> float:
    """Upper bound on H over all g, from its (lower, upper) ends at g = e^at.

    Between two neighbours H lies below the chord through any earlier two, prolonged, below that
    through any later two, and below what monotone delta leaves. Right of the last point H is at
    most 1 - g alpha, left of the first at most g (1 - alpha).
    """
    lower, upper = ends
    width = np.diff(at)
    # g_(i+1) alpha - g_i alpha is all that delta's fall from one end of a cell to the other hides.
    cells = upper[1:] - np.exp(at[1:]) * alpha * np.expm1(-width) * (1 + 8 * _UNIT)
    cells += 8 * _UNIT * np.abs(cells)
    gap = at[None, :] - at[:, None]  # [i, j]
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.maximum(upper[:, None] - lower[None, :], 0.0)
        before = np.where(gap < 0, rise / -np.expm1(np.minimum(gap, 0.0)), np.inf)
        fall = np.exp(-np.maximum(gap, 0.0))
        after = np.where(gap > 0, rise * fall / -np.expm1(-np.maximum(gap, 0.0)), np.inf)
    slope = before.min(axis=1)[:-1], after.min(axis=1)[1:]
    for end, steep, step in (
        (upper[:-1], slope[0], np.expm1(width)),
        (upper[1:], slope[1], -np.expm1(-width)),
    ):
        prolonged = end + steep * step * (1 + 16 * _UNIT)
        cells = np.minimum(cells, prolonged + 4 * _UNIT * np.abs(prolonged))
    right = 1.0 - math.exp(at[-1]) * alpha * (1 - 4 * _UNIT)
    if upper[-1] <= lower[:-1].max():
        right = min(right, float(upper[-1]))
    return max(float(cells.max()), right, math.exp(at[0]))
