"""Questions about an event: its epsilon, its delta, how both grow, and what overlap costs.

Every answer is a `Bound` whose upper end is valid for both directions of neighbouring. The lower
end certifies the accountant's value where a part of the event is known exactly: the plain Gaussians
that leave the silo. A cascade has no lower bound.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from accountants import gaussian, rdp
from accountants.bound import Bound
from accountants.errors import AccountingError, UnsupportedEvent
from accountants.events import Adjacency, Event
from accountants.parts import Parts, cascaded, parts_of
from accountants.profile import (
    DIRECTIONS,
    delta_product,
    delta_upper,
    has_product,
    readings,
)
from accountants.search import smallest

_MOST_SUBSETS = 256
_ROUNDING = 1e-15  # of a sum of squares, correctly rounded, and its square root


def epsilon(event: Event, *, delta: float, adjacency: Adjacency | str) -> Bound:
    """Epsilon of `event` at `delta`.

    Args:
        delta: in (0, 1). adjacency: the one that the event's noise multipliers are stated for.
    Guarantee:
        The mechanism is (upper, delta)-DP under this adjacency. Exact (a bracket of rounding width)
        for compositions of Gaussians. `upper` is infinite where nothing finite is known.
    Raises:
        UnsupportedEvent: no valid bound is known, such as sampling under `replace`.
        AccountingError: delta outside (0, 1), or no event.
    """
    gaussian.check_delta(delta)
    return _epsilon(parts_of(_event(event), _adjacency(adjacency)), float(delta))


def delta(event: Event, *, epsilon: float, adjacency: Adjacency | str) -> Bound:
    """Delta of `event` at a real `epsilon`; see `epsilon` for arguments and errors."""
    if not math.isfinite(epsilon):
        raise AccountingError(f"epsilon={epsilon} is not finite, so delta says nothing. Pass one.")
    parts = parts_of(_event(event), _adjacency(adjacency))
    if parts.unbounded:
        return Bound(1.0, 1.0)
    at = np.array([float(epsilon)])
    upper = max(float(delta_upper(parts, side, at)[0]) for side in DIRECTIONS)
    lower = float(gaussian.delta_bounds(math.sqrt(parts.mu2) * (1 - _ROUNDING), at)[0][0])
    return Bound(min(lower, upper), upper)


def odometer(
    training: Event | None,
    rounds: Sequence[Event],
    *,
    delta: float,
    adjacency: Adjacency | str,
    releases: Event | None = None,
    cascade: bool = True,
) -> list[Bound]:
    """Epsilon after each round: entry k - 1 covers `releases` and the first k rounds of answers.

    Args:
        training: what trained the model and stays inside; None where nothing private did.
        rounds: the answers, one event a round. releases: everything else that leaves the silo.
        cascade: read the rounds as answers of the trained model; False composes them plainly.
    Guarantee:
        Each entry bounds the run that stops there *by a schedule fixed in advance*. After stopping
        adaptively only the bound at the filter's cap is a guarantee.
    """
    gaussian.check_delta(delta)
    side = _adjacency(adjacency)
    beside = Parts() if releases is None else parts_of(_event(releases), side)
    trained = Parts() if training is None else parts_of(_event(training), side)
    answered = [parts_of(_event(event), side) for event in rounds]
    result: list[Bound] = []
    for k in range(1, len(answered) + 1):
        answers = Parts().with_parts(*answered[:k])
        if training is None or not cascade:
            whole = beside.with_parts(trained, answers)
        else:
            whole = beside.with_parts(cascaded(trained, answers))
        result.append(_epsilon(whole, float(delta)))
    return result


def overlap(
    events_per_silo: Sequence[Event], m: int, *, delta: float, adjacency: Adjacency | str
) -> Bound:
    """Epsilon of a unit whose data lie in up to `m` silos: the worst m of them, composed.

    Several cascades in one composition are read without their product (spec: models that are
    composed as products must be shown to be trained afresh). Where there are too many subsets to
    try, the upper end adds up, at each Renyi order, the m largest log moments.

    Raises:
        AccountingError: m < 1 or no silo. UnsupportedEvent: as `epsilon`.
    """
    if m < 1 or not events_per_silo:
        raise AccountingError(
            f"overlap m={m} over {len(events_per_silo)} silos is no group; pass 1 <= m and a silo."
        )
    gaussian.check_delta(delta)
    side = _adjacency(adjacency)
    parts = sorted((parts_of(_event(e), side) for e in events_per_silo), key=repr)
    m = min(m, len(parts))
    if math.comb(len(parts), m) > _MOST_SUBSETS and len(set(parts)) > 1:
        return _overlap_by_moments(parts, m, delta)
    subsets = sorted(set(combinations(parts, m)), key=repr)
    bounds = [_epsilon(Parts().with_parts(*subset), delta) for subset in subsets]
    return Bound(max(b.lower for b in bounds), max(b.upper for b in bounds))


@lru_cache(maxsize=8192)
def _epsilon(parts: Parts, delta: float) -> Bound:
    if parts.unbounded:
        return Bound(math.inf, math.inf)
    lower = gaussian.epsilon_bounds(math.sqrt(parts.mu2) * (1 - _ROUNDING), delta)[0]
    upper = max(_upper(parts, side, delta) for side in DIRECTIONS)
    return Bound(min(lower, upper), upper)


@lru_cache(maxsize=8192)
def _upper(parts: Parts, side: int, delta: float) -> float:
    """Upper epsilon in one direction; rounds of an odometer share the readings that stay."""
    if parts.unbounded:
        return math.inf
    if parts.cascades:
        models, answers = (_upper(reading, side, delta) for reading in readings(parts))
        least = min(models, answers)
        if not has_product(parts) or _hopeless(parts, least):
            return least
        return min(least, smallest(lambda e: delta_product(parts, side, e), delta, least))
    if not parts.sampled:
        return gaussian.epsilon_bounds(math.sqrt(parts.mu2) * (1 + _ROUNDING), delta)[1]
    return smallest(lambda e: delta_upper(parts, side, e), delta, 1.0)


def _hopeless(parts: Parts, epsilon: float) -> bool:
    """Whether the answers' delta is so near 1 that multiplying by it gains nothing."""
    mu = math.sqrt(parts.cascades[0][1].mu2)
    return float(gaussian.delta(mu, epsilon)) > 1 - 1e-6


