"""Tests for private programs: yours as well as ours. Extra `dpfedsyn[testing]`.

    from dpfedsyn.testing import assert_private, strategies as dps

    @given(dps.neighbours(dps.records(shape=(8,))))
    def test_my_sum_is_private(pair):
        assert_private(my_sum, pair, mu=0.5)

`FIVE_MINUTES.md`, beside this file, tests a mechanism from nothing. Names are loaded when they are
asked for (PEP 562): the pytest plugin lives in this package and is imported by every pytest of the
environment.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpfedsyn.audit import GDP, audit
    from dpfedsyn.testing import strategies
    from dpfedsyn.testing.contracts import (
        CLAUSES,
        Accountant,
        Clause,
        accountant_contract,
        of_history,
    )
    from dpfedsyn.testing.inconclusive import InconclusiveAudit
    from dpfedsyn.testing.ledgers import LedgerAdapter, LedgerMachine
    from dpfedsyn.testing.private import assert_private
    from dpfedsyn.testing.replaying import Finding, Release, Replay, replay
    from dpfedsyn.testing.sensitivity import assert_sensitivity, measured_distance

_HOMES = {
    "GDP": "dpfedsyn.audit",
    "Accountant": "dpfedsyn.testing.contracts",
    "CLAUSES": "dpfedsyn.testing.contracts",
    "Clause": "dpfedsyn.testing.contracts",
    "Finding": "dpfedsyn.testing.replaying",
    "InconclusiveAudit": "dpfedsyn.testing.inconclusive",
    "LedgerAdapter": "dpfedsyn.testing.ledgers",
    "LedgerMachine": "dpfedsyn.testing.ledgers",
    "Release": "dpfedsyn.testing.replaying",
    "Replay": "dpfedsyn.testing.replaying",
    "accountant_contract": "dpfedsyn.testing.contracts",
    "assert_private": "dpfedsyn.testing.private",
    "assert_sensitivity": "dpfedsyn.testing.sensitivity",
    "audit": "dpfedsyn.audit",
    "measured_distance": "dpfedsyn.testing.sensitivity",
    "of_history": "dpfedsyn.testing.contracts",
    "replay": "dpfedsyn.testing.replaying",
}

__all__ = [
    "CLAUSES",
    "GDP",
    "Accountant",
    "Clause",
    "Finding",
    "InconclusiveAudit",
    "LedgerAdapter",
    "LedgerMachine",
    "Release",
    "Replay",
    "accountant_contract",
    "assert_private",
    "assert_sensitivity",
    "audit",
    "measured_distance",
    "of_history",
    "replay",
    "strategies",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "strategies":
        return import_module("dpfedsyn.testing.strategies")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
