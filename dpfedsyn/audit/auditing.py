"""`audit`: is a claim of privacy contradicted by what a mechanism puts out?"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency, Gaussian, Unit, epsilon, to_json
from dpfedsyn.audit import binomial
from dpfedsyn.audit import neighbours as pairs
from dpfedsyn.audit.bets import POWERS
from dpfedsyn.audit.bounds import Evidence
from dpfedsyn.audit.calling import Caller, Mechanism, Outputs
from dpfedsyn.audit.claims import GDP, Claim, curve_of, scaled
from dpfedsyn.audit.power import calls_for, power
from dpfedsyn.audit.process import State, Test, next_block, rule_prior, start, step
from dpfedsyn.audit.witness import Witness, toss, witness_of
from dpfedsyn.errors import AuditError

Array = NDArray[np.float64]

HALF = 0.5  # the noise ratio that a consistent audit must have been able to find
WANTED_POWER = 0.95
_EARLY = 0.1  # share of the bound's error for stopping early: the sequential bound's


class Verdict(StrEnum):
    """What an audit says; none of it says that a mechanism is private."""

    VIOLATION = "VIOLATION"  # the claim is false, but for a chance of alpha
    CONSISTENT = "CONSISTENT"  # half the noise would have been found, and nothing was
    INCONCLUSIVE = "INCONCLUSIVE"  # too few calls to have found half the noise


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found about one claim on one pair of neighbours.

    Attributes:
        verdict: VIOLATION, CONSISTENT or INCONCLUSIVE. claim: what was tested. alpha: chance of a
            false VIOLATION. confidence: of the lower bounds. calls: made. seconds: taken.
        log_wealth: the largest log wealth of the bets; VIOLATION from log(1 / alpha).
        mu_lower: the mechanism is mu-GDP for no smaller mu, at `confidence`.
        needed_calls: that would have found half the noise with 95 % power; None where no number
            of calls does. witness: where the violation shows; None without one.
        outcomes: other outcomes than the usual one (errors, other shapes) that were seen.
    """

    verdict: Verdict
    claim: Claim
    adjacency: Adjacency
    alpha: float
    confidence: float
    calls: int
    seconds: float
    log_wealth: float
    mu_lower: float
    needed_calls: int | None
    witness: Witness | None
    outcomes: tuple[str, ...] = ()
    _test: Test = field(repr=False, kw_only=True)
    _evidence: Evidence = field(repr=False, kw_only=True)

    def epsilon_lower(self, delta: float) -> float:
        """Lower bound on epsilon at `delta`, at `confidence`.

        From `mu_lower` by the curve of the claim's own family: GDP, or an event with less noise.
        With an (epsilon, delta) claim nothing is assumed of the curve: the mechanism is
        (epsilon, delta)-DP for no smaller epsilon.

        Raises:
            AuditError: delta is not in (0, 1).
        """
        if not 0.0 < delta < 1.0:
            raise AuditError(f"delta = {delta}: pass one in (0, 1).")
        return self._evidence.epsilon_lower(self.claim, self.adjacency, delta)

    def reached(self, alpha: float) -> bool:
        """Whether the wealth ever reached 1 / alpha: a violation at this level."""
        return self.log_wealth >= -math.log(alpha)

    def power_at(self, noise_ratio: float) -> float:
        """Chance that this many calls find `noise_ratio` times the claimed noise, score known.

        See `power`: a learnt score has a little less, and much less where many values tell.
        """
        return power(
            self._test, curve_of(scaled(self.claim, noise_ratio), self.adjacency), self.calls
        )

    def auditable_epsilon(self, delta: float) -> float:
        """The largest epsilon at `delta` that so many calls can show: every guess right."""
        mu = binomial.largest_mu(self._evidence.bets, self._evidence.error)
        return epsilon(Gaussian(1.0 / mu), delta=delta).lower if mu > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        claim = (
            {"kind": "gdp", "mu": self.claim.mu}
            if isinstance(self.claim, GDP)
            else to_json(self.claim)
        )
        return {
            "verdict": str(self.verdict),
            "claim": claim,
            "adjacency": str(self.adjacency),
            "alpha": self.alpha,
            "confidence": self.confidence,
            "calls": self.calls,
            "seconds": self.seconds,
            "log_wealth": self.log_wealth,
            "mu_lower": self.mu_lower,
            "needed_calls": self.needed_calls,
            "witness": None if self.witness is None else str(self.witness.region),
            "outcomes": list(self.outcomes),
        }

    @cached_property
    def _half(self) -> float:
        return self.power_at(HALF)

    def __str__(self) -> str:
        lines = [
            f"{self.verdict}: {self.claim} on these neighbours ({self.adjacency}), "
            f"{self.calls} calls, {self.seconds:.2f} s",
            f"wealth e^{self.log_wealth:.1f} against a limit of e^{-math.log(self.alpha):.1f} "
            f"(alpha = {self.alpha:g}); mu >= {self.mu_lower:.3f} at {self.confidence:.0%}",
        ]
        if self.witness is not None:
            lines.append(f"where: {self.witness.region}")
        if self.verdict is Verdict.CONSISTENT:
            lines.append(
                f"Half the noise would have been found with a chance of {self._half:.1%} by the "
                "best score. This does not prove the claim."
            )
        if self.verdict is Verdict.INCONCLUSIVE:
            lines.append(
                f"Half the noise would have been found with a chance of {self._half:.1%} only. "
                + (
                    f"Raise max_calls to {self.needed_calls}."
                    if self.needed_calls is not None
                    else "No number of calls would do: the claim allows nearly everything, or "
                    "differs too little from it."
                )
            )
        if self.outcomes:
            lines.append("other outcomes: " + "; ".join(self.outcomes))
        return "\n".join(lines)