def _overlap_by_moments(parts: list[Parts], m: int, delta: float) -> Bound:
    """The m largest log moments at each order bound every m-subset's, direction by direction."""
    lower = max(_epsilon(p, delta).lower for p in parts)
    if any(p.unbounded for p in parts):
        return Bound(lower, math.inf)
    readings = []
    for which in (0, 1):
        plain = [
            p.without_cascades().with_parts(*(cascade[which] for cascade in p.cascades))
            for p in parts
        ]
        readings.append(max(_top_moments(plain, m, side, delta) for side in DIRECTIONS))
    return Bound(min(lower, *readings), min(readings))


def _top_moments(plain: list[Parts], m: int, side: int, delta: float) -> float:
    if any(p.unbounded for p in plain):
        return math.inf
    curves = np.sort(np.stack([_curve(p, side) for p in plain]), axis=0)[-m:]
    return max(0.0, float(rdp.epsilon_at(curves.sum(axis=0), np.log([delta]))[0]) * (1 + 1e-12))


def _curve(parts: Parts, side: int) -> rdp.Array:
    curve = rdp.gaussian(parts.mu2)
    for (rate, sigma), count in parts.sampled:
        curve = curve + count * rdp.subsampled(rate, sigma)[side]
    return curve


def _adjacency(value: Adjacency | str) -> Adjacency:
    try:
        return Adjacency(value)
    except ValueError as error:
        raise UnsupportedEvent(
            f"adjacency={value!r} is none of {[a.value for a in Adjacency]}, so the sensitivities "
            "mean nothing. State one of them."
        ) from error


def _event(value: Event) -> Event:
    if not isinstance(value, Event):
        raise AccountingError(
            f"{value!r} is no event, so its privacy is unknown. Describe the release with "
            "accountants.events."
        )
    return value
