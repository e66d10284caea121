"""A dominating pair with finitely many privacy losses, from upper values of a privacy profile.

delta as a function of g = e^epsilon is convex and falls from 1 at g = 0. Chords between upper
values therefore lie above it ("connect the dots", Doroshenko et al. 2022), and a convex chain of
chords *is* the profile of a dominating pair (Zhu, Dong & Wang 2022): its loss is epsilon_i with
probability w_i = g_i * (change of slope), and infinite with the last delta. Slopes are only ever
used times g_i, so that no e^epsilon is formed and epsilon may be a million.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ProfileFunction = Callable[[Array], Array]

_NOISE = 1e-12  # a corner this little concave is rounding; its weight counts as 0, which adds mass
_WORST_ROUNDING = 1e-9  # relative; measured far below: mixtures of a few hundred positive terms


@dataclass(frozen=True, eq=False)
class Knots:
    """Corners of a convex upper profile, one direction.

    epsilon: (n,) ascending. delta: (n,) non-increasing. weight: (n,) probability of the loss
    epsilon_i; with delta[-1], the probability of an infinite loss, they sum to 1.
    """

    epsilon: Array
    delta: Array
    weight: Array


def from_values(epsilon: Array, delta: Array) -> Knots:
    """The lower convex chain through upper values (any subset of the values is valid)."""
    order = np.argsort(epsilon, kind="stable")
    at, value = epsilon[order], np.minimum.accumulate(np.minimum(delta[order], 1.0))
    fresh = np.concatenate([np.diff(at) > 1e-12 * (1 + np.abs(at[1:])), [True]])
    at, value = at[fresh], value[fresh]
    while True:
        weight = _weights(at, value)
        above = weight < -_NOISE * value
        if not above.any():
            break
        # Of neighbours above their chord only one goes per pass: the other may be needed then.
        above[1:] &= ~above[:-1]
        at, value = at[~above], value[~above]
    return Knots(at, value, np.maximum(weight, 0.0))


def mixed(knots: Knots, profile: ProfileFunction, epsilon: Array) -> Array:
    """Upper profile of the pair composed with another mechanism's upper `profile`.

    delta(epsilon) = p_inf + sum_i w_i * profile(epsilon - epsilon_i): exact for the pair, hence an
    upper bound for what it dominates.
    """
    shifted = epsilon[:, None] - knots.epsilon[None, :]
    values = profile(shifted.ravel()).reshape(shifted.shape)
    total = (values @ knots.weight + knots.delta[-1]) * (1 + _WORST_ROUNDING)
    capped: Array = np.minimum(total, 1.0)
    return capped


def at(knots: Knots, epsilon: Array) -> Array:
    """The chain of chords itself, at each epsilon."""
    points, values = knots.epsilon, knots.delta
    right = np.searchsorted(points, epsilon, side="left")
    inside = np.clip(right, 1, points.size - 1)
    start, end = points[inside - 1], points[inside]
    x, width = epsilon - start, end - start
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        # (e^x - 1) / (e^width - 1) without overflow
        share = np.exp(x - width) * np.expm1(-x) / np.expm1(-width)
        chord = values[inside - 1] + (values[inside] - values[inside - 1]) * share
        first = 1 - (1 - values[0]) * np.exp(np.minimum(epsilon - points[0], 0.0))
    result = np.where(epsilon >= points[-1], values[-1], chord)
    result = np.where(epsilon <= points[0], first, result)
    capped: Array = np.minimum(result * (1 + _WORST_ROUNDING), 1.0)
    return capped


def _weights(at: Array, value: Array) -> Array:
    """g_i times the change of slope at each knot; the chain starts at (g, delta) = (0, 1)."""
    width, drop = np.diff(at), np.diff(value)
    with np.errstate(over="ignore"):
        after = np.append(drop / np.expm1(width), 0.0)
    before = np.concatenate([[value[0] - 1.0], drop / -np.expm1(-width)])
    change: Array = after - before
    return change
