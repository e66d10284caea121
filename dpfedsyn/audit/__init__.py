"""Is a claim of privacy contradicted? Statistical tests that hold at any time, and what they need.

    from dpfedsyn.audit import GDP, audit

    found = audit(mechanism, (D0, D1), claim=GDP(0.5), alpha=1e-6, max_calls=20_000)
    found.verdict           # VIOLATION, CONSISTENT or INCONCLUSIVE, never "private"
    found.epsilon_lower(1e-5)

The statistical modules need numpy and scipy only.
"""

from dpfedsyn.audit.auditing import Audit, Verdict, audit, audit_scores
from dpfedsyn.audit.claims import GDP, Claim
from dpfedsyn.audit.witness import Retrial, Witness

__all__ = [
    "GDP",
    "Audit",
    "Claim",
    "Retrial",
    "Verdict",
    "Witness",
    "audit",
    "audit_scores",
]
