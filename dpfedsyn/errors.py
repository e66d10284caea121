"""Every error that dpfedsyn raises on purpose; a bug raises `AssertionError`, with traceback.

    DPError                      accountants.errors; `exit_code` is what the command line returns
    ├─ AccountingError      (2)  UnsupportedEvent · CalibrationFailed
    ├─ BudgetExhausted      (3)  refused; nothing was released
    ├─ LedgerError          (4)  LedgerCorrupt · LedgerLocked · LedgerMismatch · NewerTables ·
    │                            ReplyPruned
    ├─ ConfigError          (2)  every fault of a configuration at once
    ├─ DataError            (2)  file, row and column that the public schema refuses
    │  └─ NoRecords         (2)  a sound file without a record that is kept
    ├─ MechanismError       (2)  a release that has no finite sensitivity
    ├─ ModelError           (2)  a brought model that cannot answer as declared
    ├─ AuditError           (2)  an audit that cannot be made as asked
    ├─ RunError             (2)  a run folder that cannot be used as asked
    ├─ StatementCorrupt     (4)  a signed folder that is not what was signed
    ├─ AttackError          (2)  an attack that could not be carried out: it says nothing
    └─ FederationError      (1)  SiloUnavailable · ProtocolMismatch

A message says the fact, the consequence and the mend. What a silo tells the server depends on
public settings and on its ledger only, never on records.
"""

from accountants.errors import (
    AccountingError,
    BudgetExhausted,
    CalibrationFailed,
    DPError,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerMismatch,
    NewerTables,
    ReplyPruned,
    UnsupportedEvent,
)

__all__ = [
    "AccountingError",
    "AttackError",
    "AuditError",
    "BudgetExhausted",
    "CalibrationFailed",
    "ConfigError",
    "DPError",
    "DataError",
    "FederationError",
    "LedgerCorrupt",
    "LedgerError",
    "LedgerLocked",
    "LedgerMismatch",
    "MechanismError",
    "ModelError",
    "NewerTables",
    "NoRecords",
    "ProtocolMismatch",
    "ReplyPruned",
    "RunError",
    "SiloUnavailable",
    "StatementCorrupt",
    "UnsupportedEvent",
]


class ConfigError(DPError):
    """A configuration that cannot be run: unknown key, value out of range, missing file."""

    exit_code = 2


class DataError(DPError):
    """Records that the public schema refuses."""

    exit_code = 2


class NoRecords(DataError):  # noqa: N818
    """A sound file of the schema in which there is no record."""


class MechanismError(DPError):
    """A release whose sensitivity would not be finite."""

    exit_code = 2


class ModelError(DPError):
    """A model that a silo brings: files, keys, shapes, schedule or claim that do not fit."""

    exit_code = 2


class AuditError(DPError):
    """An audit that cannot be made: no neighbours, no testable claim, no callable mechanism."""

    exit_code = 2


class RunError(DPError):
    """A run folder that does not fit what was asked of it."""

    exit_code = 2


class StatementCorrupt(DPError):  # noqa: N818
    """A statement, its signature or its rows that are not what was signed."""

    exit_code = 4


class AttackError(DPError):
    """An attack that was not carried out: its environment is absent, failed or took too long."""

    exit_code = 2


class FederationError(DPError):
    """Server and silos cannot work together."""

    exit_code = 1


class SiloUnavailable(FederationError):  # noqa: N818
    """A silo gave no answer."""


class ProtocolMismatch(FederationError):  # noqa: N818
    """A query that is not one this silo answers: wrong shape, run, level or noise."""
