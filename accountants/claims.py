"""(epsilon, delta) claims beside other mechanisms: a mixture over what the claims' losses may be.

The pair that stands for a claim of (epsilon_0, delta_0) tells all with probability delta_0, and is
else randomised response: its loss is epsilon_0 with probability p = 1 / (1 + e^-epsilon_0), and
-epsilon_0 with 1 - p (Kairouz, Oh & Viswanath 2015, Theorem 3.3), the same in both directions. Of
several the losses add up to some s, with binomial weights, and since
delta(epsilon) = E[(1 - e^(epsilon - L))_+] under the first law,

    delta(epsilon) = D + (1 - D) sum_s w_s delta_rest(epsilon - s),  1 - D = prod (1 - delta_i)^n_i.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from accountants.events import ApproximateDP
from accountants.steps import Step

Array = NDArray[np.float64]
Bounds = Callable[[Array], tuple[Array, Array]]
"""From real epsilons (k,) to (lower, upper) delta of what stands beside the claims."""

MOST = 512  # values of the claims' loss; with more of them a lattice is as fast


@dataclass(frozen=True)
class Losses:
    """What the losses of all claims add up to, unless one of them tells all.

    Attributes:
        values: (m,). weights: (m,), each with a relative error of at most `error`.
        certain: D, the chance that one tells all.
        slack: of a value, absolute.
    """

    values: Array
    weights: Array
    certain: float
    error: float
    slack: float


def losses(steps: tuple[tuple[Step, int], ...]) -> Losses | None:
    """Return the losses of steps that are claims all; None where one is not, or they are many."""
    values, logs, kept, count, reach = np.zeros(1), np.zeros(1), 0.0, 0, 0.0
    terms = math.prod(n + 1 for _, n in steps)
    if not steps or terms > MOST:
        return None
    for claim, n in steps:
        if not isinstance(claim, ApproximateDP):
            return None
        b = np.arange(n + 1)
        logged = -math.log1p(math.exp(-claim.epsilon))  # log p
        chosen = gammaln(n + 1.0) - gammaln(b + 1.0) - gammaln(n - b + 1.0)
        own = chosen + b * logged + (n - b) * (logged - claim.epsilon)
        values = np.add.outer(values, claim.epsilon * (2.0 * b - n)).ravel()
        logs = np.add.outer(logs, own).ravel()
        kept += n * math.log1p(-claim.delta)
        count, reach = count + n, reach + n * claim.epsilon
    # A logarithm of at most this size, each of its parts rounded to a few ulp.
    error = 2e-15 * (1.0 + reach + count * math.log(2.0 + count))
    slack = 0.0 if count == 1 else 1e-15 * reach  # one claim's losses are exact
    return Losses(values, np.exp(logs), -math.expm1(kept), error, slack)


def delta_bounds(mixed: Losses, rest: Bounds, epsilon: Array) -> tuple[Array, Array]:
    """Return certified (lower, upper) delta at each real epsilon, (k,).

    Args:
        rest: of all other mechanisms together.

    Guarantee:
        lower <= delta(epsilon) <= upper, if that holds of `rest`: each of its delta is taken at an
        epsilon that is off to the safe side by what rounding may have done to it.
    """
    below, above = np.zeros_like(epsilon), np.zeros_like(epsilon)
    for value, weight in zip(mixed.values, mixed.weights, strict=True):
        at = epsilon - value
        slack = mixed.slack + 2.3e-16 * np.abs(at)
        below += weight * rest(at + slack)[0]
        above += weight * rest(at - slack)[1]
    left = 1.0 - mixed.certain
    lower = (mixed.certain + left * below * (1.0 - mixed.error)) * (1.0 - 1e-14)
    upper = (mixed.certain + left * above * (1.0 + mixed.error)) * (1.0 + 1e-14)
    return np.maximum(lower, 0.0), np.minimum(upper, 1.0)
