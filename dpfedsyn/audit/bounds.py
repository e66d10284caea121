"""Lower bounds from an audit's bets or guesses: which claims would they contradict?"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency, ApproximateDP, Gaussian, epsilon
from dpfedsyn.audit import binomial
from dpfedsyn.audit.bets import POWER_PRIOR, POWERS, likelihood_prices
from dpfedsyn.audit.claims import GDP, Claim, Curve, curve_of, gaussian_curve, scaled

Array = NDArray[np.float64]

_MUS = np.geomspace(0.005, 60.0, 240)
_STEPS = 18  # of bisection, in the logarithm


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
            return curve.accuracy < binomial.lower_rate(self.right, self.bets, self.error)
        prices = np.log(likelihood_prices(curve))
        grown = self.likelihood[:, None] * POWERS - self.bets * prices + np.log(POWER_PRIOR)
        wealth = np.logaddexp.reduce((grown + np.log(self.prior)[:, None]).ravel())
        return bool(wealth >= -math.log(self.error))

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
        if isinstance(claim, ApproximateDP):
            return self._least(lambda value: ApproximateDP(value, delta), 1e-3, 30.0)
        adjacent = Adjacency(adjacency)
        steeper = self._least(lambda value: scaled(claim, 1.0 / value), 1e-3, 1e3, adjacent)
        if steeper == 0.0:
            return 0.0
        real = scaled(claim, 1.0 / steeper)
        assert not isinstance(real, GDP)
        return epsilon(real, delta=delta, adjacency=adjacent).lower

    def _least(
        self,
        family: Callable[[float], Claim],
        low: float,
        high: float,
        adjacency: Adjacency = Adjacency.ADD_OR_REMOVE,
    ) -> float:
        """The largest value in [low, high] whose member is rejected; 0 if none is."""
        if not self.rejects(curve_of(family(low), adjacency)):
            return 0.0
        if self.rejects(curve_of(family(high), adjacency)):
            return high
        for _ in range(_STEPS):
            middle = math.sqrt(low * high)
            if self.rejects(curve_of(family(middle), adjacency)):
                low = middle
            else:
                high = middle
        return low
