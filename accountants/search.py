"""Where a decreasing function crosses a target: only points that were tested are returned."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_RELATIVE_WIDTH = 1e-9
_LARGEST = 1e300


def crossing(profile: Callable[[Array], Array], delta: float, start: float) -> tuple[float, float]:
    """Neighbouring epsilons >= 0: (last with profile > delta, first with profile <= delta).

    (0, 0) where even 0 meets the target; (largest tried, infinite) where nothing does.

    Guarantee:
        Both were evaluated: an upper profile gives an upper epsilon, a lower one a lower epsilon.
    """
    start = max(start, 1e-9)
    ends = profile(np.array([0.0, start]))
    if ends[0] <= delta:
        return 0.0, 0.0
    logs, target = _log(ends), math.log(delta)
    low, high, low_log, high_log = 0.0, start, float(logs[0]), float(logs[1])
    met_at_high = bool(ends[1] <= delta)
    while not met_at_high:
        low, low_log = high, high_log
        high *= 4.0
        if high > _LARGEST:
            return low, math.inf
        value = profile(np.array([high]))
        met_at_high, high_log = bool(value[0] <= delta), float(_log(value)[0])
    for _ in range(100):
        width = high - low
        if width <= _RELATIVE_WIDTH * high:
            break
        # Secant in log delta, with a point a little to each side: one of the three brackets.
        share = (low_log - target) / max(low_log - high_log, 1e-300)
        guess = low + width * min(max(share, 0.0), 1.0)
        near = max(width * 1e-3, _RELATIVE_WIDTH * high / 3)
        points = np.array([guess - near, guess, guess + near, low + width / 2])
        points = np.unique(points[(points > low) & (points < high)])
        if not points.size:
            break
        tested = profile(points)
        values, met = _log(tested), np.flatnonzero(tested <= delta)
        first = int(met[0]) if met.size else points.size
        if first < points.size:
            high, high_log = float(points[first]), float(values[first])
        if first > 0:
            low, low_log = float(points[first - 1]), float(values[first - 1])
    return low, high


def _log(delta: Array) -> Array:
    result: Array = np.log(np.maximum(delta, 1e-320))
    return result
