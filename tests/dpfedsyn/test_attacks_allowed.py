"""What a claim allows an attacker: closed forms, and the worst silo."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from accountants import Adjacency, Gaussian, Unbounded
from dpfedsyn import config, plan
from dpfedsyn.attacks.allowed import LargestSuccess, allowed
from dpfedsyn.lattice import total_variation

CLAIM = LargestSuccess((Gaussian(1.0),), Adjacency.ADD_OR_REMOVE, 0.0, None)
RATES = (0.001, 0.01, 0.1, 0.5)


@pytest.mark.parametrize("fpr", RATES)
def test_the_bound_is_what_the_best_attack_reaches(fpr: float) -> None:
    """Guarantee of dpfedsyn.attacks.allowed.LargestSuccess.true_positive_rate: No attack on what
    leaves the silos finds a record with a larger probability, if the claim holds: the test of
    Neyman and Pearson of a Gaussian mechanism reaches the bound and does not pass it."""
    best = float(ndtr(ndtri(fpr) + 1.0))
    assert best <= CLAIM.true_positive_rate(fpr) <= best * (1 + 1e-9)


def test_the_best_attack_stays_below_in_a_simulation() -> None:
    """200,000 draws each: within five standard errors of the bound, and above that of sigma 2."""
    random = np.random.Generator(np.random.Philox(1))
    noise = random.standard_normal((2, 200_000))
    threshold = -float(ndtri(0.01))
    found = float(np.mean(noise[0] + 1.0 > threshold))
    bound = CLAIM.true_positive_rate(0.01)
    error = math.sqrt(bound / noise.shape[1])
    assert found <= bound + 5 * error
    assert found > replace(CLAIM, events=(Gaussian(2.0),)).true_positive_rate(0.01) + 5 * error


def test_the_worst_silo_and_the_drawn_noise_count() -> None:
    """Several claims: the largest rate. What drawn noise deviates is added on both rates."""
    both = replace(CLAIM, events=(Gaussian(1.0), Gaussian(0.5)))
    worst = replace(CLAIM, events=(Gaussian(0.5),))
    for fpr in RATES:
        assert both.true_positive_rate(fpr) == worst.true_positive_rate(fpr)
        deviating = replace(CLAIM, deviation=0.01).true_positive_rate(fpr)
        assert deviating == pytest.approx(CLAIM.true_positive_rate(fpr + 0.01) + 0.01)


def test_the_area_is_bounded_from_above_and_closely() -> None:
    """Of a Gaussian mechanism it is Phi(mu / sqrt 2)."""
    exact = float(ndtr(1.0 / math.sqrt(2.0)))
    assert exact <= CLAIM.auc <= exact + 0.03
    assert replace(CLAIM, events=(Gaussian(1e4),)).auc <= 0.54


def test_a_void_claim_allows_everything() -> None:
    """Nothing promised, nothing forbidden."""
    for void in (
        replace(CLAIM, void="it is a test"),
        replace(CLAIM, events=(Unbounded("not private"),)),
    ):
        assert void.true_positive_rate(0.001) == 1.0
        assert void.auc == pytest.approx(1.0)


def test_the_claim_of_a_run_is_read_from_its_plan() -> None:
    """Epsilon 8 of the hospitals; one event where all silos have one budget; void where it is."""
    planned = plan.make(config.load("hospitals", ["evaluate.enabled=false"]))
    names = tuple(planned.budgets)
    claim = allowed(planned, names)
    assert claim.void is None
    assert len(claim.events) == 1
    assert claim.deviation >= total_variation(planned.draws("va").total) > 0.0
    for fpr in RATES:
        assert fpr < claim.true_positive_rate(fpr) <= math.exp(8.0) * fpr + 1e-5
    assert allowed(planned, ("va",)).events == claim.events
    seeded = plan.make(config.load("hospitals", ["privacy.unsafe_noise_seed=1"]))
    assert allowed(seeded, names).true_positive_rate(0.01) == 1.0
