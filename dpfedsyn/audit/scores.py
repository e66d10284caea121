"""Scores: log-odds that the coin was 1, learnt from past calls and fixed before the next.

Three rules of growing appetite, each a logistic regression with a Gaussian prior: the one value
that tells most, all values, and all features. Each is tempered by how well it did on calls that it
had not seen, so that a rule that only remembers bets next to nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit.calling import Outputs
from dpfedsyn.audit.features import bounded, frame, place
from dpfedsyn.errors import AuditError

Array = NDArray[np.float64]

NAMES = ("one value", "all values", "all features")
_ROUNDS = 12


class Score(Protocol):
    """A rule: log-odds of label 1, (n,), for n outputs."""

    def __call__(self, outputs: Outputs) -> Array:
        """Return the log-odds."""
        ...


@dataclass(frozen=True)
class Fitted:
    """One rule and what it said about past calls that it had not seen.

    Attributes:
        score: the rule, tempered. past: (n,) log-odds of past calls by rules fitted without them.
    """

    score: Score
    past: Array


@dataclass(frozen=True)
class Linear:
    """Log-odds that are linear in features of a frame, within +-`reach`."""

    features: Callable[[Outputs], Array]
    weights: Array
    reach: float

    def __call__(self, outputs: Outputs) -> Array:
        """Return the log-odds, (n,)."""
        odds = _with_one(self.features(outputs)) @ self.weights
        return np.clip(odds, -self.reach, self.reach)


@dataclass(frozen=True)
class Given:
    """A score that the user gave, placed and tempered."""

    score: Callable[[Array], Array]
    centre: float
    scale: float
    slope: float
    offset: float
    reach: float

    def __call__(self, outputs: Outputs) -> Array:
        """Return the log-odds, (n,)."""
        placed = _placed(_scored(self.score, outputs), self.centre, self.scale)
        return np.clip(self.slope * placed + self.offset, -self.reach, self.reach)


def learn(outputs: Outputs, labels: Array, *, low_bits: bool = False) -> tuple[Fitted, ...]:
    """The three rules, from past calls.

    Args:
        outputs, labels: of n past calls.
        low_bits: see `frame`.
    """
    seen = frame(outputs, labels, low_bits=low_bits)
    column = _telling(seen.standardised(outputs), labels)
    return (
        _fitted(lambda o: seen.standardised(o)[:, column], outputs, labels),
        _fitted(seen.linear, outputs, labels),
        _fitted(seen.rich, outputs, labels),
    )


def learn_given(
    score: Callable[[Array], Array], outputs: Outputs, labels: Array
) -> tuple[Fitted, ...]:
    """A given score's odds: its slope and offset are all that is learnt."""
    values = _scored(score, outputs)
    (centre,), (scale,) = place(values[:, None])
    placed = _placed(values, centre, scale)
    slope, offset = _map(_with_one(placed[:, None]), labels, 1e-3)
    given = Given(score, centre, scale, float(slope), float(offset), _reach(len(labels)))
    return (Fitted(given, given(outputs)),)


def _fitted(features: Callable[[Outputs], Array], outputs: Outputs, labels: Array) -> Fitted:
    design = _with_one(features(outputs))
    ridge = 0.5 * design.shape[1] / len(labels)
    half = np.arange(len(labels)) % 2 == 0
    past = np.zeros(len(labels))
    for fold in (half, ~half):
        past[fold] = design[fold] @ _map(design[~fold], labels[~fold], ridge)
    temper = _temper(past, labels)
    reach = _reach(len(labels))
    weights = temper * _map(design, labels, ridge)
    return Fitted(Linear(features, weights, reach), np.clip(temper * past, -reach, reach))


def _map(design: Array, labels: Array, ridge: float) -> Array:
    """Most probable weights of a logistic regression under N(0, 1 / (n ridge)); Newton's method.

    The last column is the constant, of which nothing is believed beforehand.
    """
    weights = np.zeros(design.shape[1])
    penalty = np.full(design.shape[1], max(ridge * len(labels), 1e-3))
    penalty[-1] = 1e-3
    for _ in range(_ROUNDS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (chance - labels) + penalty * weights
        curvature = (design.T * (chance * (1 - chance))) @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        size = float(np.abs(step).max())
        weights = weights - step * min(1.0, 4.0 / max(size, 1e-300))
        if size < 1e-3:
            break
    return weights


def _temper(past: Array, labels: Array) -> float:
    """The factor in [0, 2] at which unseen labels are likeliest, by Newton's method from 1."""
    signs = (2.0 * labels - 1.0) * past
    if not np.any(signs):
        return 0.0
    factor, prior = 1.0, 1.0  # an observation's worth of belief in 1
    for _ in range(_ROUNDS):
        chance = 1.0 / (1.0 + np.exp(np.clip(factor * signs, -30, 30)))
        gradient = float(-(chance @ signs)) + prior * (factor - 1.0)
        curvature = float((chance * (1 - chance)) @ np.square(signs)) + prior
        factor = min(max(factor - gradient / curvature, 0.0), 2.0)
    return factor


def _telling(standard: Array, labels: Array) -> list[int]:
    """The column whose labels' means lie furthest apart; none where there are no columns."""
    if standard.shape[1] == 0:
        return []
    one = standard[labels == 1].mean(axis=0) if np.any(labels == 1) else 0.0
    zero = standard[labels == 0].mean(axis=0) if np.any(labels == 0) else 0.0
    spread = standard.std(axis=0)
    return [int(np.argmax(np.abs(one - zero) / np.where(spread > 0, spread, np.inf)))]


def _with_one(features: Array) -> Array:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def _reach(calls: int) -> float:
    """No rule may be surer than its number of calls allows: one wrong label must not ruin it."""
    return float(np.log(calls + 1.0)) + 0.5


def _placed(values: Array, centre: float, scale: float) -> Array:
    with np.errstate(over="ignore"):
        return np.clip((values - centre) / scale, -1e6, 1e6)


def _scored(score: Callable[[Array], Array], outputs: Outputs) -> Array:
    given = np.asarray(score(outputs.values), dtype=np.float64)
    if given.size != len(outputs):
        raise AuditError(
            f"The score returned shape {given.shape} for {len(outputs)} outputs, so that it is "
            "unclear which one is whose. Return one number for each row."
        )
    return bounded(given.reshape(len(outputs)))
