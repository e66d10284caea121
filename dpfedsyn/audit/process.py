"""The sequential test: `state = step(state, block)`, wealth that a true claim keeps small.

Rules are learnt from past calls, bets are placed on the next block with rules and stakes that are
fixed before it, and the wealth of all bets is averaged. Under the claim the average is a
nonnegative supermartingale that starts at 1; Ville's inequality does the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit.bets import (
    POWER_PRIOR,
    TailBet,
    best_tail,
    likelihood_gains,
    likelihood_payoffs,
    likelihood_prices,
)
from dpfedsyn.audit.calling import Outputs
from dpfedsyn.audit.claims import Curve
from dpfedsyn.audit.scores import Fitted, is_wide, learn, learn_given
from dpfedsyn.audit.spread import Sums, added, begun

Array = NDArray[np.float64]

WARM_UP = 40
# Rules are learnt afresh when there are this many times more calls: early on calls are what counts,
# later the time that learning takes.
EARLY_GROWTH, GROWTH, _EARLY = 1.2, 1.4, 1_000
TAILS = 0.25  # share of the wealth that bets on tails
MOST_TRAINING = 6_000  # latest calls that rules are learnt from
_MOST_NUMBERS = 2**26  # held of past calls: 512 MiB
FULL = 24_000  # calls after which rules are hardly better for being learnt again
_RULES = (0.4, 0.3, 0.3)  # prior of the rules, from the simplest


@dataclass(frozen=True)
class Rules:
    """What is fixed before a block: rules, tail bets, and the rule that guesses."""

    fitted: tuple[Fitted, ...]
    tails: tuple[tuple[int, TailBet], ...]  # (rule, bet)
    guesser: int


@dataclass(frozen=True)
class State:
    """After some calls.

    Attributes:
        outputs, labels: the latest calls, as many as are learnt from. calls: made in all. rules:
            for the next ones; None until there were enough.
        likelihood: (rules,) sums of log q_b over calls that were bet on. tails: (rules, 2) log
            wealth of the tail bets. bets: calls that were bet on. right: of them, labels that the
            guessing rule had right. peak: largest log wealth so far. crossed: the call at which
            the wealth first reached the limit, counted from 1; None until then.
        sums: over all calls, of outputs that are too wide for all rules; None of others.
    """

    outputs: Outputs
    labels: Array
    calls: int
    rules: Rules | None
    likelihood: Array
    tails: Array
    bets: int
    right: int
    peak: float
    crossed: int | None
    sums: Sums | None = None


@dataclass(frozen=True)
class Test:
    """What a test is about: the claim's curve, the limit of the wealth, and a score if given."""

    curve: Curve
    log_limit: float
    prices: Array
    score: Callable[[Array], Array] | None = None
    low_bits: bool = False

    @property
    def rules(self) -> int:
        """How many rules are learnt."""
        return 1 if self.score is not None else len(_RULES)


def start(
    curve: Curve,
    alpha: float,
    score: Callable[[Array], Array] | None = None,
    low_bits: bool = False,
) -> tuple[Test, State]:
    """A test at level `alpha`, and its state before the first call."""
    test = Test(curve, float(-np.log(alpha)), likelihood_prices(curve), score, low_bits)
    empty = Outputs(np.zeros((0, 0)), np.zeros(0, np.int64))
    zeros = np.zeros(test.rules)
    tails = np.zeros((test.rules, 2))
    return test, State(empty, np.zeros(0), 0, None, zeros, tails, 0, 0, 0.0, None)


def next_block(calls: int, most: int) -> int:
    """How many calls to make next, after `calls` of at most `most`."""
    if calls == 0:
        return min(WARM_UP, most)
    growth = EARLY_GROWTH if calls < _EARLY else GROWTH
    wanted = max(12, int((growth - 1.0) * calls)) if calls < FULL else calls
    return min(wanted, most - calls)


