"""The error that one assertion may make, shared out over the examples that it is given.

A `@given` test asserts many times, and again while it shrinks. The i-th new example is tested at
alpha_i = alpha * 6 / (pi^2 i^2), which sums to alpha over any number of examples. An example that
was seen before gets the verdict that it had: otherwise shrinking would be flaky, and would spend.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Assertion:
    """One assertion in the source, and the examples that it has seen in this process."""

    examples: int = 0
    verdicts: dict[bytes, Any] = field(default_factory=dict)

    def next_alpha(self, alpha: float) -> float:
        """Return the share of the next new example.

        Guarantee:
            The shares of one assertion, over all its examples, add up to at most `alpha`.
        """
        self.examples += 1
        return alpha * 6.0 / (math.pi * self.examples) ** 2


_SITES: dict[tuple[str, int, float], Assertion] = {}


def site(frame: Any, alpha: float) -> Assertion:
    """Return the assertion at a frame's line, and its alpha."""
    key = (frame.f_code.co_filename, frame.f_lineno, alpha)
    return _SITES.setdefault(key, Assertion())


def in_given() -> bool:
    """Whether a Hypothesis test is running."""
    if "hypothesis" not in sys.modules:
        return False
    from hypothesis import currently_in_test_context

    return bool(currently_in_test_context())
