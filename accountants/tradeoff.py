"""What (epsilon, delta) means to an attacker: error rates of the best test, and its Bayes risk.

The attacker sees the output and decides whether a unit was in the data: the trade-off function of
Dong, Roth & Su (2022), and the risks of Kaissis et al. (2024).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

from accountants.accountant import delta
from accountants.bound import Bound
from accountants.errors import AccountingError
from accountants.events import Adjacency, Event
from accountants.lines import rates
from accountants.parts import Parts, parts_of

_UNIT = 2.0**-52
_SMALLEST = 1e-307  # below it the distribution function is rounded to 0, or nearly


def tradeoff(event: Event, *, adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE) -> "Tradeoff":
    """The trade-off function of `event`.

    Raises:
        UnsupportedEvent: no valid bound is known, such as sampling under `replace`.
        AccountingError: no event.
    """
    delta(event, epsilon=0.0, adjacency=adjacency)  # says what is wrong with either
    return Tradeoff(event, Adjacency(adjacency))


@dataclass(frozen=True)
class Tradeoff:
    """Every test's errors against `event`, the worse of both directions of neighbouring.

    alpha, or fpr, is the probability of calling out a unit that is not in the data, beta that of
    missing one that is. The curve is symmetric and convex: the convex hull of both directions'.
    Its ends are exact (apart by rounding) for compositions of Gaussians.
    """

    event: Event
    adjacency: Adjacency

    def beta(self, alpha: float) -> Bound:
        """Miss rate of the best test with false-positive rate `alpha` in [0, 1].

        The *lower* end is the claim: more misses are more privacy.

        Guarantee:
            Every test with false-positive rate alpha misses with probability at least the lower
            end, in both directions.
        """
        return self._rates("alpha", alpha)[0]

    def true_positive_rate(self, fpr: float) -> Bound:
        """1 - beta(fpr), precise also where it is tiny; the upper end is the claim.

        Guarantee:
            No test with false-positive rate fpr finds a unit with a probability above the upper
            end, in both directions.
        """
        return self._rates("fpr", fpr)[1]

    @property
    def advantage(self) -> Bound:
        """Largest true-positive rate minus false-positive rate: total variation, delta at 0."""
        return self._delta(0.0)

    def bayes_risk(self, prior: float) -> Bound:
        """Least probability of error where a unit is *not* in the data with probability `prior`.

        With P without the unit and Q with it, the least of prior P(S) + (1 - prior) (1 - Q(S)) is
        (1 - prior) (1 - delta(log(prior / (1 - prior)))) with delta of Q against P, and the same
        number is prior (1 - delta(log((1 - prior) / prior))) with delta of P against Q. So one
        direction belongs to a prior, and the larger delta of both holds for either labelling; of
        the two forms the one with epsilon >= 0 is used. The *lower* end is the claim.

        Guarantee:
            No test errs with a probability below the lower end, whichever neighbour has the prior.
        """
        _probability("prior", prior)
        least = min(prior, 1.0 - prior)
        if least == 0.0:
            return Bound(0.0, 0.0)
        odds = math.log((1.0 - least) / least)
        safe, tight = (max(odds + side * 4 * _UNIT * (1.0 + odds), 0.0) for side in (-1, 1))
        lower = least * (1.0 - self._delta(safe).upper) * (1 - 4 * _UNIT)
        upper = least * (1.0 - self._delta(tight).lower) * (1 + 4 * _UNIT)
        return Bound(lower, max(lower, min(upper, least)))

    def _delta(self, epsilon: float) -> Bound:
        return delta(self.event, epsilon=epsilon, adjacency=self.adjacency)

    def _rates(self, name: str, alpha: float) -> tuple[Bound, Bound]:
        """(beta, true-positive rate)."""
        _probability(name, alpha)
        parts = parts_of(self.event, self.adjacency)
        if parts.unbounded or alpha == 1.0:
            return Bound(0.0, 0.0), Bound(1.0, 1.0)
        if parts == Parts(mu2=parts.mu2):  # plain Gaussians and nothing else
            return _gaussian(math.sqrt(parts.mu2), float(alpha))
        if alpha == 0.0:
            caught = _infinite_loss(self._delta)
            return Bound(math.nextafter(1.0 - caught, 0.0), 1.0), Bound(0.0, caught)
        return rates(self._delta, float(alpha))


def _gaussian(mu: float, alpha: float) -> tuple[Bound, Bound]:
    """beta = Phi(Phi^-1(1 - alpha) - mu), and 1 - beta, for mu-GDP (Dong, Roth & Su 2022)."""
    z = float(ndtri(alpha))
    if math.isinf(z):
        return Bound(1.0, 1.0), Bound(0.0, 0.0)
    slack = 16 * _UNIT * (1.0 + abs(z) + mu)
    guess = math.nextafter(1.0 - alpha, 2.0)
    miss = _phi(-z - mu - slack).lower, min(_phi(-z - mu + slack).upper, guess)
    hit = max(_phi(z + mu - slack).lower, alpha), _phi(z + mu + slack).upper
    return Bound(min(miss), miss[1]), Bound(hit[0], max(hit))


def _phi(x: float) -> Bound:
    """The normal distribution function with its rounding taken off and added."""
    x = min(max(x, -40.0), 40.0)
    value = float(ndtr(x))
    error = 16 * _UNIT * (1.0 + x * x) * value if x < 0 else _UNIT
    return Bound(max(value - error, 0.0), min(value + error + _SMALLEST, 1.0))


def _infinite_loss(profile: Callable[[float], Bound]) -> float:
    """An upper bound on the probability that the output gives a unit away: delta far out."""
    epsilon, found = 1.0, 1.0
    while found > _UNIT and epsilon < 1e15:
        found, epsilon = min(found, profile(epsilon).upper), epsilon * 8.0
    return found


def _probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise AccountingError(
            f"{name}={value} is no probability, so no rate follows from it. Pass one in [0, 1]."
        )
