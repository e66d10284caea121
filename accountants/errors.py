"""The exception tree of the toolkit's accounting half.

    DPError                       exit code 1
    ├─ AccountingError            2   also a ValueError: an event or number that makes no sense
    │  ├─ UnsupportedEvent        2   no valid bound is known for this event under this adjacency
    │  └─ CalibrationFailed       2   no value in the bracket meets the budget
    ├─ BudgetExhausted            3   refused; nothing was charged and nothing released
    └─ LedgerError                4   the ledger cannot be used as it stands
       ├─ LedgerCorrupt           4   the rows do not match their chain
       ├─ LedgerLocked            4   another process holds the ledger
       ├─ LedgerMismatch          4   the request contradicts the header or an earlier row
       ├─ NewerTables             4   a later version of the program wrote the file
       └─ ReplyPruned             4   charged before, but its reply is no longer kept

Each message says the fact, the consequence and the mend. `exit_code` is what a command-line
program returns when the error reaches its surface.
"""


class DPError(Exception):
    """Root of every error that the toolkit raises on purpose."""

    exit_code: int = 1


class AccountingError(DPError, ValueError):
    """An accounting question that has no meaning as asked."""

    exit_code = 2


class UnsupportedEvent(AccountingError):  # noqa: N818 (the house names errors by what happened)
    """No valid bound is known for this event under this adjacency."""


class CalibrationFailed(AccountingError):  # noqa: N818
    """No value inside the bracket meets the budget."""


class BudgetExhausted(DPError):  # noqa: N818
    """The filter refused: the charge would pass its cap."""

    exit_code = 3


class LedgerError(DPError):
    """The ledger cannot be used as it stands."""

    exit_code = 4


class LedgerCorrupt(LedgerError):  # noqa: N818
    """The ledger's rows do not match their chain, caps or header."""


class LedgerLocked(LedgerError):  # noqa: N818
    """Another process holds the ledger."""


class LedgerMismatch(LedgerError):  # noqa: N818
    """The request contradicts the ledger's header or an earlier row."""


class NewerTables(LedgerError):  # noqa: N818
    """A later version of the program wrote the file."""


class ReplyPruned(LedgerError):  # noqa: N818
    """The query was charged before, but its reply is no longer kept."""