def held_calls(width: int) -> int:
    """How many calls with so many numbers each are held in memory at once."""
    return max(WARM_UP, _MOST_NUMBERS // max(width, 1))


def step(
    state: State, outputs: Outputs, labels: Array, test: Test, *, learning: bool = True
) -> State:
    """Bet on a block of calls with the rules that the state holds, then learn from it.

    Args:
        outputs: of n calls on the neighbour that a fresh fair coin picked. labels: (n,) coins.
        learning: False for all but the last part of a block that is too wide to be held at once.

    Guarantee:
        If the claim is true, the wealth ever reaches 1 / alpha with a probability of at most
        alpha, also when one stops whenever one likes: every bet of a block is fixed by earlier
        calls, pays at most 1 on average, and the average of bets does too.
    """
    if state.rules is not None:
        state = _betted(state, state.rules, outputs, labels, test)
    most = min(MOST_TRAINING, held_calls(outputs.values.shape[1]))
    joined = _joined(state.outputs, outputs, most)
    seen = np.concatenate([state.labels, labels])[-most:]
    state = replace(
        state,
        outputs=joined,
        labels=seen,
        calls=state.calls + len(labels),
        sums=_summed(state.sums, outputs, labels, test),
    )
    if state.rules is None or (learning and state.calls <= 2 * FULL):
        state = replace(state, rules=_learnt(state, test))
    return state


def log_wealth(likelihood: Array, tails: Array, bets: int | NDArray[np.int64], test: Test) -> Array:
    """The log of the average wealth, from sums along the last-but-one axes.

    Args:
        likelihood: (..., rules). tails: (..., rules, 2). bets: (...) calls that were bet on.
    """
    prior = rule_prior(test.rules)
    grown = likelihood_gains(likelihood, bets, test.prices)
    grown = grown + np.log(POWER_PRIOR) + np.log(prior)[:, None]
    main = np.log(1 - TAILS) + _logsumexp(grown.reshape(*grown.shape[:-2], -1))
    side = tails + np.log(prior)[:, None] - np.log(2.0)
    aside = np.log(TAILS) + _logsumexp(side.reshape(*side.shape[:-2], -1))
    total: Array = np.logaddexp(main, aside)
    return total


def rule_prior(rules: int) -> Array:
    """What share of the wealth each rule bets with."""
    return np.ones(1) if rules == 1 else np.array(_RULES)


def _betted(state: State, rules: Rules, outputs: Outputs, labels: Array, test: Test) -> State:
    odds = [fitted.score(outputs) for fitted in rules.fitted]
    gains = np.stack([likelihood_payoffs(one, labels) for one in odds], axis=1)
    likelihood = state.likelihood + np.cumsum(gains, axis=0)
    tails = np.broadcast_to(state.tails, (len(labels), *state.tails.shape)).copy()
    for rule, bet in rules.tails:
        paid = bet.log_payoffs(odds[rule], labels) - np.log(bet.price(test.curve))
        tails[:, rule, bet.toward] += np.cumsum(paid)
    bets = state.bets + 1 + np.arange(len(labels))
    wealth = log_wealth(likelihood, tails, bets, test)
    crossed = state.crossed
    if crossed is None and (reached := wealth >= test.log_limit).any():
        crossed = state.calls + 1 + int(reached.argmax())
    right = int(np.sum((odds[rules.guesser] > 0) == (labels == 1)))
    return replace(
        state,
        likelihood=likelihood[-1],
        tails=tails[-1],
        bets=state.bets + len(labels),
        right=state.right + right,
        peak=max(state.peak, float(wealth.max())),
        crossed=crossed,
    )


def _summed(sums: Sums | None, outputs: Outputs, labels: Array, test: Test) -> Sums | None:
    if test.score is not None or not is_wide(outputs):
        return None
    if sums is None:  # calls before had other outcomes, without values
        sums = begun(outputs)
    return added(sums, outputs, labels)


def _learnt(state: State, test: Test) -> Rules:
    outputs, labels = state.outputs, state.labels
    if test.score is None:
        fitted = learn(outputs, labels, low_bits=test.low_bits, sums=state.sums)
    else:
        fitted = learn_given(test.score, outputs, labels)
    likely = [float(likelihood_payoffs(one.past, labels).sum()) for one in fitted]
    tails = tuple(
        (rule, best_tail(one.past, labels, toward, test.curve))
        for rule, one in enumerate(fitted)
        for toward in (0, 1)
    )
    return Rules(fitted, tails, int(np.argmax(likely)))


def _joined(first: Outputs, second: Outputs, most: int) -> Outputs:
    """The latest `most` calls of both."""
    if len(second) >= most or len(first) == 0:
        return second.take(slice(-most, None))
    first = first.take(slice(-(most - len(second)), None))
    return Outputs(
        np.concatenate([_wide(first, second), _wide(second, first)]),
        np.concatenate([first.outcomes, second.outcomes]),
    )


def _wide(one: Outputs, other: Outputs) -> Array:
    """Calls before the first usual outcome have no values yet: zeros stand for them."""
    width = max(one.values.shape[1], other.values.shape[1])
    return np.pad(one.values, ((0, 0), (0, width - one.values.shape[1])))


def _logsumexp(values: Array) -> Array:
    top = values.max(axis=-1, keepdims=True)
    total: Array = np.log(np.exp(values - top).sum(axis=-1)) + top[..., 0]
    return total
