"""The inverse question: how much noise (or how few rounds) meets a budget."""

import math
from collections.abc import Callable

from accountants.accountant import epsilon as epsilon_of
from accountants.errors import CalibrationFailed
from accountants.events import Adjacency, Event

_MOST_TRIALS = 200
_SECANT_TRIALS = 12  # after which every other step halves the bracket
_LOG_NOTHING = -600.0  # log of an epsilon that is 0: no secant through it


def calibrate(
    make_event: Callable[[float], Event],
    *,
    epsilon: float,
    delta: float,
    adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE,
    bracket: tuple[float, float],
    tolerance: float = 1e-9,
) -> float:
    """About the smallest value in `bracket` whose event has an *upper* epsilon within the budget.

    Args:
        make_event: from a value, such as a noise multiplier, to an event whose epsilon falls in it.
        bracket: (low, high) > 0.
        tolerance: relative width at which the search ends.

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

    def over(log_value: float) -> float:
        """log of epsilon over the budget; meets it where <= 0."""
        event = make_event(min(max(math.exp(log_value), low), high))
        upper = epsilon_of(event, delta=delta, adjacency=adjacency).upper
        return math.log(max(upper, 1e-300) / epsilon) if math.isfinite(upper) else math.inf

    found = _search(over, math.log(low), math.log(high), tolerance)
    if found is None:
        excess = over(math.log(high))
        raise CalibrationFailed(
            f"Even {high} gives epsilon = {epsilon * math.exp(excess):.6g} at delta = {delta}, "
            f"above the budget of {epsilon}. Raise the bracket's upper end, take fewer steps or "
            "rounds, or allow a larger epsilon."
        )
    return min(max(math.exp(found), low), high)


def _search(
    over: Callable[[float], float], low: float, high: float, tolerance: float
) -> float | None:
    """Return a tested point where over <= 0, within `tolerance` of one that fails; or None.

    Secant steps from the middle, halved now and then; an end of the bracket is tested only when
    the steps lead there.
    """
    failing, meeting = -math.inf, math.inf
    at, value, slope = 0.5 * (low + high), over(0.5 * (low + high)), -1.0
    for trial in range(_MOST_TRIALS):
        failing, meeting = (failing, at) if value <= 0 else (at, meeting)
        if failing >= high:
            return None
        if meeting <= low or meeting - failing <= tolerance:
            break
        # Half a tolerance beyond the root closes the bracket once the root is known that well.
        guess = at - value / slope + math.copysign(0.4 * tolerance, value)
        guess = min(max(guess, low), high)
        useful = failing < guess < meeting and _LOG_NOTHING < value < math.inf
        if not useful or (trial > _SECANT_TRIALS and trial % 2):
            guess = 0.5 * (max(failing, low) + min(meeting, high))
        if not failing < guess < meeting:
            break
        fresh = over(guess)
        change = (fresh - value) / (guess - at)
        slope = change if -math.inf < change < 0 else -1.0
        at, value = guess, fresh
    return meeting
