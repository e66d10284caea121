"""Audit one run with many canaries, each in or out by a fair coin of its own.

    flips = flip([f"canary {k}" for k in range(1000)], rng)
    model = train(records + [canary[k] for k in flips.joined])
    scores = CanaryScores.of(flips.ids, [score(model, canary[k]) for k in flips.ids])
    found = one_run(flips, scores, claim=claim)
    found.epsilon_lower(1e-5), found.mu_lower, found.p_value(claim)

Canaries of one run share its noise, so it is the number of right guesses that is bounded, never a
product of their evidence (`dpfedsyn.audit.one_run_bounds`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from accountants import Adjacency
from accountants.gaussian import epsilon as gaussian_epsilon
from dpfedsyn.audit import one_run_bounds as bounds
from dpfedsyn.audit.claims import LOSSES, Claim, curve_of
from dpfedsyn.audit.one_run_bounds import Guesses
from dpfedsyn.errors import AuditError

Array = NDArray[np.float64]

LEAST_CANARIES = 8


@dataclass(frozen=True)
class CoinFlips:
    """Which canaries joined the run: by id, each by a fair coin of its own."""

    included: Mapping[str, bool]

    @property
    def ids(self) -> list[str]:
        """All canaries, in or out."""
        return list(self.included)

    @property
    def joined(self) -> list[str]:
        """The canaries that the run must contain."""
        return [name for name, joined in self.included.items() if joined]


def flip(ids: Iterable[str], rng: np.random.Generator) -> CoinFlips:
    """Toss a fair coin for every canary.

    Raises:
        AuditError: an id occurs twice, or there are fewer than 8.
    """
    names = _distinct(ids, "flips")
    if len(names) < LEAST_CANARIES:
        raise AuditError(
            f"{len(names)} canaries: so few coins are guessed right by luck, and the run would "
            f"show nothing. Flip at least {LEAST_CANARIES}, better a thousand."
        )
    coins = rng.integers(0, 2, len(names)).astype(bool)
    return CoinFlips(dict(zip(names, coins.tolist(), strict=True)))


@dataclass(frozen=True)
class CanaryScores:
    """How much the run's output looks as if a canary had joined: by id, so none can be mistaken."""

    by_id: Mapping[str, float]

    @classmethod
    def of(cls, ids: Iterable[str], scores: Iterable[float]) -> CanaryScores:
        """Return scores (k,) under their ids (k,).

        Raises:
            AuditError: an id occurs twice, or there are not as many ids as scores.
        """
        names, values = _distinct(ids, "scores"), [float(score) for score in scores]
        if len(names) != len(values):
            raise AuditError(
                f"{len(values)} scores for {len(names)} canaries: some would go to the wrong one, "
                "and the audit would find nothing. Give one score for each id."
            )
        return cls(dict(zip(names, values, strict=True)))


def one_run(
    flips: CoinFlips,
    scores: CanaryScores,
    *,
    claim: Claim | None = None,
    adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE,
    guesses: int | None = None,
    confidence: float = 0.95,
) -> OneRun:
    """Guess the coins of one run from its canaries' scores, and bound its privacy by the result.

    Half of the guesses are "in", for the largest scores, and half "out", for the smallest; the rest
    of the canaries are not guessed. How many guesses are made is *fixed before any score is seen*:
    `guesses`, or what serves an ideal Gaussian run best that is as private as the claim.

    Args:
        claim: what is claimed of one canary in the whole run.
        guesses: even, at most the number of canaries; all of them where neither it nor a claim is
            given.

    Guarantee:
        Each bound of the result holds with probability `confidence` over coins and run, for that
        one run, if the coins were fair, independent and unknown to whatever made the scores.

    Raises:
        AuditError: scores and coins are not of the same canaries, a score is no number, or
            `guesses` is out of range.
    """
    _same_canaries(flips, scores)
    count = len(flips.included)
    if guesses is None:
        guesses = count - count % 2 if claim is None else planned_guesses(count, claim, adjacency)
    if not (2 <= guesses <= count and guesses % 2 == 0):
        raise AuditError(
            f"guesses = {guesses} of {count} canaries: half are guessed in and half out. Give an "
            f"even number from 2 to {count}, chosen before the scores were seen."
        )
    if not 0.5 <= confidence < 1.0:
        raise AuditError(f"confidence = {confidence} says nothing. Give one from 0.5, below 1.")
    order = sorted(scores.by_id, key=lambda name: (scores.by_id[name], name))
    half = guesses // 2
    right = sum(not flips.included[name] for name in order[:half])
    right += sum(flips.included[name] for name in order[-half:])
    return OneRun(Guesses(count, guesses, right), confidence)


