"""Upper privacy profiles: delta as a function of epsilon, for each direction of neighbouring.

A profile here is *valid* (never below the true delta) at every real epsilon, and as tight as the
known bounds make it: the least of several readings, each valid by itself.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accountants import gaussian, knots, rdp
from accountants.knots import Knots
from accountants.parts import Parts, Sampled

Array = NDArray[np.float64]

REMOVE, ADD = 0, 1
DIRECTIONS = (REMOVE, ADD)

# Log deltas at which a profile gets a corner: close where claims are made, wide below.
_LEVELS: Array = -np.concatenate([[0.003, 0.01, 0.03, 0.06], np.arange(0.1, 28, 0.12),
                                  np.arange(28, 80, 1.0)])  # fmt: skip
_MIRROR: Array = -np.concatenate([[0.003, 0.03], np.arange(0.1, 12, 0.3), np.arange(12, 40, 2.0)])
_ANSWER_Z: Array = np.linspace(-5.0, 10.0, 46)  # where the answers' profile falls, in its own scale


def delta_upper(parts: Parts, direction: int, epsilon: Array) -> Array:
    """Upper delta of `parts` at each (real) epsilon, one direction: the least of its readings."""
    if parts.unbounded:
        return np.ones_like(epsilon)
    if not parts.cascades:
        return _plain(parts, direction, epsilon)
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
    if not rest.sampled:
        return knots.mixed(product, lambda e: _gaussian(rest.mu2, e), epsilon)
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
        knots.at(model_profile(model, direction), forward) * _gaussian(answers.mu2, forward),
    ])  # fmt: skip
    return knots.from_values(at, np.minimum(values, 1.0))


@lru_cache(maxsize=64)
def model_profile(parts: Parts, direction: int) -> Knots:
    """The profile of what trains a model, tabulated once and shared by every round."""
    at = _grid(parts, direction)
    values = _plain(parts, direction, at)
    if parts.mu2 == 0:  # otherwise the smoothed profile knows both directions already
        mirrored = _reverse_value(-at, _plain(parts, 1 - direction, -at))
        values = np.minimum(values, mirrored)
    return knots.from_values(at, values)


def _reversed(epsilon: Array, reverse: Knots, answers: Parts) -> Array:
    """h at g = e^-epsilon for epsilon > 0, from the other direction's product."""
    product = knots.at(reverse, epsilon) * _gaussian(answers.mu2, epsilon)
    return _reverse_value(epsilon, product)


def _reverse_value(epsilon: Array, delta: Array) -> Array:
    """delta(-epsilon) = 1 - e^-epsilon + e^-epsilon delta_rev(epsilon)."""
    with np.errstate(over="ignore", under="ignore"):
        scaled = np.exp(-np.maximum(epsilon, 0.0))
        value: Array = np.where(epsilon >= 0, 1 - scaled * (1 - delta), 1.0)
    return np.minimum(value * (1 + 1e-15), 1.0)


def _plain(parts: Parts, direction: int, epsilon: Array) -> Array:
    """Without cascades: Gaussians exactly, sampled ones by RDP, both by smoothing."""
    if not parts.sampled:
        return _gaussian(parts.mu2, epsilon)
    moments = _moments(parts.sampled)[direction] + rdp.gaussian(parts.mu2)
    with np.errstate(under="ignore"):
        by_moments = np.exp(np.maximum(rdp.log_delta(moments, epsilon), -690.0)) * (1 + 1e-12)
    # Sampling never hurts: with every unit in every sample it is one Gaussian.
    unsampled = parts.mu2 + sum(count * sigma**-2 for (_, sigma), count in parts.sampled)
    best = np.minimum(by_moments, _gaussian(unsampled * (1 + 1e-14), epsilon))
    best = np.minimum(best, _by_total_variation(parts, epsilon))
    if parts.mu2 > 0:
        smoothed = knots.mixed(
            _sampled_profile(parts.sampled, direction), lambda e: _gaussian(parts.mu2, e), epsilon
        )
        best = np.minimum(best, smoothed)
    return np.minimum(best, 1.0)


def _by_total_variation(parts: Parts, epsilon: Array) -> Array:
    """Total variations add up, and q of one step's counts: the bound that matters for tiny q."""
    steps = sum(
        count * rate * float(gaussian.delta(1 / sigma, 0.0))
        for (rate, sigma), count in parts.sampled
    )
    total = min(1.0, (steps + float(gaussian.delta(parts.mu2**0.5, 0.0))) * (1 + 1e-12))
    return np.where(epsilon >= 0, total, _reverse_value(-epsilon, np.array(total)))


@lru_cache(maxsize=64)
def _sampled_profile(sampled: Sampled, direction: int) -> Knots:
    """The sampled part alone; what Gaussians stand beside it is folded in exactly."""
    return model_profile(Parts(sampled=sampled), direction)


@lru_cache(maxsize=64)
def _moments(sampled: Sampled) -> tuple[Array, Array]:
    """log moments of all sampled steps, (remove, add)."""
    curves = [rdp.subsampled(rate, sigma) for (rate, sigma), _ in sampled]
    counts = [count for _, count in sampled]
    remove = sum((n * c[REMOVE] for n, c in zip(counts, curves, strict=True)), np.zeros(1))
    add = sum((n * c[ADD] for n, c in zip(counts, curves, strict=True)), np.zeros(1))
    return remove, add


def _gaussian(mu2: float, epsilon: Array) -> Array:
    # A sum of squares and its root, each rounded to nearest: a few ulp upward cover both.
    return gaussian.delta_bounds(float(np.sqrt(mu2)) * (1 + 1e-15), epsilon)[1]


@lru_cache(maxsize=128)
def _grid(parts: Parts, direction: int) -> Array:
    """Epsilons at which to tabulate a profile without cascades: where it passes given levels."""
    if parts.unbounded:
        return np.array([0.0])
    ahead = _at_levels(parts, direction, _LEVELS)
    behind = -_at_levels(parts, 1 - direction, _MIRROR)
    low, high = float(behind.min()), float(ahead.max())
    return np.unique(np.concatenate([ahead, behind, np.linspace(low, high, 64), [0.0]]))


def _at_levels(parts: Parts, direction: int, levels: Array) -> Array:
    if parts.mu2 == 0 and not parts.sampled:
        return np.array([0.0])
    moments = rdp.gaussian(parts.mu2)
    if parts.sampled:
        moments = moments + _moments(parts.sampled)[direction]
    return rdp.epsilon_at(moments, levels)
