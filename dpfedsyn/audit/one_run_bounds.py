"""How many canaries of one run can be guessed right: bounds for (epsilon, delta)-DP and for f-DP.

One run holds m canaries, each in or out by a fair coin of its own. They share the run's noise and
interfere, so their evidence must not be multiplied; what is bounded is the *number* of right
guesses. A guess is -1, 0 (none) or 1 and depends on the run's output alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, ndtr, ndtri

Array = NDArray[np.float64]
Inverse = Callable[[Array], Array]

MOST_EPSILON, MOST_MU = 200.0, 40.0
_SLACK = 1e-9  # relative, taken off every requirement: rounding must not exclude what is possible
_GRID = 48


@dataclass(frozen=True)
class Guesses:
    """What a guesser of coins did: `correct` right ones of `made`, with `canaries` to guess."""

    canaries: int
    made: int
    correct: int


def p_value_approximate(guesses: Guesses, epsilon: float, delta: float) -> float:
    """Return a bound on P(at least so many right guesses) for an (epsilon, delta)-DP run.

    Steinke, Nasr & Jagielski (2023, arXiv 2305.08846), theorem 5.2: with F(v) = P(Bin(r, q) >= v),
    q = 1 / (1 + e^-epsilon), it is F(v) + max_i c_i (F(v - i) - F(v)) with c_i = 2 m delta / i.

    Guarantee:
        Never below the theorem's bound, and it grows with epsilon and delta: each term is
        max(1 - c_i, 0) F(v) + c_i F(v - i).
    """
    r, v = guesses.made, guesses.correct
    if v == 0:
        return 1.0
    q = 1.0 / (1.0 + math.exp(-epsilon))
    back = np.arange(1.0, v + 1.0)
    shares = 2.0 * guesses.canaries * delta / back
    here, behind = float(_at_least(np.array([float(v)]), r, q)[0]), _at_least(v - back, r, q)
    terms = np.maximum(1.0 - shares, 0.0) * here + shares * behind
    return min(1.0, max(here, float(terms.max())))


@lru_cache(maxsize=4096)
def epsilon_lower(guesses: Guesses, delta: float, confidence: float) -> float:
    """Return the least epsilon that (epsilon, delta)-DP runs leave possible, at this confidence.

    Guarantee:
        For an (epsilon, delta)-DP run it exceeds epsilon with probability at most 1 - confidence,
        whatever the canaries do to each other: `p_value_approximate` is inverted, from below.
    """
    return _boundary(
        lambda e: p_value_approximate(guesses, e, delta) > 1.0 - confidence, MOST_EPSILON
    )


def least_mass(guesses: Guesses, chance: float | Array, inverse: Inverse) -> Array:
    """Return the least total probability of counts of which `chance` lies at `correct` or above.

    Mahloujifar, Melis & Chaudhuri (2024, arXiv 2410.22235), whose recursion this is. Of r guesses
    let C be right, p_j = P(C = j). For canary i and a count j, the event "i is guessed, and at
    least j others are right" is one of the output and of the *other* coins. Summed over canaries,
    its probability together with a wrong guess of i is m u_j = sum_(l >= j) (r - l) p_l, together
    with a right one m w_(j+1) = sum_(l > j) l p_l. f-DP for each canary, and concavity of
    g = 1 - f, give w_(j+1) <= g(u_j) for every j. Going down from `correct` and giving each count
    the least mass that its constraint needs is optimal: mass moved to a lower count adds more to
    every u below and less to every w. Where the least total exceeds 1, f-DP leaves no such run.

    Args:
        inverse: g^-1, from the probability of a right guess to the least one of a wrong guess.
    """
    m, r, v = float(guesses.canaries), guesses.made, guesses.correct
    mass = np.array(chance, dtype=np.float64)
    right, wrong = v * mass / m, (r - v) * mass / m
    for j in range(v - 1, -1, -1):
        needed = np.maximum(inverse(np.minimum(right, 1.0)) * (1.0 - _SLACK) - wrong, 0.0)
        mass = mass + needed * (m / (r - j))
        wrong = wrong + needed
        right = right + needed * (j / (r - j))
        if (mass > 2.0).all():
            break
    return mass


def gaussian_inverse(mu: float | Array) -> Inverse:
    """Return g^-1 of mu-GDP: w -> Phi(Phi^-1(w) - mu) (Dong, Roth & Su 2022)."""

    def inverse(right: Array) -> Array:
        found: Array = ndtr(ndtri(right) - mu)
        return found

    return inverse


def lines_inverse(epsilons: Array, deltas: Array) -> Inverse:
    """Return g^-1 where a run is (epsilon_k, delta_k)-DP for all k: the largest of the lines'.

    A right guess has w <= e^epsilon u + delta, and w <= 1 - e^-epsilon (1 - delta - u).
    """
    growth = np.exp(epsilons)

    def inverse(right: Array) -> Array:
        w = np.asarray(right)[..., None]
        low, high = (w - deltas) / growth, 1.0 - deltas - growth * (1.0 - w)
        found: Array = np.maximum(np.maximum(low, high).max(axis=-1), 0.0)
        return found

    return inverse


@lru_cache(maxsize=4096)
def mu_lower(guesses: Guesses, confidence: float) -> float:
    """Return the least mu that mu-GDP runs leave possible, at this confidence.

    Guarantee:
        For a mu-GDP run it exceeds mu with probability at most 1 - confidence, whatever the
        canaries do to each other; see `least_mass`.
    """
    low, high = 0.0, MOST_MU
    for _ in range(4):
        values = np.linspace(low, high, _GRID)
        chances = np.full(_GRID, 1.0 - confidence)
        excluded = least_mass(guesses, chances, gaussian_inverse(values)) > 1.0 + _SLACK
        if not excluded[0]:
            return low
        last = int(np.flatnonzero(excluded)[-1])
        low = float(values[last])
        if last == _GRID - 1:
            return low
        high = float(values[last + 1])
    return low


def p_value(guesses: Guesses, inverse: Inverse) -> float:
    """Return a bound on P(at least so many right guesses) for a run with this g^-1.

    Guarantee:
        Never below the largest chance for which `least_mass` stays within 1: the search ends at
        one for which it does not.
    """
    logs = (math.log(1e-30), 0.0)
    for _ in range(4):
        chances = np.exp(np.linspace(*logs, _GRID))
        possible = least_mass(guesses, chances, inverse) <= 1.0 + _SLACK
        if possible[-1]:
            return float(chances[-1])
        first = int(np.flatnonzero(~possible)[0])
        if first == 0:
            return float(chances[0])
        logs = (math.log(chances[first - 1]), math.log(chances[first]))
    return float(chances[first])


def _boundary(possible: Callable[[float], bool], most: float) -> float:
    """Return the largest value found impossible below a possible one; 0 where 0 is possible."""
    if possible(0.0):
        return 0.0
    low, high = 0.0, most
    while high - low > 1e-7 * max(1.0, low):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if possible(middle) else (middle, high)
    return low


def _at_least(least: Array, count: int, chance: float) -> Array:
    """Return P(Bin(count, chance) >= k) for each k, rounded up."""
    k = np.clip(least, 1.0, count)
    tails = betainc(k, count - k + 1.0, chance) * (1.0 + 1e-12)
    found: Array = np.where(least <= 0.0, 1.0, np.where(least > count, 0.0, tails))
    return np.minimum(found, 1.0)
