"""Rough moments of a composition, and where a lattice for it should lie.

Nothing here is certified: it only chooses the tilt, the spacing and the window. What these choices
cost is bounded afterwards, on the lattice itself.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, logsumexp

from accountants.events import ApproximateDP, Laplace
from accountants.mixture import loss, mixture
from accountants.steps import ADD, REMOVE, Counted, Glued, Step

Array = NDArray[np.float64]

TILTS: Array = 2.0 ** np.arange(-40, 40, 0.25)
TAIL = 45.0  # nats: what is cut or wraps around has a share of about e^-45 of the tilted law
_MOST_NODES = 2**20  # of one step's law; what it cuts is a wider bracket, not a wrong one
_FADED = -750.0  # log delta below which a larger tilt gains nothing
_NEAR = 4.0  # nats by which a tilt may miss the saddle for a smaller window
_LEAST = -650.0  # log of a probability that floats still resolve; rarer losses count as infinite
_PLACES: Array = np.concatenate([
    np.linspace(-40, -8, 64, endpoint=False), np.linspace(-8, 8, 256, endpoint=False),
    np.linspace(8, 40, 65),
])  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """A lattice for one composition and tilt.

    spacing: h. ranges: per step the losses (low, high) that its own law covers. start: the lowest
    loss of the window. rates: the extra tilts (up, down) that bound what lies outside of it.
    """

    spacing: float
    ranges: tuple[tuple[float, float], ...]
    start: float
    rates: tuple[float, float]


def tilt_at(steps: Counted, direction: int, epsilon: float) -> float:
    """The tilt on a fixed grid at (about) the saddle of K(t) - t epsilon - log t (t + 1).

    Of the tilts near it the one with the smallest window: the saddle itself may lie among far
    jumps, where the lattice would be too coarse for everything else.
    """
    log_moments, log_window = _log_moments(steps, direction)
    with np.errstate(over="ignore"):  # where no epsilon is large enough, the search goes to the end
        heights = log_moments - TILTS * epsilon - np.log(TILTS) - np.log1p(TILTS)
    faded = np.flatnonzero(heights < _FADED)
    if faded.size:
        return float(TILTS[faded[0]])
    near = heights < heights.min() + _NEAR
    return float(TILTS[np.argmin(np.where(near, heights + 2 * log_window, np.inf))])


def place(steps: Counted, direction: int, tilt: float, size: int) -> Placement:
    """A window of `size` nodes around the bulk of the tilted law."""
    points = [sketch(step, direction) for step, _ in steps]
    counts = np.array([float(count) for _, count in steps])
    tilted, means, variances, logs = [], [], [], []
    for at, log_mass in points:
        height = tilt * at + log_mass
        logs.append(float(logsumexp(height)))
        tilted.append(height - logs[-1])
        share = np.exp(tilted[-1])
        means.append(float(share @ at))
        variances.append(float(share @ (at - means[-1]) ** 2))
    mean = float(counts @ np.array(means))
    depth = float(counts @ np.array(logs)) - tilt * mean - math.log(tilt) - math.log1p(tilt)
    ranges = [
        _range(at, log_mass, height, math.log(count), min(depth, 0.0))
        for (at, log_mass), height, count in zip(points, tilted, counts, strict=True)
    ]
    finest = max(max(1e-7 * (high - low), 1e-9 * max(high, -low)) for low, high in ranges)
    spread = max(math.sqrt(float(counts @ np.array(variances))), finest, 1e-290)
    widest = max(max(high - low for low, high in ranges), spread)
    rates = np.geomspace(1 / widest, 64 / spread, 32)
    best = []
    for sign in (1.0, -1.0):
        growth = np.zeros_like(rates)
        for (at, log_mass), log, count, center, (low, high) in zip(
            points, logs, counts, means, ranges, strict=True
        ):
            kept = np.clip(at, low, high)  # as the laws on the lattice will have it
            height = tilt * kept + log_mass - log
            moved = sign * rates[:, None] * (kept - center)[None, :] + height
            growth += count * logsumexp(moved, axis=1)
        reach = (growth + TAIL) / rates
        best.append((float(reach.min()), float(rates[reach.argmin()])))
    (ahead, rate_ahead), (behind, rate_behind) = best
    # moving k steps onto nodes adds a spread of at most sqrt(k) / 2 nodes: room for ten of these
    wander = math.sqrt(float(counts.sum()))
    usable = size - min(size / 2, 10 * wander)
    spacing = _aligned(steps, 1.05 * (ahead + behind) / usable)
    whole = size * spacing
    start = mean - behind - (whole - ahead - behind) / 2
    most_each = _MOST_NODES / 2 * spacing
    capped = tuple(
        (max(low, center - most_each), min(high, center + most_each))
        for (low, high), center in zip(ranges, means, strict=True)
    )
    most = 20 / (wander * spacing)
    return Placement(spacing, capped, start, (min(rate_ahead, most), min(rate_behind, most)))


@lru_cache(maxsize=256)
def sketch(step: Step, direction: int) -> tuple[Array, Array]:
    """(losses ascending, log masses): a few hundred points for one step's finite loss."""
    match step:
        case Laplace(noise_multiplier):
            reach = 1 / noise_multiplier
            at = np.linspace(-reach, reach, 513)
            log_mass = (at - reach) / 2 + math.log(reach / 1024)
            ends = np.array([-reach, reach]), np.array([-reach - math.log(2), -math.log(2)])
            return _merged((at, log_mass), ends)
        case ApproximateDP(reach, _):
            odds = np.log1p(np.exp(-min(reach, 700.0)))
            return np.array([-reach, reach]), np.array([-reach - odds, -odds])
        case Glued(rate, sigma):
            high, low = _of_mixture(step, REMOVE), _of_mixture(step, ADD)
            middle = (1 - rate) * float(erf(1 / sigma / math.sqrt(8))) + 1e-300
            atom = np.array([0.0]), np.array([math.log(middle)])
            return _merged(
                (high[0][high[0] > 0], high[1][high[0] > 0]), atom,
                (low[0][low[0] < 0], low[1][low[0] < 0]),
            )  # fmt: skip
    return _of_mixture(step, direction)


