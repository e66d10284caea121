"""Every test here must fail: each is of a function with a bug."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from noisy_stats import (
    ForgetfulBudget,
    clipped,
    clt_epsilon,
    global_noise_sum,
    half_noise_sum,
    noisy_mean,
    noisy_sum,
)

from dpfedsyn.testing import (
    LedgerMachine,
    accountant_contract,
    assert_private,
    assert_sensitivity,
    of_history,
)
from dpfedsyn.testing import strategies as dps

FEW = settings(
    max_examples=30, deadline=None, derandomize=True, database=None, report_multiple_bugs=False
)
PAIR = (np.zeros((2, 4)), np.vstack([np.zeros((2, 4)), 5.0 * np.ones((1, 4))]))


def test_half_noise():
    """A counterexample, printed as a program."""
    assert_private(half_noise_sum, PAIR, mu=0.5)


@given(dps.neighbours(dps.records((1,)), max_size=1))
@FEW
def test_half_noise_shrinks(pair):
    """The pair is drawn and shrunk."""
    assert_private(half_noise_sum, pair, mu=0.25, max_calls=600, inconclusive="ignore")


@given(dps.neighbours(dps.records((2,))))
@FEW
def test_global_noise(pair):
    """Noise that Hypothesis makes constant is named, not audited."""
    assert_private(global_noise_sum, pair, mu=0.5)


def test_too_few_calls():
    """An audit that could not have failed is a warning, here an error."""
    assert_private(noisy_sum, PAIR, mu=0.5, max_calls=100)


@pytest.mark.dp_audit(mu=0.5)
def test_nothing_audited():
    """A marker alone tests nothing."""


def test_mean_by_private_count(dp_replay):
    """The count is seen without noise."""
    dp_replay(noisy_mean, PAIR)


def test_sensitivity():
    """A sum of rows clipped to 2 moves by more than 1."""
    assert_sensitivity(lambda data: clipped(data, 2.0).sum(axis=0), PAIR, 1.0)


def test_accountant():
    """A limit is no bound: its epsilon lies below the certified one."""
    accountant_contract(of_history(clt_epsilon))


class ForgetfulMachine(LedgerMachine):
    """The budget that forgets."""

    adapter = ForgetfulBudget


ForgetfulMachine.TestCase.settings = settings(FEW, phases=[Phase.generate], stateful_step_count=10)
TestForgetful = ForgetfulMachine.TestCase
