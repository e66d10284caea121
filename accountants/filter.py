"""The privacy filter of Gaussian answers: a cap on the sum of mu^2, fixed before the first answer.

Noise, bounds, queries and stopping may all depend on earlier answers; the cap may not. The
guarantee is the one at the cap (Smith & Thakurta 2022; Koskela, Tobaben & Honkela 2023).

For other mechanisms a filter on whole profiles is an open problem: they are accounted for by a
schedule that is fixed before the first of them runs, which is how a ledger admits training.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from accountants.errors import AccountingError, BudgetExhausted


@dataclass(frozen=True)
class GaussianFilter:
    """Accepts charges while their exact sum stays within `cap_mu2` (0: none are allowed).

    Guarantee:
        Sums are exact rationals, so no rounding can let the spent total pass the cap. A cost that
        is NaN, infinite, zero or negative is never accepted.
    """

    cap_mu2: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cap_mu2) and self.cap_mu2 >= 0):
            raise AccountingError(
                f"cap_mu2={self.cap_mu2} is not a finite number >= 0, so nothing could be "
                "guaranteed. Pass the largest sum of mu^2 that the claim allows."
            )

    def admit(self, spent: Fraction, cost: float) -> Fraction:
        """The new exact total after `cost`; `spent` is the total before it (start: Fraction(0)).

        Raises:
            BudgetExhausted: the cost is no positive finite number, or the total would pass the cap.
        """
        if not (isinstance(cost, (int, float)) and math.isfinite(cost) and cost > 0):
            raise BudgetExhausted(
                f"A charge of mu^2 = {cost} is not a positive, finite number; nothing was charged "
                "and nothing released. Charge what the mechanism really costs."
            )
        total = spent + Fraction(cost)
        if not total <= Fraction(self.cap_mu2):
            left = Fraction(self.cap_mu2) - spent
            raise BudgetExhausted(
                f"This charge of mu^2 = {cost:.6g} would bring the sum to {float(total):.9g}, "
                f"past the cap of {self.cap_mu2:.9g} ({float(max(left, Fraction(0))):.6g} left). "
                "Nothing was charged and nothing released. Ask fewer rounds or rows, add noise, "
                "or open a new budget, which composes with this one."
            )
        return total


def rounded_up(total: Fraction) -> float:
    """The smallest float that is not below `total`."""
    nearest = float(total)
    return nearest if Fraction(nearest) >= total else math.nextafter(nearest, math.inf)


def total_mu2(costs: Iterable[float]) -> float:
    """The smallest float not below the exact sum: as a cap it admits exactly these costs."""
    return rounded_up(sum((Fraction(cost) for cost in costs), Fraction(0)))