@dataclass(frozen=True)
class OneRun:
    """What one run's canaries show. `guesses`: how many, of how many canaries, and how many right.

    The bounds are lower bounds on what the run spent on one canary. A low one is no proof of
    privacy: canaries of one run interfere (Keinan, Shenfeld & Ligett 2025), and a guesser who sees
    the last model alone sees little.
    """

    guesses: Guesses
    confidence: float

    def epsilon_lower(self, delta: float) -> float:
        """Lower bound on epsilon at `delta` for a run of any kind (Steinke et al. 2023).

        Raises:
            AuditError: delta outside of [0, 1).
        """
        if not 0.0 <= delta < 1.0:
            raise AuditError(f"delta = {delta} bounds nothing. Give one from 0, below 1.")
        return bounds.epsilon_lower(self.guesses, float(delta), self.confidence)

    @cached_property
    def mu_lower(self) -> float:
        """Lower bound on mu for a run that is mu-GDP for some mu (Mahloujifar et al. 2024)."""
        return bounds.mu_lower(self.guesses, self.confidence)

    def gaussian_epsilon_lower(self, delta: float) -> float:
        """`mu_lower` as epsilon at `delta`: for runs whose trade-off function is a Gaussian's."""
        return gaussian_epsilon(self.mu_lower, delta) if self.mu_lower > 0.0 else 0.0

    def p_value(self, claim: Claim, adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE) -> float:
        """Bound on the probability of so many right guesses if the claim is true.

        Guarantee:
            A run that keeps the claim gives a value <= alpha with probability at most alpha, for
            every alpha: its trade-off function is at least that of the claim's (epsilon, delta)
            pairs, at many epsilons.
        """
        tails = curve_of(claim, adjacency).tails[len(LOSSES) : -1]  # (1 - c) delta / 2, c >= 1/2
        deltas = np.minimum(2.0 * tails / expit(-LOSSES) * (1.0 + 1e-12), 1.0)
        return bounds.p_value(self.guesses, bounds.lines_inverse(LOSSES, deltas))

    def __str__(self) -> str:
        """Say what was seen, and what it bounds."""
        made = self.guesses
        return (
            f"{made.correct} of {made.made} guesses right, of {made.canaries} canaries in one run: "
            f"epsilon >= {self.epsilon_lower(1e-5):.3g} at delta = 1e-05, or mu >= "
            f"{self.mu_lower:.3g} if it is Gaussian, at {self.confidence:.0%} confidence"
        )


def planned_guesses(
    canaries: int, claim: Claim, adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE
) -> int:
    """Return the number of guesses that serves an ideal run best that is as private as the claim.

    From the number of canaries and the claim alone: nothing of a run enters. The ideal run gives
    scores N(0, 1) and N(mu, 1), with the mu of the claim's best guess of one coin.
    """
    mu = 2.0 * float(ndtri(min(curve_of(claim, adjacency).accuracy, 1.0 - 1e-12)))
    tried = sorted({max(2, 2 * math.floor(0.5 * canaries * 0.7**k)) for k in range(20)})
    found = [(bounds.mu_lower(_expected(canaries, made, mu), 0.95), made) for made in tried]
    return max(found)[1]


def _expected(canaries: int, made: int, mu: float) -> Guesses:
    """Guesses of an ideal run, in expectation: the scores beyond +-t about mu / 2."""
    low, high = 0.0, mu + 10.0
    for _ in range(60):
        t = 0.5 * (low + high)
        outside = float(ndtr(-t - 0.5 * mu) + ndtr(-t + 0.5 * mu))  # of either coin, both sides
        low, high = (t, high) if outside > made / canaries else (low, t)
    wrong = float(ndtr(-low - 0.5 * mu))
    right = float(ndtr(-low + 0.5 * mu))
    return Guesses(canaries, made, math.floor(made * right / (right + wrong)))


def _same_canaries(flips: CoinFlips, scores: CanaryScores) -> None:
    for found, wanted, what in (
        (flips.included, scores.by_id, "no coin was tossed for"),
        (scores.by_id, flips.included, "no score was given for"),
    ):
        missing = [name for name in wanted if name not in found]
        if missing:
            raise AuditError(
                f"{what} {len(missing)} canaries, among them {missing[0]!r}: scores and coins are "
                "not of the same canaries, and nothing was audited. Give both for every id."
            )
    for name, score in scores.by_id.items():
        if math.isnan(score):
            raise AuditError(
                f"the score of {name!r} is not a number, so it has no place among the others. "
                "Give one for every canary; for a model that failed, the same one for all."
            )


def _distinct(ids: Iterable[str], what: str) -> list[str]:
    names = list(ids)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise AuditError(
                f"canary {name!r} occurs twice among the {what}: which coin is its own cannot be "
                "told. Give every canary an id of its own."
            )
        seen.add(name)
    return names
