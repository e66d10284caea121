"""Calibration returns a value that was accounted for and meets its budget."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountants import (
    CalibrationFailed,
    Gaussian,
    PoissonSampled,
    Repeated,
    calibrate,
    epsilon,
    gaussian,
)


def dp_sgd(sigma, rate=0.05, steps=200):
    """A run of DP-SGD."""
    return Repeated(PoissonSampled(Gaussian(sigma), rate), steps)


@given(st.floats(0.3, 20.0), st.floats(-8, -3), st.floats(0.01, 0.9))
@settings(max_examples=12)
def test_calibrated_noise_meets_the_budget_and_hardly_less_would(budget, log_delta, rate):
    """Account for the result: within the budget; a thousandth less noise is not."""
    delta = 10.0**log_delta

    def upper(sigma):
        return epsilon(dp_sgd(sigma, rate), delta=delta, adjacency="zero-out").upper

    sigma = calibrate(
        lambda s: dp_sgd(s, rate),
        epsilon=budget, delta=delta, adjacency="zero-out", bracket=(0.05, 1000.0),
    )  # fmt: skip
    assert upper(sigma) <= budget
    assert upper(sigma * 0.99) > budget


def test_gaussian_calibration_is_exact():
    """For plain Gaussians the answer is the analytic one (Balle & Wang 2018)."""
    sigma = calibrate(Gaussian, epsilon=1.0, delta=1e-5, adjacency="replace", bracket=(0.1, 100.0))
    assert sigma == pytest.approx(1 / gaussian.mu(1.0, 1e-5), rel=2e-6)
    assert sigma == pytest.approx(3.730632, rel=1e-5)  # published for the analytic Gaussian


def test_published_calibration():
    """Exact: 3.8128168307 for epsilon 1 at rate .01, 10,000 steps (Renyi accounting: 4.1258)."""
    sigma = calibrate(
        lambda s: dp_sgd(s, 0.01, 10_000),
        epsilon=1.0, delta=1e-5, adjacency="add-or-remove", bracket=(0.5, 50.0),
    )  # fmt: skip
    assert 3.8128168306 <= sigma <= 3.8128168307 * (1 + 1e-8)
    assert sigma > 3.8128168307  # the exact accountant's, which no bound may undercut


def test_an_easy_budget_returns_the_bracket_s_lower_end():
    """Nothing smaller than the bracket is invented."""
    assert calibrate(Gaussian, epsilon=1e6, delta=1e-5, adjacency="replace", bracket=(2, 3)) == 2


def test_an_impossible_budget_says_what_the_bracket_reaches():
    """The message carries the number reached and the budget."""
    with pytest.raises(CalibrationFailed, match=r"Even 3\.0 gives epsilon = 1\.2.*budget of 0\.1"):
        calibrate(Gaussian, epsilon=0.1, delta=1e-5, adjacency="replace", bracket=(1.0, 3.0))


@pytest.mark.parametrize("bracket", [(0.0, 1.0), (2.0, 1.0), (1.0, float("inf"))])
def test_a_bracket_must_be_one(bracket):
    """Empty, zero and infinite brackets are refused."""
    with pytest.raises(CalibrationFailed, match="bracket"):
        calibrate(Gaussian, epsilon=1.0, delta=1e-5, adjacency="replace", bracket=bracket)
