"""What a claim lets an attacker achieve at most, where the noise is drawn and not ideal.

Source: Dong, Roth & Su (2022), for error rates.
"""

from __future__ import annotations

import math

from accountants import Adjacency, Event, epsilon, tradeoff

_SHARES = (0.1, 0.2, 0.3, 0.5)  # of delta, among which the least posterior is looked for
_NOISE = 0.01  # of each of them, for noise that is drawn and not ideal
_FAR = 600.0  # epsilon whose odds no number holds any more


def true_positive_rate(
    event: Event, fpr: float, *, adjacency: Adjacency | str, deviation: float = 0.0
) -> float:
    """The largest share of units in the data that any attack finds at this false-positive rate.

    Args:
        deviation: total variation between ideal and drawn noise, generator included.

    Guarantee:
        No attack on what the event covers finds a unit with a larger probability: the upper end of
        the trade-off function, with what drawn noise deviates on either rate.
    """
    rate = min(1.0, fpr + deviation)
    most = tradeoff(event, adjacency=adjacency).true_positive_rate(rate).upper
    return min(1.0, most + deviation)


def posterior(
    event: Event, delta: float, *, adjacency: Adjacency | str, deviation: float = 0.0
) -> float:
    """How sure an attacker who began at even odds may become, but for a probability delta.

    Outputs on which the odds exceed e^z have a probability Q with Q <= delta(y) / (1 - e^(y - z))
    for every y < z, where delta(y) is the privacy profile. With the epsilon of s delta, s < 1, in
    the place of y, z = y - log(1 - s) makes that delta; the least such z counts. A hundredth of
    s delta is left to drawn noise, which adds (1 + e^y) times its deviation to the profile.

    Guarantee:
        Whether the unit is in the data or not, with probability at least 1 - delta the posterior
        probability of that, from a prior of 1/2, is not above the result; 1 where none is known.
    """
    least = math.inf
    for share in _SHARES:
        at = epsilon(event, delta=(1.0 - _NOISE) * share * delta, adjacency=adjacency).upper
        if math.log1p(math.exp(min(at, _FAR))) + math.log(deviation or 5e-324) <= math.log(
            _NOISE * share * delta
        ):
            least = min(least, at - math.log1p(-share))
    return 1.0 if least > _FAR else min(1.0, math.nextafter(1.0 / (1.0 + math.exp(-least)), 2.0))
