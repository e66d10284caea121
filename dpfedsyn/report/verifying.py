"""How whoever reads the page checks what it says, with commands and digests of this very run."""

from dpfedsyn.report import wording
from dpfedsyn.report.finished import FinishedRun
from dpfedsyn.report.tables import Table, text


def commands() -> tuple[tuple[str, str], ...]:
    """Commands and what each tells; RUN is the run's folder."""
    return (
        (
            "dpfedsyn statement verify RUN",
            "compares statement and rows with what was signed, where somebody signed",
        ),
        (
            "dpfedsyn ledger verify RUN/silos/*/ledger.sqlite",
            "adds up every charge of every silo anew and compares it with the caps",
        ),
        (
            "dpfedsyn audit RUN",
            "compares statement, settings, noise and answers with the ledgers",
        ),
        (
            "dpfedsyn audit RUN --retrain",
            "does so after training again, which needs the records",
        ),
        (
            "dpfedsyn audit attack RUN",
            "attacks the synthetic rows and compares with what the claim allows",
        ),
        (
            "dpfedsyn report RUN",
            "writes this page again: it is made of the run's files and of nothing else",
        ),
    )


def digests(run: FinishedRun) -> Table:
    """SHA-256 of the synthetic rows that lie in the run: compare with those that you were given."""
    rows = list(run.digests.items())
    note = "sha256sum FILE prints the same for the same file."
    return Table("Synthetic files", ("file", "SHA-256"), text(rows), note)


def heads(run: FinishedRun) -> Table:
    """The last link of every silo's ledger, as the statement names it."""
    rows = [
        (silo["name"], silo["ledger_head"])
        for silo in run.statement["silos"]
        if silo.get("ledger_head")
    ]
    note = (
        "Somebody else should keep them: a ledger that is put back to an earlier state no longer "
        "ends in its head."
    )
    return Table("Heads of the ledgers", ("silo", "head"), text(rows), note)


def implementation(run: FinishedRun) -> list[tuple[str, str]]:
    """What computes the claim and draws the noise, as the statement names it."""
    found = run.statement.get("implementation") or {}
    return [(name.replace("_", " "), wording.plain(value)) for name, value in found.items()]