def _of_mixture(step: Step, direction: int) -> tuple[Array, Array]:
    pair = mixture(step)
    if pair.rest == 0.0 and len(pair.shifts) == 1:
        direction = REMOVE
    some = np.linspace(0, len(pair.shifts) - 1, min(len(pair.shifts), 8)).astype(int)
    centers = np.array([0.0, *(pair.shifts[i] for i in some)])
    z = np.unique((centers[:, None] + _PLACES).ravel())
    width = np.gradient(z)
    base = -z * z / 2 + np.log(width / math.sqrt(2 * math.pi))
    log_u = loss(pair, z)[0]
    return (log_u, base + log_u) if direction == REMOVE else (-log_u[::-1], base[::-1])


def _merged(*laws: tuple[Array, Array]) -> tuple[Array, Array]:
    at = np.concatenate([law[0] for law in laws])
    order = np.argsort(at, kind="stable")
    return at[order], np.concatenate([law[1] for law in laws])[order]


@lru_cache(maxsize=64)
def _log_moments(steps: Counted, direction: int) -> tuple[Array, Array]:
    """(K, log of how far the tilted law reaches above its mean) on TILTS."""
    total = np.zeros_like(TILTS)
    for step, count in steps:
        at, log_mass = sketch(step, direction)
        total += count * (logsumexp(TILTS[:, None] * at + log_mass, axis=1) - logsumexp(log_mass))
    ahead = np.triu(np.ones((TILTS.size, TILTS.size), dtype=bool), 1)
    apart = np.where(ahead, TILTS[None, :] - TILTS[:, None], np.inf)
    reach = np.where(ahead, (total[None, :] - total[:, None] + TAIL) / apart, np.inf).min(axis=1)
    mean = np.diff(total, prepend=0.0) / np.diff(TILTS, prepend=0.0)
    reach[-1] = reach[-2]
    return total, np.log(np.maximum(reach - mean, 1e-300))


def _range(
    at: Array, log_mass: Array, tilted: Array, log_count: float, depth: float
) -> tuple[float, float]:
    """Losses outside of which the step's law counts for nothing, tilted or not.

    What lies below is moved up to the lowest node, hence weighs as much as that one.
    """
    behind = np.logaddexp.accumulate(log_mass) + tilted - log_mass
    ahead = np.logaddexp.accumulate(tilted[::-1])[::-1]
    plain = np.logaddexp.accumulate(log_mass[::-1])[::-1]
    first = np.flatnonzero(behind > -TAIL - log_count)
    wanted = (ahead > -TAIL - log_count) | (plain > depth - TAIL - log_count)
    last = np.flatnonzero(wanted & (plain > _LEAST))
    low = float(at[max(int(first[0]) - 1, 0)]) if first.size else float(at[0])
    high = float(at[min(int(last[-1]) + 1, at.size - 1)]) if last.size else float(at[-1])
    return low, high


def _aligned(steps: Counted, spacing: float) -> float:
    """At most `spacing`, and such that the commonest atoms, at -a and a, are nodes."""
    atoms = [(count, _reach(step)) for step, count in steps if _reach(step) > 0]
    if not atoms:
        return spacing
    reach = max(atoms)[1]
    return reach / math.ceil(reach / spacing) if reach > spacing else spacing


def _reach(step: Step) -> float:
    match step:
        case Laplace(noise_multiplier):
            return 1 / noise_multiplier
        case ApproximateDP(reach, _):
            return reach
    return 0.0
