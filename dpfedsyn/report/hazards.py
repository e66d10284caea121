"""The hazards that a statement answers one by one, and how many stand how."""

from collections import Counter

from dpfedsyn.report.tables import Table, text
from dpfedsyn.report.wording import Json


def of(statement: Json) -> Table:
    """One line per hazard; empty where the statement answers none."""
    rows = [
        (f"{hazard['number']}. {hazard['name']}", hazard["status"], hazard["answer"])
        for hazard in statement.get("hazards") or ()
    ]
    note = "Hazards of NIST SP 800-226; numbers and names are this project's own."
    return Table("Hazards and answers", ("hazard", "status", "answer"), text(rows), note)


def summary(statement: Json) -> str:
    """How many hazards stand how; empty where none is answered."""
    counts = Counter(str(hazard["status"]) for hazard in statement.get("hazards") or ())
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{sum(counts.values())} hazards of NIST SP 800-226: {told}." if told else ""
