"""What an audit of a run found: one fact each, with its consequence, its mend and its numbers.

A verdict never says "private": CONSISTENT means that this check, which could have seen a fault, saw
none. What could not be looked at is INCONCLUSIVE and says why; nothing is skipped in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dpfedsyn.audit.auditing import Verdict

VIOLATION, CONSISTENT, INCONCLUSIVE = (
    Verdict.VIOLATION,
    Verdict.CONSISTENT,
    Verdict.INCONCLUSIVE,
)
CHAIN = "chain"  # the check whose violation is a damaged ledger
WHOLE_RUN = ""

NEW_RUN = "Start a new run with the corrected program; its budget composes with this run's."
ALPHA = 1e-6  # false alarms of all statistical tests of one audit together


@dataclass(frozen=True)
class Finding:
    """One check of one silo, or of the whole run (`silo` empty)."""

    check: str
    silo: str
    verdict: Verdict
    fact: str
    consequence: str = ""
    mend: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """P-values of one subject, not yet judged: the level of each depends on how many there are.

    Attributes:
        p_values: by test; each is at most u with probability at most u if the claim holds.
        consequence, mend: said where a test rejects.
    """

    check: str
    silo: str
    subject: str
    p_values: Mapping[str, float]
    consequence: str
    mend: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


def judged(tested: Sequence[Measured], alpha: float = ALPHA) -> list[Finding]:
    """Return a finding for each subject, at a joint false-alarm rate of `alpha` (Bonferroni)."""
    count = sum(len(one.p_values) for one in tested)
    return [_judged(one, alpha / count) for one in tested if one.p_values]


def _judged(one: Measured, level: float) -> Finding:
    numbers = {**one.numbers, "p_values": dict(one.p_values), "level": level}
    rejected = {name: p for name, p in one.p_values.items() if not p > level}
    if rejected:
        told = ", ".join(f"{name} (p = {p:.2g})" for name, p in rejected.items())
        fact = f"{one.subject} fails {told}; each test falsely alarms in {level:.2g} of audits."
        return Finding(one.check, one.silo, VIOLATION, fact, one.consequence, one.mend, numbers)
    least = min(one.p_values.values())
    fact = (
        f"{one.subject} passes {len(one.p_values)} tests; the least p-value is {least:.2g}, "
        f"the level {level:.2g}."
    )
    return Finding(one.check, one.silo, CONSISTENT, fact, numbers=numbers)


def verdict(findings: Iterable[Finding]) -> Verdict:
    """Return the verdict of all findings together: the worst, but what was not looked at stays."""
    found = {finding.verdict for finding in findings}
    return next((v for v in (VIOLATION, CONSISTENT, INCONCLUSIVE) if v in found), INCONCLUSIVE)


def one(
    check: str,
    silo: str,
    faults: Sequence[str],
    *,
    holds: str,
    consequence: str,
    mend: str,
    numbers: Mapping[str, Any] | None = None,
) -> Finding:
    """Return a violation that names the first faults, or what holds where there is none."""
    if not faults:
        return Finding(check, silo, CONSISTENT, holds, numbers=numbers or {})
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    fact = "; ".join(faults[:3]) + more + "."
    return Finding(check, silo, VIOLATION, fact, consequence, mend, numbers or {})
