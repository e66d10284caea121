"""Scores: log-odds that the coin was 1, learnt from past calls and fixed before the next.

Three rules of growing appetite, each a logistic regression with a Gaussian prior: the one value
that tells most, all values, and all features. Wide outputs are cut to the values that tell most,
but for the second rule, which weighs all of them (`spread`). Each is tempered by how well it did on
calls that it had not seen, so that a rule that only remembers bets next to nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit.calling import Outputs
from dpfedsyn.audit.features import Frame, bounded, frame, place
from dpfedsyn.audit.spread import WIDE, Sums, added, begun, directions
from dpfedsyn.errors import AuditError

Array = NDArray[np.float64]

NAMES = ("one value", "all values", "all features")
_ROUNDS = 12

Features: TypeAlias = Callable[[Outputs], Array]


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

    features: Features
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


def is_wide(outputs: Outputs) -> bool:
    """Whether there are too many values for a weight of each to be fitted at once."""
    return len(outputs.values.T) > WIDE


def learn(
    outputs: Outputs, labels: Array, *, low_bits: bool = False, sums: Sums | None = None
) -> tuple[Fitted, ...]:
    """The three rules, from past calls.

    Args:
        outputs, labels: of the latest n past calls. low_bits: see `frame`.
        sums: of all past calls, where outputs are wide; of these if None.
    """
    seen = frame(outputs, labels, low_bits=low_bits)
    if not is_wide(outputs):
        return (
            _fitted(_first(seen, outputs, labels), outputs, labels),
            _fitted(seen.linear, outputs, labels),
            _fitted(seen.rich, outputs, labels),
        )
    # The values that tell most are chosen by label, so that each half has those of the other.
    halves = tuple(
        (frame(drawn, own, low_bits=low_bits), drawn, own)
        for drawn, own in ((outputs.take(~fold), labels[~fold]) for fold in _folds(len(labels)))
    )
    sums = added(begun(outputs), outputs, labels) if sums is None else sums
    along, unseen = directions(sums, outputs, labels)
    return (
        _fitted(_first(seen, outputs, labels), outputs, labels, [_first(*half) for half in halves]),
        _calibrated(along, unseen, labels),
        _fitted(seen.rich, outputs, labels, [half[0].rich for half in halves]),
    )


def learn_given(
    score: Callable[[Array], Array], outputs: Outputs, labels: Array
) -> tuple[Fitted, ...]:
    """A given score's odds: its slope and offset are all that is learnt."""
    values = _scored(score, outputs)
    (centre,), (scale,) = place(values[:, None])
    placed = _placed(values, centre, scale)
    slope, offset = _map(_with_one(placed[:, None]), labels, 1e-3)
    given = Given(score, centre, scale, float(slope), float(offset), reach(len(labels)))
    return (Fitted(given, given(outputs)),)


def _fitted(
    features: Features, outputs: Outputs, labels: Array, apart: Sequence[Features] = ()
) -> Fitted:
    """A rule on features.

    Args:
        apart: features that were chosen without the calls of each fold; the same ones if empty.
    """
    design = _with_one(features(outputs))
    past = np.zeros(len(labels))
    for k, fold in enumerate(_folds(len(labels))):
        seen = _with_one(apart[k](outputs)) if apart else design
        past[fold] = seen[fold] @ _map(seen[~fold], labels[~fold], _ridge(seen))
    return _tempered(features, _map(design, labels, _ridge(design)), past, labels)


def _calibrated(along: Features, unseen: Array, labels: Array) -> Fitted:
    """A rule on one feature, whose slope comes from what the feature had not seen.

    Args:
        unseen: (n, 1) the feature as it was without each call.
    """
    design = _with_one(unseen)
    past = np.zeros(len(labels))
    for fold in _folds(len(labels)):
        past[fold] = design[fold] @ _map(design[~fold], labels[~fold], _ridge(design))
    return _tempered(along, _map(design, labels, _ridge(design)), past, labels)


def _tempered(features: Features, weights: Array, past: Array, labels: Array) -> Fitted:
    temper, within = _temper(past, labels), reach(len(labels))
    rule = Linear(features, temper * weights, within)
    return Fitted(rule, np.clip(temper * past, -within, within))


def _folds(calls: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    half = np.arange(calls) % 2 == 0
    return half, ~half


def _ridge(design: Array) -> float:
    return 0.5 * len(design.T) / len(design)


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


def _first(seen: Frame, outputs: Outputs, labels: Array) -> Features:
    return _value(seen, _telling(seen.standardised(outputs), labels))


def _value(seen: Frame, column: list[int]) -> Features:
    return lambda outputs: seen.standardised(outputs)[:, column]


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


def reach(calls: int) -> float:
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
