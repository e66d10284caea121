"""Mixtures of shifted Gaussians against N(0, 1): the privacy loss, its error and its inverse.

P = rest N(0, 1) + sum_i weights_i N(shifts_i, 1) with shifts_i > 0, in units of the noise. The loss
log u(z) = log(rest + sum_i weights_i e^(shift_i z - shift_i^2 / 2)) grows with z.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accountants.errors import AccountingError
from accountants.steps import Binomial, Glued, Step

Array = NDArray[np.float64]

REACH = 40.0  # Phi(-40) is 0 in floats
_UNIT = 2.0**-52
_FOLDED = 1e-30  # of a binomial's tail: so little is moved to one end of it


@dataclass(frozen=True)
class Mixture:
    """rest + sum(weights) = 1; `error` bounds the weights' relative errors."""

    rest: float
    weights: tuple[float, ...]
    shifts: tuple[float, ...]
    error: float


@lru_cache(maxsize=256)
def mixture(step: Step, *, up: bool = True) -> Mixture:
    """The pair behind a `Glued` or `Binomial` step.

    A binomial's far tail is moved to the largest count (`up`) or to the largest kept one: moving
    shifts up (down) gives a pair that dominates (is dominated) in both directions.
    """
    match step:
        case Binomial(1.0, sigma, size):
            return Mixture(0.0, (1.0,), (size / sigma,), 0.0)
        case Glued(rate, sigma) | Binomial(rate, sigma, 1):
            return Mixture(1.0 - rate, (rate,), (1.0 / sigma,), 2 * _UNIT)
        case Binomial(rate, sigma, size):
            logs = _log_binomial(rate, size)
            weights = np.exp(logs)
            beyond = np.append(np.cumsum(weights[::-1])[::-1][1:], 0.0)
            last = int(np.flatnonzero(beyond <= _FOLDED)[0])
            counts, kept = np.arange(1, last + 1), weights[1 : last + 1]
            if last < size:
                tail = 2 * float(beyond[last]) + 1e-300
                counts, kept = (np.append(counts, size), np.append(kept, tail)) if up else (
                    counts, np.append(kept[:-1], kept[-1] + beyond[last])
                )  # fmt: skip
            largest = float(np.abs(logs[: last + 1]).max())
            error = _UNIT * (64 + 2 * (last + 8) * largest + 8 * size)
            shifts = tuple((counts / sigma).tolist())
            return Mixture(float(weights[0]), tuple(kept.tolist()), shifts, error)
    raise AccountingError(f"{step} is no mixture of Gaussians.")


def _log_binomial(rate: float, size: int) -> Array:
    """log P(i of size) by the ratio of neighbours, summed up in logs."""
    i = np.arange(1, size + 1)
    ratios = np.log((size - i + 1) / i) + (math.log(rate) - math.log1p(-rate))
    return size * math.log1p(-rate) + np.concatenate([[0.0], np.cumsum(ratios)])


def loss(pair: Mixture, z: Array) -> tuple[Array, Array, Array]:
    """(log u, a bound of its error, each component's share of u as (components, z))."""
    shifts, weights = np.array(pair.shifts)[:, None], np.array(pair.weights)[:, None]
    y = shifts * z - shifts * shifts / 2
    with np.errstate(under="ignore", over="ignore", divide="ignore"):
        floor = math.log(pair.rest) if pair.rest > 0 else -math.inf
        top = np.maximum(y.max(axis=0), floor)
        scaled = weights * np.exp(y - top)
        total = np.exp(floor - top) + scaled.sum(axis=0)
        share = scaled / total
        far = top > 30.0
        direct = np.log(total) + top
        change = weights * np.expm1(np.minimum(y, 30.0))
        near = np.log1p(np.maximum(change.sum(axis=0), -0.75))
        log_u = np.where(far | (direct < -0.5), direct, near)
        noise = np.where(far | (direct < -0.5), 4.0, np.abs(change).sum(axis=0) * np.exp(-log_u))
    argument = (share * 3 * shifts * (np.abs(z) + shifts)).sum(axis=0)
    error = _UNIT * (4 * np.abs(log_u) + argument) + (16 * _UNIT + pair.error) * noise
    return log_u, error, share


def position(pair: Mixture, x: Array) -> Array:
    """z with log u(z) about x, non-decreasing, cut at 40 beyond the components."""
    lowest, highest = -REACH, pair.shifts[-1] + REACH
    if len(pair.shifts) == 1:
        z = _position_of_one(pair, x)
    else:
        z = _position_of_many(pair, x, lowest, highest)
    clipped: Array = np.maximum.accumulate(np.clip(z, lowest, highest))
    return clipped


def _position_of_one(pair: Mixture, x: Array) -> Array:
    weight, shift = pair.weights[0], pair.shifts[0]
    with np.errstate(divide="ignore", under="ignore", over="ignore", invalid="ignore"):
        near = np.log1p(np.maximum(np.expm1(np.minimum(x, 50.0)) / weight, -1.0))
        y = np.where(x < 50.0, near, x - math.log(weight) + np.log1p(-pair.rest * np.exp(-x)))
        y = x if pair.rest == 0.0 else y
        z: Array = y / shift + shift / 2
    return z


def _position_of_many(pair: Mixture, x: Array, lowest: float, highest: float) -> Array:
    """By a table and Newton's steps; whatever these miss shows up as slack."""
    shifts = np.array(pair.shifts)[:, None]
    table = np.linspace(lowest, highest, 4096)
    z: Array = np.interp(x, loss(pair, table)[0], table)
    for _ in range(4):
        at, _, share = loss(pair, z)
        slope = (share * shifts).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            change = np.where(slope > 0, (at - x) / slope, 0.0)
        z = np.clip(z - np.clip(change, -0.1, 0.1), lowest, highest)
    return z
