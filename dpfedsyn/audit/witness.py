"""Where a violation shows: neighbours, a rule and a seed, to be tried again by anybody."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency, Unit
from dpfedsyn.audit import program
from dpfedsyn.audit.bets import POWERS, LikelihoodBet, TailBet, likelihood_gains
from dpfedsyn.audit.calling import Caller, Mechanism, Outputs
from dpfedsyn.audit.claims import Claim
from dpfedsyn.audit.process import Rules, State, Test
from dpfedsyn.audit.scores import NAMES, Score

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Region:
    """A set of outputs on which the labels are more lopsided than the claim allows.

    Attributes:
        rule: name of the score.
        toward: the label that is too common there.
        threshold: of the log-odds towards it.
        inside: calls there, and those with that label.
        right: calls there, and those with that label.
        allowed: the largest share of right ones that the claim allows in a region of this size.
    """

    rule: str
    toward: int
    threshold: float
    inside: int
    right: int
    calls: int
    allowed: float

    def __str__(self) -> str:
        share = self.right / max(self.inside, 1)
        return (
            f"score ({self.rule}) towards D{self.toward} above {self.threshold:.3g}: "
            f"{self.inside} of {self.calls} calls, {self.right} of them ({share:.1%}) from "
            f"D{self.toward}; the claim allows {self.allowed:.1%} on average"
        )


@dataclass(frozen=True)
class Retrial:
    """A violation tried again with fresh calls and the rule that was learnt before.

    Attributes:
        log_wealth: of the one bet.
        calls: made.
        reproduced: the wealth reached the limit.
    """

    log_wealth: float
    calls: int
    reproduced: bool


@dataclass(frozen=True, eq=False)
class Witness:
    """A violation that can be shown again.

    Attributes:
        neighbours: (D0, D1).
        seed: of the audit.
        unit: of the audit.
        max_calls: of the audit.
        calls: that it made.
        region: where it shows, in words and numbers.
    """

    mechanism: Mechanism
    neighbours: tuple[Any, Any]
    claim: Claim
    adjacency: Adjacency
    unit: Unit
    alpha: float
    max_calls: int
    seed: int
    calls: int
    region: Region
    _test: Test
    _score: Score
    _bet: TailBet | LikelihoodBet
    _caller: Caller  # which outcomes the score knows

    def replay(self, seed: int | None = None, *, calls: int | None = None) -> Retrial:
        """Try again: fresh calls, the same rule and one fixed bet.

        Args:
            seed: of the fresh calls; another one than the audit's by default.
            calls: at most; four times the audit's by default.

        Guarantee:
            If the claim is true, `reproduced` with a probability of at most alpha: the bet was
            fixed before these calls, and is accepted at any time (Ville).
        """
        most = calls if calls is not None else max(4 * self.calls, 1000)
        coins, rng = streams(self.seed + 1 if seed is None else seed, 1)
        caller = self._caller.again(self.mechanism)
        wealth, made = 0.0, 0
        while made < most:
            count = min(max(64, made), most - made)
            outputs, labels = toss(caller, self.neighbours, count, coins, rng)
            gains = np.cumsum(self._gains(outputs, labels)) + wealth
            made += count
            reached = gains >= self._test.log_limit
            if reached.any():
                at = int(reached.argmax())
                return Retrial(float(gains[at]), made - count + at + 1, True)
            wealth = float(gains[-1])
        return Retrial(wealth, made, False)

    def _gains(self, outputs: Outputs, labels: Array) -> Array:
        paid = self._bet.log_payoffs(self._score(outputs), labels)
        return paid - math.log(self._bet.price(self._test.curve))

    def code(self) -> str:
        """A program that makes the same audit again, and needs nothing but the mechanism.

        A mechanism that no import reaches, a score, and data that is neither numbers nor words are
        left to be put in by hand.
        """
        first, second = (program.literal(data) for data in self.neighbours)
        options = [f"unit={str(self.unit)!r}"]
        options += ["low_bits=True"] if self._test.low_bits else []
        options += ["score=put_here('the score')"] if self._test.score is not None else []
        return program.whole(
            "\n".join(
                [
                    program.source(self.mechanism),
                    f"without = {first}",
                    f"with_ = {second}",
                    "found = audit(",
                    "    mechanism, (without, with_),",
                    f"    claim={self.claim!r}, alpha={self.alpha!r}, max_calls={self.max_calls},",
                    f"    seed={self.seed}, adjacency={str(self.adjacency)!r},",
                    f"    {', '.join(options)},",
                    ")",
                    f"# where: {self.region}",
                    "print(found)",
                    'assert found.verdict == "VIOLATION"',
                ]
            )
        )


def toss(
    caller: Caller,
    neighbours: tuple[Any, Any],
    calls: int,
    coins: np.random.Generator,
    rng: np.random.Generator,
) -> tuple[Outputs, Array]:
    """Toss `calls` fair coins and call the mechanism on the neighbour that each picks.

    Args:
        coins: of the labels alone.
        rng: the mechanism's.
    """
    labels = coins.integers(0, 2, calls)
    return caller.on(neighbours, labels, rng), labels.astype(np.float64)


def streams(seed: int, purpose: int) -> tuple[np.random.Generator, np.random.Generator]:
    """(coins, the mechanism's noise): independent, and neither is `default_rng(seed)`.

    A mechanism may keep a generator of its own; were it seeded alike, its noise would be the coins.
    """
    coins, noise = np.random.SeedSequence([seed, purpose]).spawn(2)
    return np.random.default_rng(coins), np.random.default_rng(noise)


def witness_of(
    rules: Rules, state: State, test: Test
) -> tuple[Region, Score, TailBet | LikelihoodBet]:
    """The region, score and bet that gained most.

    Args:
        rules: those that were bet with last.
        state: after it.
    """
    likelihood = likelihood_gains(state.likelihood, state.bets, test.prices)
    tails, labels = state.tails, state.labels
    if tails.max() > likelihood.max():
        rule, toward = np.unravel_index(int(tails.argmax()), tails.shape)
        bet = next(b for r, b in rules.tails if r == rule and b.toward == toward)
        shown: TailBet | LikelihoodBet = bet
        threshold, side = bet.threshold, int(toward)
    else:
        rule, k = np.unravel_index(int(likelihood.argmax()), likelihood.shape)
        shown = LikelihoodBet(float(POWERS[k]))
        threshold, side = 0.0, 1
    score = rules.fitted[rule].score
    odds = score(state.outputs)
    inside = (2 * side - 1) * odds > threshold
    right = int(np.sum(labels[inside] == side))
    names = NAMES if len(rules.fitted) > 1 else ("the given one",)
    share = float(inside.mean()) if len(inside) else 0.0
    allowed = _allowed(share, test)
    region = Region(
        names[rule], side, float(threshold), int(inside.sum()), right, len(labels), allowed
    )
    return region, score, shown


def _allowed(share: float, test: Test) -> float:
    """The largest mean posterior in a region of this share of outputs: min c + V(c) / share."""
    if share <= 0.0:
        return 1.0
    lines = np.concatenate([np.linspace(0.5, 0.99, 200), 1.0 - np.geomspace(0.01, 1e-9, 60)])
    return float(np.minimum(test.curve.tail(lines) / share + lines, 1.0).min())
