"""Certified lower and upper privacy profiles of any composition, on a tilted lattice.

The fallback for everything: each step's loss is moved onto a lattice from above and from below
(`laws`), tilted to where epsilon lies, raised to its count and multiplied by the FFT (`fourier`),
and summed up. Each source of error is bounded and added outward. The lemmas are in LATTICE.md.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accountants import fourier
from accountants.cells import UNIT
from accountants.errors import AccountingError
from accountants.laws import Law, lower_law, upper_law
from accountants.parts import Parts
from accountants.sketch import place, tilt_at
from accountants.steps import Binomial, Counted, Glued

Array = NDArray[np.float64]

_LARGEST_SIZE = 2**20
_SMALLEST_SIZE = 2**12
_OFTEN = 200_000  # steps beyond which the largest size is worth its second
_KINDS = 4  # kinds of steps that this size is affordable for
_SUM = 4096 * UNIT  # relative: of weights e^-x, x up to 745, and of pairwise sums of their products
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class _Profile:
    """delta(epsilon) of one composed law.

    Weights of node m behind the first that counts: near e^(-tilt m h) (1 - e^(-m h)) and far
    e^(-(tilt + 1) m h). probability: (n,), rounded outward. lead: where node 0 of the window lies.
    """

    tilt: float
    spacing: float
    lead: float
    probability: Array
    near: Array
    far: Array
    log_scale: float
    log_scale_error: float
    outside: float
    infinite: float
    up: bool

    def at(self, epsilon: float) -> float:
        """Lemma 9, rounded outward; an upper value may be above 1."""
        size = self.probability.size
        side = 1.0 if self.up else -1.0
        reach = abs(self.lead) + size * self.spacing + abs(epsilon)
        epsilon -= side * 8 * UNIT * reach
        first = math.floor((epsilon - self.lead) / self.spacing) + 1
        first = min(max(first, 0), size)
        position = self.lead + first * self.spacing
        gap = max(position - epsilon, 0.0)
        behind, length = self.probability[first:], size - first
        total = float((self.near[:length] * behind).sum())
        total += -math.expm1(-gap) * float((self.far[:length] * behind).sum())
        error = self.log_scale_error + 8 * UNIT * (abs(self.log_scale) + self.tilt * reach)
        scale = _exp(self.log_scale - self.tilt * position + side * error)
        # lemma 7: no node outside the window weighs more than max_x (1 - e^-x) e^(-tilt x)
        most = math.log(self.tilt) * self.tilt - (self.tilt + 1) * math.log1p(self.tilt)
        away = _exp(self.log_scale - self.tilt * epsilon + error + most) * self.outside
        if self.up:
            return (self.infinite + _up(scale * (_up(total) + _TINY) + away)) * (1 + _SUM) + _TINY
        return (self.infinite + max(_down(scale * total) - away, 0.0)) * (1 - _SUM)


def delta_bounds(parts: Parts, direction: int, epsilon: Array) -> tuple[Array, Array]:
    """Certified (lower, upper) delta at each real epsilon, one direction.

    Args:
        parts: without cascades and unbounded releases. direction: `steps.REMOVE` or `steps.ADD`.
        epsilon: (n,), finite.
    Returns:
        Two arrays of epsilon's shape; each entry depends on its own epsilon alone.
    Guarantee:
        lower <= delta <= upper for the composed dominating pairs, rounding included. Where the
        lattice cannot tell, the bracket is as wide as [(1 - e^epsilon)_+, 1].
    Raises:
        AccountingError: the parts hold a cascade or an unbounded release.
    """
    if parts.cascades or parts.unbounded:
        raise AccountingError(
            f"{parts} holds a cascade or an unbounded release, which no lattice describes. Nothing "
            "is claimed. Read its cascades plainly first."
        )
    at = np.asarray(epsilon, dtype=np.float64)
    pairs = [_bounds(parts, direction, float(e)) for e in at.ravel()]
    lower, upper = np.array(pairs).reshape(-1, 2).T
    return lower.reshape(at.shape), upper.reshape(at.shape)


def _bounds(parts: Parts, direction: int, epsilon: float) -> tuple[float, float]:
    floor = -math.expm1(min(epsilon, 0.0))  # (P - e^epsilon Q)(everything) <= delta
    steps = _steps(parts, up=True)
    if not steps:
        return floor * (1 - 4 * UNIT), floor * (1 + 4 * UNIT)
    with np.errstate(under="ignore"):
        lower, upper = _profiles(parts, direction, tilt_at(steps, direction, epsilon))
        low, high = lower.at(epsilon), upper.at(epsilon)
    low = low if math.isfinite(low) else 0.0
    high = high if math.isfinite(high) else 1.0
    high = min(high, 1.0)
    return min(max(low, floor * (1 - 4 * UNIT)), high), high


@lru_cache(maxsize=8)
def _profiles(parts: Parts, direction: int, tilt: float) -> tuple[_Profile, _Profile]:
    """(lower, upper) around the losses that this tilt is for."""
    steps, down = _steps(parts, up=True), _steps(parts, up=False)
    size = _size(steps)
    where = place(steps, direction, tilt, size)
    h = where.spacing
    uppers: list[tuple[Law, int]] = []
    lowers: list[tuple[Law, int]] = []
    for (step, count), (less, _), (start, end) in zip(steps, down, where.ranges, strict=True):
        low, high = math.floor(start / h), math.ceil(end / h) + 1
        if isinstance(step, Glued):
            low, high = min(low, -1), max(high, 1)
        uppers.append((upper_law(step, direction, h, low, high), count))
        lowers.append((lower_law(less, direction, h, low, high, tilt, count), count))
    return (
        _profile(lowers, h, tilt, where.start, size, where.rates, up=False),
        _profile(uppers, h, tilt, where.start, size, where.rates, up=True),
    )


def _profile(
    laws: list[tuple[Law, int]],
    h: float,
    tilt: float,
    start: float,
    size: int,
    rates: tuple[float, float],
    *,
    up: bool,
) -> _Profile:
    offset = math.fsum(count * law.offset for law, count in laws)
    first = math.floor((start - offset) / h)
    found = fourier.compose(laws, h, tilt, first, size, rates, up=up)
    m = np.arange(size) * h
    near, far = np.exp(-tilt * m) * -np.expm1(-m), np.exp(-(tilt + 1) * m)
    probability = _outward(found.probability, found.error, up=up)
    error = 4 * UNIT * math.fsum(count * abs(law.offset) for law, count in laws)
    lead = first * h + offset + (error if up else -error)
    return _Profile(
        tilt, h, lead, probability, near, far, found.log_scale + tilt * offset,
        found.log_scale_error + tilt * error, found.outside,
        _at_least_one([(law.infinite, count) for law, count in laws], up=up), up,
    )  # fmt: skip


def _outward(probability: Array, error: float, *, up: bool) -> Array:
    """Of a law that is not negative: its values with their error added, or taken off."""
    return np.maximum(probability + (error if up else -error), 0.0)


def _at_least_one(chances: list[tuple[float, int]], *, up: bool) -> float:
    """1 - prod (1 - p)^count, rounded outward."""
    total = math.fsum(
        count * math.log1p(-min(p, 1.0)) if p < 1 else -math.inf for p, count in chances
    )
    value = -math.expm1(total)
    return min(_up(value), 1.0) if up else _down(value)


def _steps(parts: Parts, *, up: bool) -> Counted:
    """Every part as a step; a plain Gaussian is a sampled one with rate 1.

    mu is the root of an exactly rounded sum: a few ulp up or down cover both.
    """
    steps: Counted = parts.others
    if parts.mu2 > 0:
        mu = math.sqrt(parts.mu2) * (1 + 1e-15 if up else 1 - 1e-15)
        steps = ((Binomial(1.0, 1 / mu, 1), 1), *steps)
    sampled = tuple((Binomial(rate, sigma, 1), count) for (rate, sigma), count in parts.sampled)
    return sampled + steps


def _size(steps: Counted) -> int:
    """Nodes that can be afforded, and are needed: a step that runs often must span many nodes."""
    work = sum(1 + step.size // 4 if isinstance(step, Binomial) else 1 for step, _ in steps)
    often = sum(count for _, count in steps) > _OFTEN
    size = _LARGEST_SIZE if often else _LARGEST_SIZE // 4
    while work > _KINDS and size > _SMALLEST_SIZE:
        size, work = size // 2, work // 2
    return size


def _up(value: float) -> float:
    return value * (1 + _SUM)


def _down(value: float) -> float:
    return value * (1 - _SUM)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700.0 else math.inf
