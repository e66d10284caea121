"""What an audit of the run found, from audit.json: for the terminal and the page."""

from typing import Any

from dpfedsyn.report.tables import Table, text
from dpfedsyn.report.wording import Json

VIOLATION = "VIOLATION"
STALE = (
    "Since then the ledgers have grown or changed: it says nothing about what came later. "
    "`dpfedsyn audit` looks again."
)


def section(audit: Json, statement: Json) -> dict[str, Any]:
    """Return the page's section: sentence, remarks, whether it alarms; empty without an audit.

    An audit speaks of the rounds and ledger heads that it saw; where the statement names others,
    the section says so.
    """
    if not audit:
        return {}
    stale = "" if _of_this(audit, statement) else f" {STALE}"
    return {
        "sentence": sentence(audit) + stale,
        "alarm": audit["verdict"] == VIOLATION or bool(stale),
        "remarks": remarks(audit),
    }


def sentence(audit: Json) -> str:
    """Say the verdict, what was looked at, and how often an audit of a sound run errs."""
    rounds = ", ".join(f"{name} {taken}" for name, taken in audit["rounds"].items()) or "none"
    told = {
        VIOLATION: "VIOLATION: this run does not keep what it claims.",
        "CONSISTENT": "CONSISTENT: no check found a violation. That is no proof of privacy.",
    }
    verdict = told.get(audit["verdict"], f"{audit['verdict']}: nothing could be checked.")
    return (
        f"{verdict} Rounds looked at: {rounds}. A sound run fails any statistical test with "
        f"probability at most {audit['alpha']:g}."
    )


def summary(audit: Json) -> Table:
    """How many silos each check found sound, and how many not."""
    rows: dict[str, dict[str, int]] = {}
    for finding in audit["findings"]:
        counts = rows.setdefault(finding["check"], {})
        counts[finding["verdict"]] = counts.get(finding["verdict"], 0) + 1
    verdicts = (VIOLATION, "CONSISTENT", "INCONCLUSIVE")
    cells = [(check, *(counts.get(v, 0) for v in verdicts)) for check, counts in rows.items()]
    return Table("Audit", ("check", *(v.lower() for v in verdicts)), text(cells))


def remarks(audit: Json) -> list[str]:
    """Say each violation, what could not be looked at, and who answers for brought models.

    Silos with the same share a line.
    """
    told: dict[tuple[str, ...], list[str]] = {}
    for f in sorted(audit["findings"], key=lambda f: f["verdict"] != VIOLATION):
        if f["verdict"] != "CONSISTENT":
            told.setdefault((f["verdict"], f["check"], _words(f)), []).append(f["silo"])
    found = [
        f"{verdict} {', '.join(silos) or 'whole run'}: {check}: {words}"
        for (verdict, check, words), silos in told.items()
    ]
    return [*found, *(f"{name}: {words}" for name, words in (audit.get("models") or {}).items())]


def details(audit: Json) -> Table:
    """Every finding in words; violations first, then what could not be looked at."""
    order = {VIOLATION: 0, "INCONCLUSIVE": 1}
    found = sorted(audit["findings"], key=lambda f: order.get(f["verdict"], 2))
    rows = [
        (
            f["check"],
            f["silo"] or "whole run",
            f["verdict"].lower(),
            _words(f),
        )
        for f in found
    ]
    return Table("Findings", ("check", "silo", "verdict", "what was found"), text(rows))


def _words(finding: Json) -> str:
    return " ".join(part for part in (finding[k] for k in ("fact", "consequence", "mend")) if part)


def _of_this(audit: Json, statement: Json) -> bool:
    heads = {silo["name"]: silo.get("ledger_head") for silo in statement["silos"]}
    return all(heads.get(name) == head for name, head in audit["heads"].items())
