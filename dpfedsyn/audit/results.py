"""What an audit found: a verdict, bounds at any delta, and the power that it had."""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from accountants import Adjacency, to_json
from dpfedsyn.audit.bounds import Observed
from dpfedsyn.audit.claims import GDP, Claim, curve_of, scaled
from dpfedsyn.audit.power import power
from dpfedsyn.audit.process import Test
from dpfedsyn.audit.witness import Witness
from dpfedsyn.errors import AuditError

HALF = 0.5  # the noise ratio that a consistent audit must have been able to find
_SHOWN = 5  # other outcomes in the text


class Verdict(StrEnum):
    """What an audit says; none of it says that a mechanism is private."""

    VIOLATION = "VIOLATION"  # the claim is false, but for a chance of alpha
    # Half the noise would have been found if it showed in a shift of means, see `power`.
    CONSISTENT = "CONSISTENT"
    INCONCLUSIVE = "INCONCLUSIVE"  # too few calls to have learnt and found that


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found about one claim on one pair of neighbours.

    Attributes:
        verdict: VIOLATION, CONSISTENT or INCONCLUSIVE.
        claim: what was tested.
        alpha: chance of a false VIOLATION.
        confidence: of the lower bounds.
        calls: made.
        seconds: taken.
        log_wealth: the largest log wealth of the bets; VIOLATION from log(1 / alpha).
        mu_lower: the mechanism is mu-GDP for no smaller mu, at `confidence`.
        needed_calls: that would have found half the noise with 95 % power, if it shows in a shift
            of the outputs' means, be it spread over all their values; None where no number of calls
            does.
        witness: where the violation shows; None without one.
        outcomes: other outcomes than the usual one (errors, other shapes) that were seen.
    """

    verdict: Verdict
    claim: Claim
    adjacency: Adjacency
    alpha: float
    confidence: float
    calls: int
    seconds: float
    log_wealth: float
    mu_lower: float
    needed_calls: int | None
    witness: Witness | None
    outcomes: tuple[str, ...] = ()
    _test: Test = field(repr=False, kw_only=True)
    _evidence: Observed = field(repr=False, kw_only=True)
    _values: int = field(repr=False, kw_only=True)  # numbers in an output

    def epsilon_lower(self, delta: float, *, assume_family: bool = True) -> float:
        """Lower bound on epsilon at `delta`, at `confidence`.

        By default the mechanism is taken to be of the claim's family: Gaussian with any noise
        (GDP, Gaussian), Laplace with any noise, or another event with any share of its noise. What
        is assumed is that the bound at this delta goes with what was seen of all the curve; no
        number of calls below 1 / delta could show it. Nothing is assumed for (epsilon, delta)
        claims, where no member of the family agrees with the outputs, and for sampled or composed
        claims that are violated, whose sampling may be what is wrong.

        Args:
            delta: in (0, 1).
            assume_family: False assumes nothing, and gives a far lower bound.

        Guarantee:
            Above the mechanism's epsilon on these neighbours with a probability of at most
            1 - confidence, if nothing is assumed, or if the mechanism keeps the family's member
            that has the same epsilon at `delta`.

        Raises:
            AuditError: delta is not in (0, 1).
        """
        _in_range(delta)
        if not assume_family:
            return self._evidence.any_epsilon_lower(delta)
        return self._evidence.epsilon_lower(
            self.claim, self.adjacency, delta, violated=self.verdict is Verdict.VIOLATION
        )

    def reached(self, alpha: float) -> bool:
        """Whether the wealth ever reached 1 / alpha: a violation at this level."""
        if not 0.0 < alpha < 1.0:
            raise AuditError(f"alpha = {alpha}: pass one in (0, 1).")
        return self.log_wealth >= -math.log(alpha)

    def power_at(self, noise_ratio: float) -> float:
        """Chance that this many calls find `noise_ratio` times the claimed noise.

        For a shift of the means that is spread evenly over all values of an output, which takes
        longest to learn, under noise that is independent between them; for a given score that is
        the best one. Other differences, of scale or of dependence, may take more calls.
        """
        changed = curve_of(scaled(self.claim, noise_ratio), self.adjacency)
        return power(self._test, changed, self.calls, self._values)

    def auditable_epsilon(self, delta: float) -> float:
        """The largest `epsilon_lower(delta)` that as many calls could have: every guess right.

        In the claim's family, by the bets where the audit stopped early; see `epsilon_lower`.

        Raises:
            AuditError: delta is not in (0, 1).
        """
        _in_range(delta)
        return self._evidence.largest_epsilon(
            self.claim, self.adjacency, delta, violated=self.verdict is Verdict.VIOLATION
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        claim = (
            {"kind": "gdp", "mu": self.claim.mu}
            if isinstance(self.claim, GDP)
            else to_json(self.claim)
        )
        return {
            "verdict": str(self.verdict),
            "claim": claim,
            "adjacency": str(self.adjacency),
            "alpha": self.alpha,
            "confidence": self.confidence,
            "calls": self.calls,
            "seconds": self.seconds,
            "log_wealth": self.log_wealth,
            "mu_lower": self.mu_lower,
            "needed_calls": self.needed_calls,
            "witness": None if self.witness is None else str(self.witness.region),
            "outcomes": list(self.outcomes),
        }

    def __str__(self) -> str:
        lines = [
            f"{self.verdict}: {self.claim} on these neighbours ({self.adjacency}), "
            f"{self.calls} calls, {self.seconds:.2f} s",
            f"wealth e^{self.log_wealth:.1f} against a limit of e^{-math.log(self.alpha):.1f} "
            f"(alpha = {self.alpha:g}); mu >= {self.mu_lower:.3f} at {self.confidence:.0%}",
        ]
        if self.witness is not None:
            lines.append(f"where: {self.witness.region}")
        if self.verdict is Verdict.CONSISTENT:
            lines.append(
                f"Half the noise would have been found with a chance of {self.power_at(HALF):.1%} "
                f"{self._condition()}. This does not prove the claim."
            )
        if self.verdict is Verdict.INCONCLUSIVE:
            lines.append(
                "No number of calls finds half the noise: the claim allows nearly everything, or "
                "half its noise does."
                if self.needed_calls is None
                else f"Half the noise would have been found with a chance of "
                f"{self.power_at(HALF):.1%} only {self._condition()}. "
                f"Raise max_calls to {self.needed_calls}."
            )
        if self.outcomes:
            more = len(self.outcomes) - _SHOWN
            shown = [*self.outcomes[:_SHOWN], *([f"{more} more"] if more > 0 else [])]
            lines.append("other outcomes: " + "; ".join(shown))
        return "\n".join(lines)

    def _condition(self) -> str:
        if self._test.score is not None:
            return "if the given score is the best one"
        over = f", spread over {self._values} values" if self._values > 1 else ""
        return f"if it shows in a shift of the means{over}"


def _in_range(delta: float) -> None:
    if not 0.0 < delta < 1.0:
        raise AuditError(f"delta = {delta}: pass one in (0, 1).")
