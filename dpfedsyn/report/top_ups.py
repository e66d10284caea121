"""The rows that were asked for after a run, as a table, from its statement alone."""

from __future__ import annotations

from dpfedsyn.report import wording
from dpfedsyn.report.tables import Table, text
from dpfedsyn.report.wording import Json


def of(statement: Json) -> Table:
    """One line per top-up: how many rows, how they were made, and what they cost."""
    rows = [
        (
            one["number"],
            one["rows"],
            one["preset"],
            f"x {one['noise']:g}",
            f"{one['rounds']['taken']} of {one['rounds']['planned']}",
            f"{one['mu']:.6g}",
            one["status"] + (f": {wording.plain(one['reason'])}" if one["reason"] else ""),
        )
        for one in statement.get("top_ups") or ()
    ]
    head = ("top-up", "rows", "preset", "noise of the run", "rounds", "mu", "how it ended")
    note = "Asked for after the run, within the same caps: the claim is the run's, as it was."
    return Table("Rows that were asked for after the run", head, text(rows), note)