def audit(
    mechanism: Mechanism,
    neighbours: tuple[Any, Any],
    *,
    claim: Claim,
    alpha: float = 1e-6,
    max_calls: int = 20_000,
    seed: int = 0,
    adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE,
    unit: Unit | str = Unit.RECORD,
    confidence: float = 0.95,
    score: Callable[[Array], Array] | None = None,
    low_bits: bool = False,
    early: bool = True,
) -> Audit:
    """Try to show that a mechanism breaks its claim on a pair of neighbours.

    Args:
        mechanism: `(data, rng) -> output`, or vectorised `(data, n, rng) -> n outputs`; numbers,
            arrays, tensors, or dicts and sequences of them. Its noise must come from `rng`.
        neighbours: (D0, D1). claim: `GDP(mu)`, or any event of `accountants`, also
            `ApproximateDP(epsilon, delta)`. alpha: chance of a false VIOLATION.
        max_calls: of the mechanism. seed: of coins and of `rng`: the same seed, the same audit.
        adjacency: under which they are neighbours and the claim is stated. unit: with "record"
            the data must differ in one row; whole persons or silos differ in more.
        score: `(n, d) outputs -> (n,)`, larger where D1 is likelier; learnt from the calls if None.
        low_bits: also look at the last bits of values, see `frame`. early: stop at a violation.

    Guarantee:
        If the claim is true, the verdict is VIOLATION with a probability of at most `alpha`, and
        `mu_lower` exceeds the mechanism's true mu with a probability of at most 1 - confidence.

    Raises:
        AuditError: neighbours that are none, a claim that nothing contradicts, a mechanism that
            cannot be called or whose outputs hold no numbers.
    """
    began = time.perf_counter()
    adjacency = Adjacency(adjacency)
    _check(alpha, confidence, max_calls)
    pair = pairs.check(neighbours, adjacency, Unit(unit))
    caller = Caller(mechanism)
    test, state = start(curve_of(claim, adjacency), alpha, score, low_bits)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0]))
    while state.calls < max_calls and not (early and state.crossed):
        outputs, labels = toss(caller, pair, next_block(state.calls, max_calls), rng)
        before, state = state, step(state, outputs, labels, test)
    if caller.shape is None:
        raise AuditError(
            f"The mechanism raised on every one of {state.calls} calls: "
            f"{next(iter(caller.others))}. Nothing was tested. "
            "Mend it, or pass data that it accepts."
        )
    witness = None
    if state.crossed is not None:
        assert before.rules is not None
        region, rule, bet = witness_of(
            before.rules, _gains(state, test), state.outputs, state.labels, test
        )
        witness = Witness(
            mechanism, pair, claim, adjacency, alpha, max_calls, seed, region, test, rule, bet
        )
    return _result(
        test, state, claim, adjacency, alpha, confidence, witness, tuple(caller.others), began,
        max_calls if early else 0,
    )  # fmt: skip


