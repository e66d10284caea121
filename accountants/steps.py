"""One step of a composition that is neither a plain Gaussian nor a Poisson-sampled one.

`Laplace` and `ApproximateDP` are steps as they stand. The two kinds here are what sampled events
become once an adjacency is given: each names one dominating pair, in units of one sensitivity.
"""

from dataclasses import dataclass
from typing import TypeAlias

from accountants.events import ApproximateDP, Laplace

REMOVE, ADD = 0, 1  # the two directions of neighbouring: P has one unit more than Q, or one less
DIRECTIONS = (REMOVE, ADD)


@dataclass(frozen=True)
class Glued:
    """A Gaussian on a sample, under `replace`: the exchanged unit is in it with probability `rate`.

    Its profile is h(g) = delta_remove(g) for g >= 1 and 1 - g + g h(1/g) below, delta_remove being
    the profile of (1 - rate) N(0, sigma^2) + rate N(1, sigma^2) against N(0, sigma^2).

    Guarantee:
        h dominates Poisson samples and batches of a fixed size, in both directions. Write the two
        outputs as (1 - q) R + q A and (1 - q) R + q B: R without the exchanged unit (in a batch,
        with another in its place), A and B with either version, all one sensitivity apart. For
        g >= 1, advanced joint convexity (Balle, Barthe & Gaboardi 2018, Theorem 2) gives q times
        the profile of A against a mixture of R and B, hence at most q delta_Gaussian(g'), g = 1 +
        q (g' - 1): that is delta_remove(g). Below 1 the two outputs change places. h is convex:
        its slopes at 1 are in order because P(L > 0) + Q(L > 0) <= 1; so it is the profile of a
        pair (Zhu, Dong & Wang 2022), and this one pair is composed. Composing each direction of
        sampling on its own and taking the larger is below the truth (Lebeda et al. 2024).
    """

    rate: float
    sigma: float


@dataclass(frozen=True)
class Binomial:
    """A Gaussian on a Poisson sample, seen by a group of `size` units that come or go together.

    The pair is sum_i Binomial(size, rate)(i) N(i, sigma^2) against N(0, sigma^2).
    Source: Ganesh (2024), "Tight group-level DP guarantees for DP-SGD with sampling via mixture of
    Gaussians mechanisms".
    """

    rate: float
    sigma: float
    size: int


Step: TypeAlias = Laplace | ApproximateDP | Glued | Binomial
Counted: TypeAlias = tuple[tuple[Step, int], ...]
