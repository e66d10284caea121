"""What a verified ledger says, as a table: charges, caps and what the caps guarantee."""

import math
from pathlib import Path

from accountants import gaussian
from accountants.rows import Header
from accountants.verification import Verification
from dpfedsyn.report import wording
from dpfedsyn.report.tables import Table


def of(path: Path, verified: Verification, behind: str = "") -> Table:
    """Describe one ledger.

    Args:
        path: the file.
        verified: what `accountants.ledger.verify` returned for it.
        behind: who answers for the silo's model, where it was brought.
    """
    header, totals = verified.header, verified.totals
    rows = [
        ("run", header.run),
        ("ledger", header.ledger_id),
        ("rows", str(totals.rows)),
        ("head", verified.head),
        *_planned(verified),
        (
            "B: answers, mu^2",
            f"{totals.answers_mu2:.6g} spent of a cap of {header.answers_cap:.6g}",
        ),
        ("B: answers alone, at the cap", at_cap(header, header.answers_cap)),
    ]
    if header.record_cap is not None:
        spent = totals.record_mu2 or 0.0
        rows += [
            (
                f"B: {header.unit} level, mu^2",
                f"{spent:.6g} spent of a cap of {header.record_cap:.6g}",
            ),
            (f"B: {header.unit} level, at the cap", at_cap(header, header.record_cap)),
        ]
    if behind:
        rows.append(("model", behind.strip(" ()")))
    note = "What is spent is not a guarantee; the guarantee is the one at the cap."
    cells = tuple((name, wording.plain(value)) for name, value in rows)
    title = wording.plain(f"Ledger of silo {header.silo} ({path})")
    return Table(title, ("entry", "value"), cells, note)


def at_cap(header: Header, cap: float) -> str:
    """Give the epsilon of the answers alone if the whole cap on mu^2 is used."""
    terms = wording.Terms(header.delta, header.unit, str(header.adjacency))
    if cap <= 0:
        return "no answers are allowed"
    epsilon = gaussian.epsilon(math.sqrt(cap), header.delta)
    return wording.claim({"upper": epsilon, "lower": None}, terms)


def line(path: Path, verified: Verification) -> str:
    """Say in one line that a ledger holds, and what it sums up to."""
    header, totals = verified.header, verified.totals
    return (
        f"{path}: holds. Silo {header.silo}, {totals.rows} rows, answers mu^2 "
        f"{totals.answers_mu2:.6g} of {header.answers_cap:.6g}, head {verified.head}"
    )


def _planned(verified: Verification) -> list[tuple[str, str]]:
    """Uses of each planned mechanism, counted from the rows, beside what was planned."""
    planned: dict[tuple[str, str], int] = {}
    for entry in verified.header.planned:
        key = (entry.group, entry.kind)
        planned[key] = planned.get(key, 0) + entry.uses
    used = verified.totals.uses
    return [(f"{g}: {k}", f"{used.get(k, 0)} of {n} uses") for (g, k), n in planned.items()]
