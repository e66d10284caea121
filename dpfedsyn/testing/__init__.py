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
    from dpfedsyn.testing.contracts import (
        CLAUSES,
        Accountant,
        Clause,
        accountant_contract,
        of_history,
    )
    from dpfedsyn.testing.inconclusive import InconclusiveAudit
    from dpfedsyn.testing.ledgers import LedgerAdapter, LedgerMachine
    from dpfedsyn.testing.replaying import Finding, Release, Replay, replay
    from dpfedsyn.testing.sensitivity import assert_sensitivity, measured_distance

_HOMES = {
    "Accountant": "contracts",
    "CLAUSES": "contracts",
    "Clause": "contracts",
    "Finding": "replaying",
    "InconclusiveAudit": "inconclusive",
    "LedgerAdapter": "ledgers",
    "LedgerMachine": "ledgers",
    "Release": "replaying",
    "Replay": "replaying",
    "accountant_contract": "contracts",
    "assert_sensitivity": "sensitivity",
    "measured_distance": "sensitivity",
    "of_history": "contracts",
    "replay": "replaying",
}

__all__ = [
    "CLAUSES",
    "Accountant",
    "Clause",
    "Finding",
    "InconclusiveAudit",
    "LedgerAdapter",
    "LedgerMachine",
    "Release",
    "Replay",
    "accountant_contract",
    "assert_sensitivity",
    "measured_distance",
    "of_history",
    "replay",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in _HOMES:
        return getattr(import_module(f"dpfedsyn.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
