"""What the server checks of a silo's words about itself, before anything of them is used.

A silo that is of another run, or says what no silo can say, is named, and none of the others is.
"""

from __future__ import annotations

import math

import numpy as np

from dpfedsyn import __version__, resolved
from dpfedsyn.envelope import Description, Healthy, Spent, Summed
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.marginals import MarginalQuery
from dpfedsyn.messages import Packed
from dpfedsyn.plan import Plan

ROUNDED_UP = 1.0 + 1e-9  # ledgers round their sums up


def require_same(plan: Plan, name: str, silo: Healthy | Description) -> None:
    """Refuse a silo that means another run: another name, version, configuration or schema."""
    agreed = resolved.agreed(plan.config, plan.encoder.digest)
    mine = {"silo": name, "run": plan.config.name, "version": __version__, "agreed": agreed}
    other = [key for key, value in mine.items() if getattr(silo, key) != value]
    if other:
        told = "; ".join(f"{key}: {getattr(silo, key)[:64]!r}, here {mine[key]!r}" for key in other)
        used = "Nothing was asked of it" if isinstance(silo, Healthy) else "Nothing of it was used"
        raise ProtocolMismatch(
            f"{name}: does not take part in this run as the server knows it ({told}). {used}. Give "
            "both sides the same configuration, schema and version."
        )


def require_described(plan: Plan, name: str, silo: Description, base: str) -> None:
    """Refuse a description that is of another run, or that cannot be.

    Args:
        base: digest of the transcript that has to have made the silo's base; empty: of none.
    """
    require_same(plan, name, silo)
    if (fault := _senseless(plan, silo) or _overspent(plan, name, silo.spent)) is not None:
        raise _nonsense(name, fault)
    if silo.base != base:
        raise ProtocolMismatch(
            f"{name}: its base was made of other sums than the silos gave in this run, so nothing "
            "was sampled. Begin anew with new homes; their budgets compose with these."
        )


def require_spent(plan: Plan, name: str, known: Description, spent: Spent) -> None:
    """Refuse sums that no ledger can hold, or that another ledger holds than the one known."""
    if (fault := _overspent(plan, name, spent)) is not None:
        raise _nonsense(name, fault)
    if spent.ledger_id != known.ledger_id:
        raise _another(name, ["ledger_id"])


def require_one_ledger(name: str, before: Description, after: Description, answers: int) -> None:
    """Refuse a silo that is not the one that was described before.

    Args:
        answers: how many its ledger held when it was last heard.

    Guarantee:
        The claims are those of the ledgers that paid for the answers: one whose id or releases have
        changed, or that has lost rows, is no more the ledger of this run.
    """
    kept = (
        "ledger_id", "counts", "counts_std", "marginals", "marginals_std", "released", "parameters",
        "base",
    )  # fmt: skip
    changed = [key for key in kept if getattr(before, key) != getattr(after, key)]
    if changed or after.answers < max(before.answers, answers):
        raise _another(name, changed or ["answers"])


def require_sums(name: str, number: int, sums: Summed, length: int) -> None:
    """Refuse an answer to question `number` (from 0) that is not `length` sums and their noise."""
    if not _finite(sums.values, length) or not 0.0 <= sums.std < math.inf:
        raise _nonsense(
            name, f"sums for question {number + 1} that are not {length} finite numbers"
        )


def _another(name: str, changed: list[str]) -> ProtocolMismatch:
    return ProtocolMismatch(
        f"{name}: came back as another silo during the run ({', '.join(changed)}), so nothing was "
        "stated. Bring back the silo that answered, with its home, or leave it out, and continue "
        "with --resume."
    )


def _nonsense(name: str, fault: str) -> ProtocolMismatch:
    return ProtocolMismatch(
        f"{name}: says that it has released or spent what no silo can ({fault}); nothing of it "
        "was used. Let it run the server's version."
    )


def _senseless(plan: Plan, silo: Description) -> str | None:
    counts, wanted = silo.counts, plan.config.weights.source == "counts"
    if wanted and counts is None:
        return "no counts"
    if counts is not None and not _finite(counts, plan.classes):
        return f"counts that are not {plan.classes} finite numbers"
    marginals, length = silo.marginals, MarginalQuery(plan.encoder.numbers).length
    if (marginals is None) == bool(plan.config.base.marginals_share):
        return "histograms, or none, against the plan"
    if marginals is not None and not _finite(marginals, length):
        return f"histograms that are not {length} finite numbers"
    numbers = [silo.counts_std, silo.marginals_std, float(silo.answers), float(silo.parameters)]
    return (
        None if all(0.0 <= n < math.inf for n in numbers) else "a number below zero or without end"
    )


def _overspent(plan: Plan, name: str, spent: Spent) -> str | None:
    """Say what in a ledger's sums cannot be: they have caps, and none is below zero."""
    budget = plan.budgets[name]
    caps = [(spent.answers_mu2, budget.answers_mu)]
    if budget.record_mu is not None:
        caps.append((math.nan if spent.record_mu2 is None else spent.record_mu2, budget.record_mu))
    elif spent.record_mu2 is not None:
        return "a sum at record level against the plan"
    if not all(0.0 <= mu2 <= cap**2 * ROUNDED_UP for mu2, cap in caps):
        return "answers of a mu that is no number, below zero or above its cap"
    return None if spent.answers >= 0 else "fewer answers than none"


def _finite(packed: Packed, length: int) -> bool:
    try:
        values = packed.array(("<f8",))
    except ProtocolMismatch:
        return False
    return values.shape == (length,) and bool(np.isfinite(values).all())
