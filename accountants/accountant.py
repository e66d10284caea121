"""Questions about an event: its epsilon, its delta, how both grow, and what overlap costs.

Every answer is a `Bound` that is valid for both directions of neighbouring: the larger one counts,
after composition. Both ends are certified. A cascade's lower end is only that of the plain
Gaussians beside it, since the theorem behind it bounds from above.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from accountants import certified, gaussian, rdp
from accountants.bound import Bound
from accountants.errors import AccountingError, UnsupportedEvent
from accountants.events import Adjacency, Event
from accountants.parts import Parts, cascaded, parts_of
from accountants.plain import delta_bounds, epsilon_bounds, moments
from accountants.profile import delta_product, delta_upper, has_product, readings
from accountants.search import crossing
from accountants.steps import ADD, DIRECTIONS, REMOVE

_MOST_SUBSETS = 256


def epsilon(
    event: Event, *, delta: float, adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE
) -> Bound:
    """Epsilon of `event` at `delta`.

    Args:
        delta: in (0, 1).
        adjacency: the one that the event's noise multipliers are stated for.

    Guarantee:
        The mechanism is (upper, delta)-DP under this adjacency, and, cascades apart, it is not
        (epsilon, delta)-DP for any epsilon below lower. `upper` is infinite where nothing finite
        is known.

    Raises:
        UnsupportedEvent: no valid bound is known, such as for shuffled batches.
        AccountingError: delta outside (0, 1), or no event.
    """
    gaussian.check_delta(delta)
    return _epsilon(parts_of(_event(event), _adjacency(adjacency)), float(delta))


def delta(
    event: Event, epsilon: float, *, adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE
) -> Bound:
    """Delta of `event` at a real `epsilon`; see `epsilon` for arguments and errors."""
    if not math.isfinite(epsilon):
        raise AccountingError(f"epsilon={epsilon} is not finite, so delta says nothing. Pass one.")
    parts = parts_of(_event(event), _adjacency(adjacency))
    if parts.unbounded:
        return Bound(1.0, 1.0)
    at = np.array([float(epsilon)])
    # Beside a cascade, what surely leaves is a lower bound.
    surely = [delta_bounds(parts.without_cascades(), side, at) for side in DIRECTIONS]
    lower, upper = (max(float(side[end][0]) for side in surely) for end in (0, 1))
    if parts.cascades:
        upper = max(float(delta_upper(parts, side, at)[0]) for side in DIRECTIONS)
    return Bound(min(lower, upper), upper)


def odometer(
    training: Event | None,
    rounds: Sequence[Event],
    *,
    delta: float,
    adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE,
    releases: Event | None = None,
    cascade: bool = False,
) -> list[Bound]:
    """Epsilon after each round: entry k - 1 covers `training`, `releases` and the first k rounds.

    Args:
        training: what trained the model; None where nothing private did.
        rounds: the answers, one event a round.
        releases: everything else that leaves the silo.
        cascade: the model stays inside and is read through its answers only; False composes
            training and rounds plainly.

    Guarantee:
        Each entry bounds the run that stops there *by a schedule fixed in advance*. After stopping
        adaptively only the bound at the filter's cap is a guarantee.
    """
    gaussian.check_delta(delta)
    side = _adjacency(adjacency)
    beside = Parts() if releases is None else parts_of(_event(releases), side)
    trained = Parts() if training is None else parts_of(_event(training), side)
    answered = [parts_of(_event(event), side) for event in rounds]
    inside = cascade and training is not None
    if not inside and _all_gaussian(answered):
        found = _growing(beside.with_parts(trained), [part.mu2 for part in answered], float(delta))
        if found is not None:
            return found
    result: list[Bound] = []
    for k in range(1, len(answered) + 1):
        answers = Parts().with_parts(*answered[:k])
        both = cascaded(trained, answers) if inside else trained.with_parts(answers)
        result.append(_epsilon(beside.with_parts(both), float(delta)))
    return result


def _all_gaussian(parts: Sequence[Parts]) -> bool:
    return all(part == Parts(part.mu2) for part in parts)


def _growing(base: Parts, mu2: list[float], delta: float) -> list[Bound] | None:
    """Epsilon of sampled steps beside more and more Gaussians, all rounds at once.

    None where a contour is missing, or nothing is sampled and each entry has a closed form.
    """
    if not base.sampled or base != Parts(base.mu2, base.sampled):
        return None
    sums = np.array([math.fsum([base.mu2, *mu2[:k]]) for k in range(1, len(mu2) + 1)])
    lower, upper = certified.epsilon_bounds(base.sampled, REMOVE, sums, delta)
    if not np.isfinite(upper).all():
        return None
    over = certified.delta_bounds(base.sampled, ADD, sums, upper)[1] > delta
    if over.any():
        other = certified.epsilon_bounds(base.sampled, ADD, sums[over], delta)
        lower[over] = np.maximum(lower[over], other[0])
        upper[over] = np.maximum(upper[over], other[1])
    if not np.isfinite(upper).all():
        return None
    return [Bound(low, high) for low, high in zip(lower.tolist(), upper.tolist(), strict=True)]


def overlap(
    events_per_silo: Sequence[Event],
    m: int,
    *,
    delta: float,
    adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE,
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
    if parts.cascades:
        lower = _epsilon(parts.without_cascades(), delta).lower
        upper = max(_upper(parts, side, delta) for side in DIRECTIONS)
        return Bound(min(lower, upper), upper)
    lower, upper = epsilon_bounds(parts, REMOVE, delta)
    # Where the first direction's epsilon serves the second one too, that is the larger.
    serves = (not parts.sampled and not parts.others) or (
        math.isfinite(upper) and delta_bounds(parts, ADD, np.array([upper]))[1][0] <= delta
    )
    if not serves:
        other = epsilon_bounds(parts, ADD, delta)
        lower, upper = max(lower, other[0]), max(upper, other[1])
    return Bound(lower, upper)


@lru_cache(maxsize=8192)
def _upper(parts: Parts, side: int, delta: float) -> float:
    """Upper epsilon in one direction; rounds of an odometer share the readings that stay."""
    if parts.unbounded or not parts.cascades:
        return epsilon_bounds(parts, side, delta)[1]
    models, answers = (_upper(reading, side, delta) for reading in readings(parts))
    least = min(models, answers)
    if not has_product(parts) or _hopeless(parts, least):
        return least
    return min(least, crossing(lambda e: delta_product(parts, side, e), delta, least)[1])


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
    curves = np.sort(np.stack([moments(p, side) for p in plain]), axis=0)[-m:]
    return max(0.0, float(rdp.epsilon_at(curves.sum(axis=0), np.log([delta]))[0]) * (1 + 1e-12))


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
