"""The ledger machine passes a correct ledger and finds the seeded bug of each broken one."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from dpfedsyn.testing import LedgerMachine
from tests.dpfedsyn.broken_ledgers import BROKEN, JsonLedger, RowBeforeReply

SETTINGS = settings(
    max_examples=40,
    stateful_step_count=12,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    report_multiple_bugs=False,
    phases=[Phase.generate],  # shrinking is Hypothesis' own business
)


def machine_of(ledger):
    """The machine over an adapter that needs nothing."""
    return type("Machine", (LedgerMachine,), {"adapter": ledger})


class RoundsDownOnce(JsonLedger):
    """A float sum, cut after twelve digits."""

    def spent(self):
        return int(float(super().spent()) * 1e12) / 1e12


@pytest.mark.parametrize("ledger", [JsonLedger, RowBeforeReply])
def test_a_correct_ledger_passes(ledger):
    """Charged with its reply or just before it: both are sound."""
    run_state_machine_as_test(machine_of(ledger), settings=SETTINGS)


@pytest.mark.parametrize("ledger", list(BROKEN))
def test_a_broken_ledger_is_caught_by_name(ledger):
    """Each seeded bug fails, and the message says which promise was broken."""
    with pytest.raises(AssertionError, match=BROKEN[ledger]):
        run_state_machine_as_test(machine_of(ledger), settings=SETTINGS)


def test_a_tolerance_forgives_rounding_and_no_more():
    """A float sum that is cut after twelve digits passes at 1e-9 and fails at 0."""
    machine = machine_of(RoundsDownOnce)
    machine.tolerance = 1e-9
    run_state_machine_as_test(machine, settings=SETTINGS)
    machine.tolerance = 0.0
    with pytest.raises(AssertionError, match=r"was released|the ledger says"):
        run_state_machine_as_test(machine, settings=SETTINGS)
