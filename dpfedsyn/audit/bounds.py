"""Lower bounds from an audit's bets or guesses: which claims would they contradict?"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency, ApproximateDP, Gaussian, epsilon
from dpfedsyn.audit import binomial
from dpfedsyn.audit.bets import POWER_PRIOR, likelihood_gains, likelihood_prices
from dpfedsyn.audit.claims import (
    GDP,
    Claim,
    Curve,
    curve_of,
    gaussian_curve,
    largest_accuracy,
    scaled,
)
from dpfedsyn.errors import DPError

Array = NDArray[np.float64]

_MUS = np.geomspace(0.005, 60.0, 240)
_WIDEST, _STEPS = 1024.0, 12  # of a family's factor; of bisection, in the logarithm


@dataclass(frozen=True, eq=False)
class Evidence:
    """What bounds follow from.

    Attributes:
        likelihood: (rules,) sums of log q_b. prior: (rules,). bets: calls that were bet on.
        right: of them, labels that were guessed. sequential: the audit stopped early, so that only
            bounds that hold at any time may be used. error: chance of a bound above the truth.
    """

    likelihood: Array
    prior: Array
    bets: int
    right: int
    sequential: bool
    error: float

    def rejects(self, curve: Curve) -> bool:
        """Whether a mechanism that keeps `curve` is contradicted.

        Guarantee:
            A mechanism that keeps the curve is rejected with a probability of at most `error`; and
            what rejects a curve rejects every smaller one.
        """
        if self.bets == 0:
            return False
        if not self.sequential:
            return self._guessed_more_often(curve.accuracy)
        grown = likelihood_gains(self.likelihood, self.bets, likelihood_prices(curve))
        grown = grown + np.log(POWER_PRIOR) + np.log(self.prior)[:, None]
        wealth = np.logaddexp.reduce(grown.ravel())
        return bool(wealth >= -math.log(self.error))

    def _guessed_more_often(self, accuracy: float) -> bool:
        return accuracy < binomial.lower_rate(self.right, self.bets, self.error)

    def mu_lower(self) -> float:
        """The mechanism is mu-GDP for no smaller mu."""
        if self.bets == 0:
            return 0.0
        if not self.sequential:
            return binomial.mu_lower(self.right, self.bets, self.error)
        reached = 0.0
        for mu in _MUS:
            if not self.rejects(gaussian_curve(float(mu))):
                break
            reached = float(mu)
        return reached

    def epsilon_lower(self, claim: Claim, adjacency: Adjacency, delta: float) -> float:
        """Lower bound on epsilon at `delta`, along the claim's own family of curves.

        GDP, an event with less noise than claimed, or all (epsilon, delta).
        """
        if isinstance(claim, (GDP, Gaussian)):
            mu = self.mu_lower()
            return epsilon(Gaussian(1.0 / mu), delta=delta).lower if mu > 0.0 else 0.0
        adjacent = Adjacency(adjacency)
        if isinstance(claim, ApproximateDP):
            return self._least(lambda value: ApproximateDP(value, delta), adjacent)
        steeper = self._least(lambda value: scaled(claim, 1.0 / value), adjacent)
        if steeper == 0.0:
            return 0.0
        real = scaled(claim, 1.0 / steeper)
        assert not isinstance(real, GDP)
        return epsilon(real, delta=delta, adjacency=adjacent).lower

    def _least(self, family: Callable[[float], Claim], adjacency: Adjacency) -> float:
        """The largest value from 1 / 1024 to 1024 whose member is rejected; 0 if none is.

        From 1 outwards: members far from the claim take long to account for, or allow everything.
        """

        def rejected(value: float) -> bool:
            return self._rejects(family, value, adjacency)

        low, high = 1.0, 2.0
        if rejected(low):
            while high <= _WIDEST and rejected(high):
                low, high = high, 2.0 * high
        else:
            while not rejected(low):
                low, high = low / 2.0, low
                if low < 1.0 / _WIDEST:
                    return 0.0
        for _ in range(_STEPS):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if rejected(middle) else (low, middle)
        return low

    def _rejects(
        self, family: Callable[[float], Claim], value: float, adjacency: Adjacency
    ) -> bool:
        """As `rejects`; never a member that allows everything or has no known bound."""
        if self.bets == 0:
            return False
        try:
            if self.sequential:
                return self.rejects(curve_of(family(value), adjacency))
            return self._guessed_more_often(largest_accuracy(family(value), adjacency))
        except DPError:
            return False
