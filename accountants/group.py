"""An event as a group of units sees it that come or go together.

The result is an event for the same adjacency, read with the group in the unit's place.
"""

import math
from fractions import Fraction

from accountants.errors import AccountingError, UnsupportedEvent
from accountants.events import (
    ApproximateDP,
    Cascade,
    Composed,
    Event,
    Gaussian,
    GroupSampled,
    Laplace,
    PoissonSampled,
    Repeated,
    Unbounded,
)
from accountants.filter import rounded_up

_LARGEST = 2**1000  # of an epsilon: beyond, the claim is empty


def group(event: Event, size: int) -> Event:
    """`event` as seen by `size` units that come, go or change together.

    Gaussian and Laplace: sensitivities add up. Poisson samples: each unit joins on its own (Ganesh
    2024). (epsilon, delta): the chain of `size` neighbours (Vadhan 2017, Lemma 2.2). Cascade: both
    sides, so the group's own answers are counted as well.

    Guarantee:
        The mechanism that `event` describes for one unit satisfies the result for the group.

    Raises:
        UnsupportedEvent: naming the part for which no bound is known.
        AccountingError: size is no whole number >= 1.
    """
    if isinstance(size, bool) or not hasattr(size, "__index__") or size.__index__() < 1:
        raise AccountingError(
            f"size={size!r} is not a whole number >= 1, so nobody is protected. Pass how many "
            "units come or go together."
        )
    size = int(size.__index__())
    if size == 1:
        return event
    match event:
        case Gaussian(noise_multiplier):
            return Gaussian(noise_multiplier / size)
        case Laplace(noise_multiplier):
            return Laplace(noise_multiplier / size)
        case ApproximateDP():
            return _approximate(event, size)
        case PoissonSampled(inner, rate):
            return GroupSampled(inner, rate, size)
        case GroupSampled(inner, rate, members):
            return GroupSampled(inner, rate, members * size)
        case Repeated(inner, count):
            return Repeated(group(inner, size), count)
        case Composed(parts):
            return Composed(tuple(group(part, size) for part in parts))
        case Cascade(model, answers):
            return Cascade(group(model, size), group(answers, size))
        case Unbounded():
            return event
    raise UnsupportedEvent(
        f"{event} has no bound for a group of {size} here. No epsilon is claimed. Draw Poisson "
        "samples, or state the claim for single units."
    )


def _approximate(event: ApproximateDP, size: int) -> Event:
    """epsilon and delta after `size` steps of e^epsilon delta + delta, moved outward."""
    total = Fraction(event.epsilon) * size
    reach = rounded_up(total) if total < _LARGEST else math.inf
    if event.delta == 0.0:
        chance = 0.0
    elif event.epsilon == 0.0:
        chance = event.delta * size * (1 + 1e-15)
    else:
        # (e^reach - 1) / (e^epsilon - 1) with e^(reach - epsilon) taken out: nothing overflows.
        ratio = math.expm1(-reach) / math.expm1(-event.epsilon)
        power = math.log(event.delta) + (reach - event.epsilon) + math.log(ratio)
        chance = math.exp(min(power + 1e-14 * (1000 + reach), 0.0))
    if not (math.isfinite(reach) and chance < 1.0):
        return Unbounded(f"{event} promises nothing to a group of {size}: its delta reaches 1.")
    return ApproximateDP(reach, chance)
