"""Upper privacy profiles: delta as a function of epsilon, for each direction of neighbouring.

A profile here is *valid* (never below the true delta) at every real epsilon, and as tight as the
known bounds make it: the least of several readings, each valid by itself.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accountants import claims, knots, rdp
from accountants.knots import Knots
from accountants.parts import Parts
from accountants.plain import behind, delta_bounds, moments
from accountants.steps import REMOVE

Array = NDArray[np.float64]

# Log deltas at which a profile gets a corner: close where claims are made, wide below.
_LEVELS: Array = -np.concatenate([[0.003, 0.01, 0.03, 0.06], np.arange(0.1, 28, 0.12),
                                  np.arange(28, 80, 1.0)])  # fmt: skip
_MIRROR: Array = -np.concatenate([[0.003, 0.03], np.arange(0.1, 12, 0.3), np.arange(12, 40, 2.0)])
_FAR = 1e6  # an epsilon at which only infinite losses are left
_ANSWER_Z: Array = np.linspace(-5.0, 10.0, 46)  # where the answers' profile falls, in its own scale


def delta_upper(parts: Parts, direction: int, epsilon: Array) -> Array:
    """Upper delta of `parts` at each (real) epsilon, one direction: the least of its readings."""
    if parts.unbounded or not parts.cascades:
        return _upper(parts, direction, epsilon)
    whole = [delta_upper(reading, direction, epsilon) for reading in readings(parts)]
    if has_product(parts):
        whole.append(delta_product(parts, direction, epsilon))
    least: Array = np.minimum.reduce(whole)
    return least


def readings(parts: Parts) -> tuple[Parts, Parts]:
    """What a cascade releases at most: (as if the models themselves left, the answers alone)."""
    rest = parts.without_cascades()
    models = rest.with_parts(*(model for model, _ in parts.cascades))
    answers = rest.with_parts(*(answer for _, answer in parts.cascades))
    return models, answers


def has_product(parts: Parts) -> bool:
    """Whether the cascade theorem's product may be read.

    Exactly one cascade: a product for each of several would need every model to be trained afresh,
    which an event cannot show. Several models behind one set of answers are one Cascade.
    """
    return len(parts.cascades) == 1 and not any(
        part.unbounded for part in (parts, *parts.cascades[0])
    )


def delta_product(parts: Parts, direction: int, epsilon: Array) -> Array:
    """The cascade's product, composed with what else left the silo; that stays outside of it."""
    rest = parts.without_cascades()
    product = cascade(*parts.cascades[0], direction)
    if not (rest.sampled or rest.others):
        return knots.mixed(product, lambda e: _upper(Parts(rest.mu2), direction, e), epsilon)
    table = model_profile(rest, direction)
    return knots.mixed(product, lambda e: knots.at(table, e), epsilon)


@lru_cache(maxsize=64)
def cascade(model: Parts, answers: Parts, direction: int) -> Knots:
    """The product delta_A * delta_B of the cascade theorem as a dominating pair.

    h(g) = delta_A(g) delta_B(g) for g >= 1, and 1 - g + g delta_A^rev(1/g) delta_B(1/g) below: the
    reverse direction's product, read backwards.
    Source: contraction of hockey-stick divergences (Asoodeh, Diaz & Calmon 2020).
    Guarantee:
        `answers` is a two-point bound, so its profile holds for any two models and is symmetric.
    """
    at = _grid(model, direction)
    root = float(np.sqrt(answers.mu2))
    falling = root * _ANSWER_Z + answers.mu2 / 2
    at = np.union1d(at, falling[np.abs(falling) < at[-1]])
    forward = at[at >= 0]
    backward = -at[at < 0]
    values = np.concatenate([
        _reversed(backward, model_profile(model, 1 - direction), answers),
        knots.at(model_profile(model, direction), forward) * _upper(answers, REMOVE, forward),
    ])  # fmt: skip
    return knots.from_values(at, np.minimum(values, 1.0))


@lru_cache(maxsize=64)
def model_profile(parts: Parts, direction: int) -> Knots:
    """The profile of what trains a model, tabulated once and shared by every round."""
    at = _grid(parts, direction)
    return knots.from_values(at, _upper(parts, direction, at))


def _reversed(epsilon: Array, reverse: Knots, answers: Parts) -> Array:
    """h at g = e^-epsilon for epsilon > 0, from the other direction's product."""
    return behind(epsilon, knots.at(reverse, epsilon) * _upper(answers, REMOVE, epsilon))


def _upper(parts: Parts, direction: int, epsilon: Array) -> Array:
    return delta_bounds(parts, direction, epsilon)[1]


@lru_cache(maxsize=128)
def _grid(parts: Parts, direction: int) -> Array:
    """Epsilons at which to tabulate a profile without cascades: where it passes given levels."""
    if parts.unbounded or parts == Parts():
        return np.array([0.0])
    if parts.others:
        return _even_grid(parts, direction)
    ahead = rdp.epsilon_at(moments(parts, direction), _LEVELS)
    backward = -rdp.epsilon_at(moments(parts, 1 - direction), _MIRROR)
    low, high = float(backward.min()), float(ahead.max())
    return np.unique(np.concatenate([ahead, backward, np.linspace(low, high, 64), [0.0]]))


def _even_grid(parts: Parts, direction: int) -> Array:
    """Even steps to where the profile is as good as 0, or as good as what it never falls below.

    And where the losses of claims lie: alone they make kinks there.
    """
    ends = [_end(parts, side) for side in (direction, 1 - direction)]
    mixed = claims.losses(parts.others)
    kinks = np.zeros(1) if mixed is None else mixed.values
    return np.union1d(np.linspace(-ends[1], ends[0], 400), np.append(kinks, 0.0))


def _end(parts: Parts, direction: int) -> float:
    high = 1.0
    least = _upper(parts, direction, np.array([_FAR]))[0]
    while _upper(parts, direction, np.array([high]))[0] > max(1e-20, least * (1 + 1e-9)):
        high *= 2
    return high
