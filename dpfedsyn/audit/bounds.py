"""Lower bounds from an audit's bets or guesses: which claims would they contradict?

All of them follow from one event: that the mechanism's own curve is rejected, which has a
probability of at most `error`. What rejects a larger curve rejects it too, so that each bound here
is above the truth only in this event, and which of them is used may depend on the outputs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency, ApproximateDP, Gaussian, Laplace, epsilon
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
# Whose one parameter is all that a mechanism of their kind can have wrong. Where a sampled or
# composed claim is broken, rates, counts and order may be wrong as well as the noise.
_OF_ONE_PARAMETER = (GDP, Gaussian, Laplace)


@dataclass(frozen=True, eq=False)
class Observed:
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

    def epsilon_lower(
        self, claim: Claim, adjacency: Adjacency | str, delta: float, *, violated: bool = False
    ) -> float:
        """Lower bound on epsilon at `delta` of a mechanism of the claim's family.

        The family is GDP, or the event with any share of its noise. The least factor whose member
        survives decides; a sampled or composed one is followed up to the claim and no further.

        Args:
            violated: whether the claim is known to be false, by these bets or others.

        Guarantee:
            Above epsilon with a probability of at most `error`, if the mechanism keeps the
            family's member that has the same epsilon at `delta`. Nothing is assumed, and
            `any_epsilon_lower` returned, for (epsilon, delta) claims, where no member survives,
            and for sampled or composed claims that are violated.
        """
        by_family = self._by_family(claim, Adjacency(adjacency), delta, violated, refutable=True)
        if by_family is not None and isinstance(claim, _OF_ONE_PARAMETER):
            return by_family  # the other bound is never above it
        return max(by_family or 0.0, self.any_epsilon_lower(delta))

    def any_epsilon_lower(self, delta: float) -> float:
        """Lower bound on epsilon at `delta`, whatever the mechanism is.

        Guarantee:
            The mechanism is (epsilon, delta)-DP for no epsilon below the result, wrongly so with a
            probability of at most `error`.
        """
        return self._least(lambda value: ApproximateDP(value, delta), Adjacency.ADD_OR_REMOVE)

    def largest_epsilon(
        self, claim: Claim, adjacency: Adjacency | str, delta: float, *, violated: bool = False
    ) -> float:
        """What `epsilon_lower` is at most, after as many bets: every label was known for sure."""
        best = replace(self, likelihood=np.zeros_like(self.likelihood), right=self.bets)
        # Fewer right guesses leave members that all of them refute: up to the claim they count.
        found = best._by_family(claim, Adjacency(adjacency), delta, violated, refutable=False)
        return max(best.any_epsilon_lower(delta), 0.0 if found is None else found)

    def _by_family(
        self, claim: Claim, adjacency: Adjacency, delta: float, violated: bool, refutable: bool
    ) -> float | None:
        """The bound along the family; None where the family is not to be relied on.

        Args:
            refutable: whether it is None, too, where no member survives.
        """
        if isinstance(claim, ApproximateDP):
            return None
        if isinstance(claim, (GDP, Gaussian)):
            mu = self.mu_lower()
            if refutable and self.sequential and mu >= _MUS[-1]:
                return None
            return epsilon(Gaussian(1.0 / mu), delta=delta).lower if mu > 0.0 else 0.0
        if violated and not isinstance(claim, _OF_ONE_PARAMETER):
            return None
        factor = self._least(lambda value: scaled(claim, 1.0 / value), adjacency)
        if refutable and factor >= _WIDEST:
            return None
        if factor == 0.0:
            return 0.0
        if isinstance(claim, Laplace):  # delta = 1 - e^((epsilon - 1 / scale) / 2): `claims`
            least = factor / claim.noise_multiplier + 2.0 * math.log1p(-delta)
            return max(least, 0.0) * (1.0 - 1e-12)
        factor = min(factor, 1.0)
        real = scaled(claim, 1.0 / factor)
        assert not isinstance(real, GDP)
        return epsilon(real, delta=delta, adjacency=adjacency).lower

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