def audit_scores(
    without: Array,
    with_: Array,
    *,
    claim: Claim,
    alpha: float = 1e-6,
    seed: int = 0,
    adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE,
    confidence: float = 0.95,
    score: Callable[[Array], Array] | None = None,
) -> Audit:
    """The same for outputs that were drawn elsewhere, each independent of the others.

    Coins are tossed here, and each takes the next output of its neighbour until one side is used
    up; the few that are left over are not used.

    Args:
        without, with_: outputs on D0 and on D1, (n,) or (n, d), in the order they were drawn.

    Raises:
        AuditError: no outputs on one side, or of different widths.
    """
    began = time.perf_counter()
    adjacency = Adjacency(adjacency)
    piles = [np.asarray(pile, dtype=np.float64) for pile in (without, with_)]
    piles = [pile[:, None] if pile.ndim == 1 else pile for pile in piles]
    if any(p.ndim != 2 or len(p) == 0 for p in piles) or piles[0].shape[1] != piles[1].shape[1]:
        raise AuditError(
            f"Outputs of shapes {piles[0].shape} and {piles[1].shape}: nothing can be compared. "
            "Pass (n,) or (n, d) of the same width for both neighbours."
        )
    _check(alpha, confidence, sum(map(len, piles)))
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0]))
    labels = rng.integers(0, 2, sum(map(len, piles)))
    used = np.cumsum(labels)
    enough = (used <= len(piles[1])) & (1 + np.arange(len(labels)) - used <= len(piles[0]))
    labels = labels[: len(labels) if enough.all() else int(np.argmin(enough))]
    values = np.empty((len(labels), piles[0].shape[1]))
    for label, pile in enumerate(piles):
        values[labels == label] = pile[: int(np.sum(labels == label))]
    test, state = start(curve_of(claim, adjacency), alpha, score)
    most = len(labels)
    while state.calls < most:
        part = slice(state.calls, state.calls + next_block(state.calls, most))
        drawn = Outputs(values[part], np.zeros(len(labels[part]), np.int64))
        state = step(state, drawn, labels[part].astype(np.float64), test)
    return _result(test, state, claim, adjacency, alpha, confidence, None, (), began, 0)


def _result(
    test: Test, state: State, claim: Claim, adjacency: Adjacency, alpha: float, confidence: float,
    witness: Witness | None, outcomes: tuple[str, ...], began: float, early_limit: int,
) -> Audit:  # fmt: skip
    violated = state.crossed is not None
    needed = calls_for(test, curve_of(scaled(claim, HALF), adjacency), WANTED_POWER)
    if violated:
        verdict = Verdict.VIOLATION
    else:
        enough = needed is not None and state.calls >= needed
        verdict = Verdict.CONSISTENT if enough else Verdict.INCONCLUSIVE
    evidence = _evidence(state, test, 1.0 - confidence, early_limit)
    return Audit(
        verdict, claim, adjacency, alpha, confidence, state.calls,
        time.perf_counter() - began, state.peak, evidence.mu_lower(),
        needed, witness, outcomes, _test=test, _evidence=evidence,
    )  # fmt: skip


def _evidence(state: State, test: Test, error: float, limit: int) -> Evidence:
    """Right guesses where all calls were made, the bets where an audit stopped early.

    Which of the two is used depends on the outputs, so that each has its share of the error; an
    audit that never stops early (`limit` 0) spends all of it on the guesses.
    """
    stopped = bool(limit) and state.calls < limit
    share = 1.0 if not limit else (_EARLY if stopped else 1.0 - _EARLY)
    prior = rule_prior(test.rules)
    return Evidence(state.likelihood, prior, state.bets, state.right, stopped, share * error)


def _gains(state: State, test: Test) -> tuple[Array, Array]:
    likelihood = state.likelihood[:, None] * POWERS - state.bets * np.log(test.prices)
    return likelihood, state.tails


def _check(alpha: float, confidence: float, max_calls: int) -> None:
    if not (0.0 < alpha < 1.0 and 0.0 < confidence < 1.0):
        raise AuditError(
            f"alpha = {alpha}, confidence = {confidence}: both must lie in (0, 1). alpha is the "
            "chance of a false alarm, 1 - confidence that of a lower bound above the truth."
        )
    if not (isinstance(max_calls, int) and max_calls >= 1):
        raise AuditError(f"max_calls = {max_calls!r}: pass a whole number from 1.")
