"""How much privacy was spent: events, certified epsilon, attacks, filters and the ledger.

    from accountants import Composed, Gaussian, PoissonSampled, Repeated, epsilon

    training = Repeated(PoissonSampled(Gaussian(1.0), 0.01), 10_000)
    epsilon(training, delta=1e-5, adjacency="add-or-remove").upper    # 6.187712390

numpy, scipy.special and the standard library only.
"""

from typing import TYPE_CHECKING, Any

from accountants.accountant import delta, epsilon, odometer, overlap
from accountants.bound import Bound
from accountants.calibrate import calibrate
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
from accountants.event_json import from_json, to_json
from accountants.events import (
    Adjacency,
    ApproximateDP,
    Cascade,
    Composed,
    Event,
    Gaussian,
    GroupSampled,
    Laplace,
    PoissonSampled,
    Repeated,
    SampledWithoutReplacement,
    Shuffled,
    Unbounded,
    Unit,
)
from accountants.filter import GaussianFilter, total_mu2
from accountants.group import group
from accountants.parts import mu
from accountants.tradeoff import Tradeoff, tradeoff

if TYPE_CHECKING:
    from accountants.ledger import Charge, Header, Ledger, Planned, Ticket, Totals
    from accountants.verification import Verification, verify

__all__ = [
    "AccountingError",
    "Adjacency",
    "ApproximateDP",
    "Bound",
    "BudgetExhausted",
    "CalibrationFailed",
    "Cascade",
    "Charge",
    "Composed",
    "DPError",
    "Event",
    "Gaussian",
    "GaussianFilter",
    "GroupSampled",
    "Header",
    "Laplace",
    "Ledger",
    "LedgerCorrupt",
    "LedgerError",
    "LedgerLocked",
    "LedgerMismatch",
    "NewerTables",
    "Planned",
    "PoissonSampled",
    "Repeated",
    "ReplyPruned",
    "SampledWithoutReplacement",
    "Shuffled",
    "Ticket",
    "Totals",
    "Tradeoff",
    "Unbounded",
    "Unit",
    "UnsupportedEvent",
    "Verification",
    "calibrate",
    "delta",
    "epsilon",
    "from_json",
    "group",
    "mu",
    "odometer",
    "overlap",
    "to_json",
    "total_mu2",
    "tradeoff",
    "verify",
]

_LEDGER = ("Charge", "Header", "Ledger", "Planned", "Ticket", "Totals", "Verification", "verify")


def __getattr__(name: str) -> Any:
    """Load the ledger when it is asked for: who only counts must not reach it (PEP 562)."""
    if name in _LEDGER:
        from accountants import ledger

        return getattr(ledger, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
