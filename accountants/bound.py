"""A certified bracket around one number."""

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

from accountants.errors import AccountingError


@dataclass(frozen=True)
class Bound:
    """`lower <= true value <= upper`; the upper end is the claim.

    The lower end bounds the *accountant's value*, not what an attacker achieves; 0 where none is
    known. `upper` is infinite where nothing finite can be claimed.

    Raises:
        AccountingError: an end is NaN, or lower > upper.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if math.isnan(self.lower) or math.isnan(self.upper) or self.lower > self.upper:
            raise AccountingError(
                f"A bound needs lower <= upper and got lower={self.lower}, upper={self.upper}; "
                "nothing can be claimed from it. Pass the smaller value first."
            )

    def __str__(self) -> str:
        return f"{self.upper:.6g} (at least {self.lower:.6g})"

    def outward(self, digits: int = 10) -> str:
        """Both ends, upper first, rounded so that what is printed is claimed too."""
        upper = Context(digits, ROUND_CEILING).create_decimal_from_float(self.upper)
        lower = Context(digits, ROUND_FLOOR).create_decimal_from_float(self.lower)
        return f"<= {upper} (>= {lower})"
