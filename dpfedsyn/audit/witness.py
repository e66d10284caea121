"""Where a violation shows: neighbours, a rule and a seed, to be tried again by anybody."""

import inspect
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency
from dpfedsyn.audit.bets import POWERS, TailBet, likelihood_payoffs
from dpfedsyn.audit.calling import Caller, Mechanism, Outputs
from dpfedsyn.audit.claims import Claim
from dpfedsyn.audit.process import Rules, Test
from dpfedsyn.audit.scores import NAMES, Score

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Region:
    """A set of outputs on which the labels are more lopsided than the claim allows.

    Attributes:
        rule: name of the score. toward: the label that is too common there. threshold: of the
            log-odds towards it. inside, right: calls there, and those with that label. allowed:
            the largest share of right ones that the claim allows in a region of this size.
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
class Replay:
    """A violation tried again with fresh calls and the rule that was learnt before.

    Attributes:
        log_wealth: of the one bet. calls: made. reproduced: the wealth reached the limit.
    """

    log_wealth: float
    calls: int
    reproduced: bool


@dataclass(frozen=True, eq=False)
class Witness:
    """A violation that can be shown again.

    Attributes:
        neighbours: (D0, D1). seed: of the audit. region: where it shows, in words and numbers.
    """

    mechanism: Mechanism | None
    neighbours: tuple[Any, Any]
    claim: Claim
    adjacency: Adjacency
    alpha: float
    max_calls: int
    seed: int
    region: Region
    _test: Test
    _score: Score
    _bet: TailBet | float  # a power of the label's likelihood

    def replay(self, seed: int | None = None, *, calls: int | None = None) -> Replay:
        """Try again: fresh calls, the same rule and one fixed bet.

        Args:
            seed: of the fresh calls; another one than the audit's by default. calls: at most;
                four times the audit's region by default.

        Guarantee:
            If the claim is true, `reproduced` with a probability of at most alpha: the bet was
            fixed before these calls, and is accepted at any time (Ville).
        """
        if self.mechanism is None:
            return Replay(0.0, 0, False)
        most = calls if calls is not None else max(4 * self.region.calls, 1000)
        seeds = np.random.SeedSequence([self.seed + 1 if seed is None else seed, 1])
        rng = np.random.default_rng(seeds)
        caller = Caller(self.mechanism)
        wealth, made = 0.0, 0
        while made < most:
            count = min(max(64, made), most - made)
            outputs, labels = toss(caller, self.neighbours, count, rng)
            gains = np.cumsum(self._gains(outputs, labels)) + wealth
            made += count
            reached = gains >= self._test.log_limit
            if reached.any():
                at = int(reached.argmax())
                return Replay(float(gains[at]), made - count + at + 1, True)
            wealth = float(gains[-1])
        return Replay(wealth, made, False)

    def _gains(self, outputs: Outputs, labels: Array) -> Array:
        odds = self._score(outputs)
        if isinstance(self._bet, TailBet):
            price = math.log(self._bet.price(self._test.curve))
            return self._bet.log_payoffs(odds, labels) - price
        price = math.log(self._test.prices[int(np.argmin(np.abs(POWERS - self._bet)))])
        return self._bet * likelihood_payoffs(odds, labels) - price

    def code(self) -> str:
        """A program that makes the same audit again, and needs nothing but the mechanism."""
        name, source = _source(self.mechanism)
        first, second = (_literal(data) for data in self.neighbours)
        return "\n".join(
            [
                "import numpy as np",
                "from accountants import *",
                "from dpfedsyn.audit import GDP, audit",
                source,
                f"neighbours = ({first},\n              {second})",
                f"found = audit({name}, neighbours, claim={self.claim!r}, alpha={self.alpha!r},",
                f"              max_calls={self.max_calls}, seed={self.seed}, "
                f"adjacency={str(self.adjacency)!r})",
                "print(found)",
                'assert found.verdict == "VIOLATION"',
            ]
        )


def toss(
    caller: Caller, neighbours: tuple[Any, Any], calls: int, rng: np.random.Generator
) -> tuple[Outputs, Array]:
    """Toss `calls` fair coins and call the mechanism on the neighbour that each picks."""
    labels = rng.integers(0, 2, calls)
    ones = int(labels.sum())
    zero, one = caller.draw(neighbours[0], calls - ones, rng), caller.draw(neighbours[1], ones, rng)
    width = max(zero.values.shape[1], one.values.shape[1])
    values, outcomes = np.zeros((calls, width)), np.zeros(calls, np.int64)
    for label, drawn in ((0, zero), (1, one)):
        values[labels == label, : drawn.values.shape[1]] = drawn.values
        outcomes[labels == label] = drawn.outcomes
    return Outputs(values, outcomes), labels.astype(np.float64)


def witness_of(
    rules: Rules, gains: tuple[Array, Array], outputs: Outputs, labels: Array, test: Test
) -> tuple[Region, Score, TailBet | float]:
    """The region, score and bet that gained most.

    Args:
        gains: likelihood (rules, powers) and tails (rules, 2), log wealth. outputs, labels: all
            calls.
    """
    likelihood, tails = gains
    if tails.max() > likelihood.max():
        rule, toward = np.unravel_index(int(tails.argmax()), tails.shape)
        bet = next(b for r, b in rules.tails if r == rule and b.toward == toward)
        shown: TailBet | float = bet
        threshold, side = bet.threshold, int(toward)
    else:
        rule, k = np.unravel_index(int(likelihood.argmax()), likelihood.shape)
        shown = float(POWERS[k])
        threshold, side = 0.0, 1
    score = rules.fitted[rule].score
    odds = score(outputs)
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


def _literal(data: Any) -> str:
    if isinstance(data, np.ndarray):
        body = np.array2string(data, separator=", ", threshold=10**6, floatmode="unique")
        body = body.replace("nan", "np.nan").replace("inf", "np.inf")
        shape = "" if data.size else f".reshape({data.shape})"
        return f"np.array({body}, dtype=np.{data.dtype.name}){shape}"
    return repr(data)


def _source(mechanism: Mechanism | None) -> tuple[str, str]:
    """(name, how to get at it)."""
    name = getattr(mechanism, "__name__", "mechanism")
    module = getattr(mechanism, "__module__", None)
    if name.isidentifier() and "<locals>" not in getattr(mechanism, "__qualname__", "<locals>"):
        if module not in (None, "__main__"):
            return name, f"from {module} import {name}"
        return name, _text(mechanism)
    return "mechanism", _text(mechanism)


def _text(mechanism: Mechanism | None) -> str:
    try:
        source = inspect.getsource(mechanism)  # type: ignore[arg-type]
    except (OSError, TypeError):
        source = repr(mechanism)
    lines = "".join(f"#     {line}\n" for line in source.splitlines())
    return f"# `mechanism` is the audited one:\n{lines}".rstrip()
