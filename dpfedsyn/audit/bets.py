"""Payoffs whose mean is at most 1 under a claim: what an auditor may bet on the coin's label.

A payoff pays g_1(x) where the coin was 1 and g_0(x) where it was 0. Whatever the mechanism does,
its mean is at most E[max over (g_0, g_1) of posterior g_1 + (1 - posterior) g_0], a convex function
of the posterior, which `Curve.expected` bounds. So the product of payoffs over independent coins is
a supermartingale under the claim, and Ville's inequality holds: it ever reaches 1 / alpha with a
probability of at most alpha, whatever was learnt on the way from *earlier* calls.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit.claims import POSTERIORS, Curve

Array = NDArray[np.float64]

# Powers of the label's likelihood: small ones for what is nearly private, large ones for gross
# bugs. The middle ones are best for half the noise and have more of the prior.
POWERS: Array = np.array([0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
POWER_PRIOR: Array = np.array([1.0, 1.0, 2.0, 3.0, 4.0, 3.0, 1.0]) / 15.0

_LINES: Array = np.concatenate([[0.5], 1.0 / (1.0 + np.exp(-np.geomspace(0.05, 12.0, 31)))])
_STAKES: Array = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.85, 0.93, 0.98])


def likelihood_prices(curve: Curve, powers: Array = POWERS) -> Array:
    """Upper bounds on E[q_b^t] under the claim, for each power t and *any* rule q.

    For 0 < t < 1 the best rule for a known posterior has, by Hoelder's inequality, the mean
    ||(posterior, 1 - posterior)||_(1 / (1 - t)).

    Returns:
        (powers,), in (0, 1].

    Guarantee:
        q_b^t over its price has a mean of at most 1 under the claim, whatever q(x) in [0, 1] is.
    """
    order = 1.0 / (1.0 - powers[:, None])
    high = np.maximum(POSTERIORS, 1.0 - POSTERIORS)
    norm = high * (1.0 + ((1.0 - high) / high) ** order) ** (1.0 / order)
    return np.minimum(curve.expected(norm), 1.0)


def likelihood_payoffs(log_odds: Array, labels: Array) -> Array:
    """log q_b of each call: the log of the probability that was given to the label that came.

    Args:
        log_odds: (n,), of label 1. labels: (n,), 0 or 1.
    """
    signs = 2.0 * labels - 1.0
    payoffs: Array = -np.logaddexp(0.0, -signs * log_odds)
    return payoffs


def likelihood_gains(sums: Array, bets: int | NDArray[np.int64], prices: Array) -> Array:
    """Log wealth of each likelihood bet.

    Args:
        sums: (..., rules) of log q_b. bets: (...) calls that were bet on. prices: (powers,).

    Returns:
        (..., rules, powers).
    """
    gains: Array = sums[..., None] * POWERS - np.asarray(bets)[..., None, None] * np.log(prices)
    return gains


@dataclass(frozen=True)
class LikelihoodBet:
    """A bet of one power t on the label's likelihood: it pays q_b^t."""

    power: float

    def price(self, curve: Curve) -> float:
        """Upper bound on the mean, whatever the rule; see `likelihood_prices`."""
        return float(likelihood_prices(curve, np.array([self.power]))[0])

    def log_payoffs(self, log_odds: Array, labels: Array) -> Array:
        """Log of what each call pays, before the price; (n,)."""
        return self.power * likelihood_payoffs(log_odds, labels)


@dataclass(frozen=True)
class TailBet:
    """A bet on the outputs beyond a threshold: `1 + stake (1 - line)` or `1 - stake line`.

    It pays the first where the score exceeds `threshold` and the label is the expected one, the
    second where it is the other one, and 1 elsewhere.

    Attributes:
        toward: the label that is expected there. line: the posterior at which the bet is even.
        stake: in [0, 1 / line]; 0 bets nothing.
    """

    toward: int
    threshold: float
    line: float
    stake: float

    def price(self, curve: Curve) -> float:
        """Upper bound on the mean: E max(1, 1 + stake (posterior - line)) = 1 + stake V(line).

        Guarantee:
            The payoff over its price has a mean of at most 1 under the claim.
        """
        return (1.0 + self.stake * float(curve.tail(np.array(self.line)))) * (1 + 1e-12)

    def inside(self, log_odds: Array) -> NDArray[np.bool_]:
        """Which calls the bet is about: scores towards the label, beyond the threshold."""
        return (2 * self.toward - 1) * log_odds > self.threshold

    def log_payoffs(self, log_odds: Array, labels: Array) -> Array:
        """Log of what each call pays, before the price; (n,)."""
        won = np.log1p(self.stake * (1.0 - self.line))
        lost = np.log1p(-self.stake * self.line)
        return np.where(self.inside(log_odds), np.where(labels == self.toward, won, lost), 0.0)


def best_tail(log_odds: Array, labels: Array, toward: int, curve: Curve, least: int = 6) -> TailBet:
    """The tail bet that would have grown most on past calls, at a cautious estimate.

    Args:
        log_odds: (n,) scores of past calls, by rules that had not seen them. labels: (n,).
        toward: label that is expected. least: outputs that a region must hold.
    """
    ours = (2 * toward - 1) * log_odds
    order = np.argsort(-ours, kind="stable")
    right = np.cumsum(labels[order] == toward)
    sizes = np.unique(np.geomspace(least, max(len(ours) // 2, least), 24).astype(int))
    sizes = sizes[sizes <= len(ours) - 1]
    if len(sizes) == 0:
        return TailBet(toward, np.inf, 0.5, 0.0)
    ranked = ours[order]
    thresholds = ranked[sizes]  # the region is what lies strictly above
    count = np.searchsorted(-ranked, -thresholds, side="left")
    chance = np.where(count > 0, right[np.maximum(count, 1) - 1], 0)
    rate = (chance + 0.5) / (count + 1.0)
    rate = rate - 0.7 * np.sqrt(rate * (1.0 - rate) / (count + 1.0))
    share = count / len(ours)
    stakes = _STAKES[None, :] / _LINES[:, None]
    won, lost = np.log1p(stakes * (1.0 - _LINES[:, None])), np.log1p(-stakes * _LINES[:, None])
    price = np.log1p(stakes * curve.tail(_LINES)[:, None])
    growth = (
        (share * rate)[:, None, None] * won + (share * (1.0 - rate))[:, None, None] * lost - price
    )
    k, i, j = np.unravel_index(int(np.argmax(growth)), growth.shape)
    stake = float(stakes[i, j]) if growth[k, i, j] > 0.0 else 0.0
    return TailBet(toward, float(thresholds[k]), float(_LINES[i]), stake)
