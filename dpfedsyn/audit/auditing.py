"""`audit`: is a claim of privacy contradicted by what a mechanism puts out?"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import index
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from accountants import Adjacency, Unit
from dpfedsyn.audit import neighbours as pairs
from dpfedsyn.audit.bounds import Observed
from dpfedsyn.audit.calling import Caller, Mechanism, Outputs
from dpfedsyn.audit.claims import Claim, curve_of, scaled
from dpfedsyn.audit.power import calls_for
from dpfedsyn.audit.process import (
    WARM_UP,
    State,
    Test,
    held_calls,
    next_block,
    rule_prior,
    start,
    step,
)
from dpfedsyn.audit.reading import of_tensor
from dpfedsyn.audit.results import HALF, Audit, Verdict
from dpfedsyn.audit.witness import Witness, streams, toss, witness_of
from dpfedsyn.errors import AuditError, DPError

__all__ = ["Audit", "Verdict", "audit", "audit_scores"]

Array = NDArray[np.float64]
Kind = TypeVar("Kind", bound=StrEnum)

WANTED_POWER = 0.95
_SHORT = 0.1  # chance that outputs drawn elsewhere do not last for the coins
_EARLY = 0.1  # share of the bound's error for stopping early: the sequential bound's


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
            arrays, words, tensors, or dicts and sequences of them. Its noise must come from `rng`;
            the n outputs must be independent of each other, and the data is left as it is.
        neighbours: (D0, D1).
        claim: `GDP(mu)`, or any event of `accountants`, also `ApproximateDP(epsilon, delta)`.
        alpha: chance of a false VIOLATION.
        max_calls: of the mechanism.
        seed: of coins and of `rng`: the same seed, the same audit.
        adjacency: under which they are neighbours and the claim is stated.
        unit: with "record" the data must differ in one row; whole persons or silos differ in more.
        score: `(n, d) outputs -> (n,)`, larger where D1 is likelier; learnt from the calls if None.
        low_bits: also look at the last bits of values, see `frame`.
        early: stop at a violation.

    Guarantee:
        If the claim is true, the verdict is VIOLATION with a probability of at most `alpha`, and
        `mu_lower` exceeds the mechanism's true mu with a probability of at most 1 - confidence.

    Raises:
        AuditError: neighbours that are none, a claim that nothing contradicts, a mechanism that
            cannot be called, changes its data or whose outputs hold no numbers.
    """
    began = time.perf_counter()
    asked = _asked(claim, alpha, confidence, adjacency, seed)
    most = _whole("max_calls", max_calls, 1)
    pair = pairs.check(neighbours, asked.adjacency, _member(Unit, "unit", unit))
    caller, given = Caller(mechanism), pairs.fingerprint(pair)
    test, state = start(curve_of(claim, asked.adjacency), alpha, score, low_bits)
    coins, rng = streams(asked.seed, 0)
    while state.calls < most and not (early and state.crossed):
        block = next_block(state.calls, most)
        while block > 0 and not (early and state.crossed):
            part = min(block, held_calls(caller.width))
            outputs, labels = toss(caller, pair, part, coins, rng)
            block -= part
            before, state = state, step(state, outputs, labels, test, learning=block == 0)
        _require_something(caller, state)
        caller.betting = True
    if pairs.fingerprint(pair) != given:
        raise AuditError(
            "The mechanism changed the data that it was given, so that its later calls saw other "
            "neighbours than these, and nothing was tested. Let it work on a copy."
        )
    witness = None
    if state.crossed is not None:
        assert before.rules is not None
        region, rule, bet = witness_of(before.rules, state, test)
        witness = Witness(
            mechanism, pair, claim, asked.adjacency, Unit(unit), alpha, most, asked.seed,
            state.calls, region, test, rule, bet, caller,
        )  # fmt: skip
    return _result(test, state, asked, witness, tuple(caller.others), began, most if early else 0)


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

    Coins are tossed here, and each takes the next output of its neighbour. How many are tossed is
    fixed by the numbers of outputs, so that they last in nine cases of ten; where one side is used
    up before, its coin is the last. Those that are left over are not used.

    Args:
        without: outputs on D0 and on D1, (n,) or (n, d), in the order they were drawn.
        with_: see `without`.

    The other arguments are those of `audit`.

    Guarantee:
        If the claim is true, the verdict is VIOLATION with a probability of at most `alpha`, and
        `mu_lower` exceeds the true mu with a probability of at most 1 - confidence: guesses of
        coins that found no output count as wrong.

    Raises:
        AuditError: no outputs on one side, or of different widths.
    """
    began = time.perf_counter()
    asked = _asked(claim, alpha, confidence, adjacency, seed)
    piles = [_pile(pile) for pile in (without, with_)]
    if any(p.ndim != 2 or len(p) == 0 for p in piles) or piles[0].shape[1] != piles[1].shape[1]:
        raise AuditError(
            f"Outputs of shapes {piles[0].shape} and {piles[1].shape}: nothing can be compared. "
            "Pass (n,) or (n, d) of the same width for both neighbours."
        )
    sizes = (len(piles[0]), len(piles[1]))
    planned = _lasting(*sizes)
    labels = _until_used_up(*sizes, streams(asked.seed, 0)[0])[:planned]
    values = np.empty((len(labels), piles[0].shape[1]))
    for label, pile in enumerate(piles):
        values[labels == label] = pile[: int(np.sum(labels == label))]
    test, state = start(curve_of(claim, asked.adjacency), alpha, score)
    while state.calls < len(labels):
        part = slice(state.calls, state.calls + next_block(state.calls, len(labels)))
        drawn = Outputs(values[part], np.zeros(len(labels[part]), np.int64))
        state = step(state, drawn, labels[part].astype(np.float64), test)
    return _result(test, state, asked, None, (), began, 0, planned)


def _pile(outputs: Array) -> Array:
    try:
        pile = np.asarray(of_tensor(outputs), dtype=np.float64)
    except (TypeError, ValueError):
        raise AuditError(
            f"Outputs of type {type(outputs).__name__} hold something else than numbers, and "
            "cannot be compared. Pass (n,) or (n, d) numbers for each neighbour."
        ) from None
    return pile[:, None] if pile.ndim == 1 else pile


def _until_used_up(zeros: int, ones: int, coins: np.random.Generator) -> NDArray[np.int64]:
    """Fair coins up to the one that takes the last output of either side.

    Going on for as long as the other side lasts would keep coins of one kind only.
    """
    labels = coins.integers(0, 2, zeros + ones)
    used = np.cumsum(labels)
    last = (used == ones) | (1 + np.arange(len(labels)) - used == zeros)
    return labels[: int(np.argmax(last)) + 1]


def _lasting(zeros: int, ones: int) -> int:
    """The most coins that use up neither side, but for a chance of one in ten."""
    low, high = 1, 2 * min(zeros, ones)
    while low < high:
        middle = (low + high + 1) // 2
        short = binom.sf(ones, middle, 0.5) + binom.sf(zeros, middle, 0.5)
        low, high = (middle, high) if short <= _SHORT else (low, middle - 1)
    return low


@dataclass(frozen=True)
class _Asked:
    claim: Claim
    adjacency: Adjacency
    alpha: float
    confidence: float
    seed: int


def _result(
    test: Test, state: State, asked: _Asked, witness: Witness | None, outcomes: tuple[str, ...],
    began: float, early_limit: int, planned: int = 0,
) -> Audit:  # fmt: skip
    """The audit; `planned` calls, where it may have ended before for lack of outputs."""
    values = state.outputs.values.shape[1]
    needed = _needed(test, asked, values)
    if state.crossed is not None:
        verdict = Verdict.VIOLATION
    else:
        enough = needed is not None and state.calls >= needed
        verdict = Verdict.CONSISTENT if enough else Verdict.INCONCLUSIVE
    evidence = _evidence(state, test, 1.0 - asked.confidence, early_limit)
    evidence = replace(evidence, bets=max(evidence.bets, planned - WARM_UP))
    return Audit(
        verdict, asked.claim, asked.adjacency, asked.alpha, asked.confidence, state.calls,
        time.perf_counter() - began, state.peak, evidence.mu_lower(),
        needed, witness, outcomes, _test=test, _evidence=evidence, _values=values,
    )  # fmt: skip


def _needed(test: Test, asked: _Asked, values: int) -> int | None:
    try:
        half = curve_of(scaled(asked.claim, HALF), asked.adjacency)
    except DPError:  # half the noise allows everything, or nothing is known of it
        return None
    return calls_for(test, half, WANTED_POWER, values)


def _require_something(caller: Caller, state: State) -> None:
    """Outputs that can be told apart, after the first block.

    Raises:
        AuditError: every call raised, and nothing followed from how; or outputs are empty.
    """
    if caller.shape is None and state.crossed is None and len(caller.others) == 1:
        raise AuditError(
            f"The mechanism raised on every one of {state.calls} calls: "
            f"{next(iter(caller.others))}. Nothing was tested. "
            "Mend it, or pass data that it accepts."
        )
    if caller.width == 0 and not caller.others:
        raise AuditError(
            f"The mechanism returned nothing on {state.calls} calls: no numbers, and always the "
            "same shape, so that nothing was tested. Return what is released."
        )


def _evidence(state: State, test: Test, error: float, limit: int) -> Observed:
    """Right guesses where all calls were made, the bets where an audit stopped early.

    Which of the two is used depends on the outputs, so that each has its share of the error; an
    audit that never stops early (`limit` 0) spends all of it on the guesses.
    """
    stopped = bool(limit) and state.calls < limit
    share = 1.0 if not limit else (_EARLY if stopped else 1.0 - _EARLY)
    prior = rule_prior(test.rules)
    return Observed(state.likelihood, prior, state.bets, state.right, stopped, share * error)


def _asked(
    claim: Claim, alpha: float, confidence: float, adjacency: Adjacency | str, seed: int
) -> _Asked:
    if not (0.0 < alpha < 1.0 and 0.0 < confidence < 1.0):
        raise AuditError(
            f"alpha = {alpha}, confidence = {confidence}: both must lie in (0, 1). alpha is the "
            "chance of a false alarm, 1 - confidence that of a lower bound above the truth."
        )
    side = _member(Adjacency, "adjacency", adjacency)
    return _Asked(claim, side, alpha, confidence, _whole("seed", seed, 0))


def _member(kinds: type[Kind], name: str, value: str) -> Kind:
    try:
        return kinds(value)
    except ValueError:
        raise AuditError(
            f"{name} = {value!r}: there is no such one. Pass one of {', '.join(kinds)}."
        ) from None


def _whole(name: str, value: Any, least: int) -> int:
    try:
        whole = index(value)
    except TypeError:
        whole = least - 1
    if whole < least:
        raise AuditError(f"{name} = {value!r}: pass a whole number from {least}.")
    return whole
