"""The inverse question: how much noise (or how few rounds) meets a budget."""

import math
from collections.abc import Callable

from accountants.accountant import epsilon as epsilon_of
from accountants.errors import CalibrationFailed
from accountants.events import Adjacency, Event


def calibrate(
    make_event: Callable[[float], Event],
    *,
    epsilon: float,
    delta: float,
    adjacency: Adjacency | str,
    bracket: tuple[float, float],
    tolerance: float = 1e-6,
) -> float:
    """About the smallest value in `bracket` whose event has an *upper* epsilon within the budget.

    Args:
        make_event: from a value, such as a noise multiplier, to an event whose epsilon falls in it.
        bracket: (low, high) > 0. tolerance: relative width at which the search ends.
    Guarantee:
        The returned value itself was accounted for and meets (epsilon, delta).
    Raises:
        CalibrationFailed: even `high` is over the budget, or the bracket or budget is no such.
    """
    low, high = (float(end) for end in bracket)
    if not (0 < low < high < math.inf and epsilon > 0 and math.isfinite(epsilon)):
        raise CalibrationFailed(
            f"bracket=({low}, {high}) must satisfy 0 < low < high and epsilon={epsilon} must be "
            "positive and finite; nothing was searched."
        )

    def over(value: float) -> float:
        """log of epsilon over the budget; meets it where <= 0."""
        upper = epsilon_of(make_event(value), delta=delta, adjacency=adjacency).upper
        return math.log(max(upper, 1e-300) / epsilon) if math.isfinite(upper) else math.inf

    over_high = over(high)
    if over_high > 0:
        raise CalibrationFailed(
            f"Even {high} gives epsilon = {epsilon * math.exp(over_high):.6g} at delta = {delta}, "
            f"above the budget of {epsilon}. Raise the bracket's upper end, take fewer steps or "
            "rounds, or allow a larger epsilon."
        )
    over_high = min(over_high, -1e-300)
    over_low = over(low)
    return low if over_low <= 0 else _search(over, (low, over_low), (high, over_high), tolerance)


def _search(
    over: Callable[[float], float],
    failing: tuple[float, float],
    meeting: tuple[float, float],
    tolerance: float,
) -> float:
    """Regula falsi with the Illinois weight, in log-log coordinates; returns a tested value."""
    (low, over_low), (high, over_high) = failing, meeting
    side = 0
    for _ in range(200):
        if high <= low * (1 + tolerance):
            break
        width = math.log(high / low)
        share = over_low / (over_low - over_high) if over_low < math.inf else 0.5
        # Half a tolerance beyond the root closes the bracket once the root is known that well.
        margin = min(0.5, tolerance / (2 * width))
        share = min(max(share + (margin if share < 0.5 else -margin), margin), 1 - margin)
        middle = low * math.exp(width * share)
        if not low < middle < high:
            break
        value = over(middle)
        if value <= 0:
            high, over_high = middle, min(value, -1e-300)
            over_low = over_low / 2 if side < 0 else over_low
            side = -1
        else:
            low, over_low = middle, value
            over_high = over_high / 2 if side > 0 else over_high
            side = 1
    return high
