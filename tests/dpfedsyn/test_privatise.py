"""The answer mechanism: what one query may reveal, over generated and over worst-case models."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincc

from dpfedsyn.errors import MechanismError
from dpfedsyn.privatise import AnswerMechanism

Array = NDArray[np.float64]

KEYS = [bytes([k]) * 32 for k in range(1, 5)]
AFTER_NOISE = 1e-6  # relative: answers are rounded to float32 once the noise is in them
NASTY = [math.nan, math.inf, -math.inf, 1e308, -1e308, 1e30, 5e-324, -0.0, 3.0]


def is_noise(values: Array, std: float, false_alarm: float = 1e-9) -> bool:
    """Two-sided chi-square test of N(0, std^2), and a test of the mean, at this level each."""
    scaled = np.asarray(values, dtype=np.float64).ravel() / std
    half, square = scaled.size / 2.0, float(np.sum(scaled**2)) / 2.0
    tail = 2.0 * min(gammainc(half, square), gammaincc(half, square))
    mean = math.erfc(abs(float(scaled.sum())) / math.sqrt(2.0 * scaled.size))
    return bool(tail > false_alarm and mean > false_alarm)


def reals() -> st.SearchStrategy[float]:
    return st.one_of(st.sampled_from(NASTY), st.floats(), st.floats(-5, 5))


@st.composite
def model_pairs(draw: st.DrawFn) -> tuple[Array, Array, Array, Array]:
    """Predictions (M, N, d) and energies (M, N) of any two ensembles of models."""
    parts, rows, dimension = (draw(st.integers(1, 4)) for _ in range(3))
    shape = (parts, rows, dimension)
    noise = [draw(arrays(np.float64, shape, elements=reals())) for _ in range(2)]
    energies = [draw(arrays(np.float64, shape[:2], elements=reals())) for _ in range(2)]
    return noise[0], energies[0], noise[1], energies[1]


def distances(
    mechanism: AnswerMechanism, first: tuple[Array, Array], second: tuple[Array, Array]
) -> tuple[float, float]:
    """L2 distances of released scores and energies: under one key all noise cancels."""
    moved = []
    for noise, energies in (first, second):
        released = mechanism.release(noise, energies, score_std=1e-9, energy_std=1e-9, key=KEYS[0])
        assert released[1] is not None
        moved.append([part.astype(np.float64) for part in released if part is not None])
    (scores, energies), (others, other_energies) = moved
    return float(np.linalg.norm(scores - others)), float(np.linalg.norm(energies - other_energies))


@given(model_pairs(), st.sampled_from([0.25, 6.0]), st.sampled_from([0.5, 18.0]))
def test_no_two_models_lie_farther_apart_than_the_declared_sensitivity(
    pair: tuple[Array, Array, Array, Array], clip: float, bound: float
) -> None:
    """Guarantee of dpfedsyn.privatise.AnswerMechanism.release: The L2 sensitivity of what the
    noise is added to is at most 2 C sqrt(N) (scores) and B sqrt(N) (energies) between any two
    models, whatever they predict; jointly, mu^2 is at most what is charged."""
    mechanism = AnswerMechanism(clip, bound, len(pair[0]))
    scores, energies = distances(mechanism, (pair[0], pair[1]), (pair[2], pair[3]))
    rows, slack = pair[0].shape[1], 1.0 + AFTER_NOISE
    assert scores <= 2.0 * clip * math.sqrt(rows) * slack
    assert energies <= bound * math.sqrt(rows) * slack
    joint = (scores / 0.3) ** 2 + (energies / 0.7) ** 2
    assert joint <= mechanism.silo_mu2(rows, 0.3, 0.7) * slack**2


@given(model_pairs(), st.data())
def test_one_part_of_an_ensemble_moves_the_answer_by_its_share_only(
    pair: tuple[Array, Array, Array, Array], data: st.DataObject
) -> None:
    """Guarantee of dpfedsyn.privatise.AnswerMechanism.release: ... and 1/M of that for one record
    of an ensemble, which sits in one part; two parts where a record can change its part."""
    parts, rows, _ = pair[0].shape
    mechanism = AnswerMechanism(1.5, 4.0, parts)
    moved = data.draw(st.integers(1, min(2, parts)))
    noise, energies = pair[0].copy(), pair[1].copy()
    noise[:moved], energies[:moved] = pair[2][:moved], pair[3][:moved]
    scores, others = distances(mechanism, (pair[0], pair[1]), (noise, energies))
    cost = mechanism.record_mu2(rows, 0.3, 0.7, moved_parts=moved)
    assert (scores / 0.3) ** 2 + (others / 0.7) ** 2 <= cost * (1.0 + AFTER_NOISE) ** 2


@pytest.mark.parametrize(("parts", "rows"), list(itertools.product([1, 3], [1, 50])))
def test_a_constructed_pair_of_models_attains_the_sensitivity(parts: int, rows: int) -> None:
    """Guarantee of dpfedsyn.privatise.AnswerMechanism.silo_mu2: The N rows of a query cost what
    opposite directions and the two ends of the energies' range attain, to 99 %: no slack."""
    mechanism = AnswerMechanism(6.0, 18.0, parts)
    noise, energies = np.zeros((parts, rows, 4)), np.zeros((parts, rows))
    noise[..., 1] = 1e6
    apart = distances(mechanism, (noise, energies), (-noise, energies + 1e6))
    joint = (apart[0] / 0.3) ** 2 + (apart[1] / 0.7) ** 2
    assert math.sqrt(joint) >= 0.99 * math.sqrt(mechanism.silo_mu2(rows, 0.3, 0.7))
    one, moved = noise.copy(), energies.copy()
    one[0], moved[0] = -noise[0], 1e6
    apart = distances(mechanism, (noise, energies), (one, moved))
    joint = (apart[0] / 0.3) ** 2 + (apart[1] / 0.7) ** 2
    assert math.sqrt(joint) >= 0.99 * math.sqrt(mechanism.record_mu2(rows, 0.3, 0.7))


def test_the_cost_is_the_closed_form_of_the_joint_mechanism() -> None:
    """mu^2 = (2 C sqrt(N) / sigma_e)^2 + (B sqrt(N) / sigma_f)^2, (k / M)^2 per record."""
    mechanism = AnswerMechanism(6.0, 18.0, 5)
    exact = Fraction(7) * (Fraction(12) ** 2 / 9 + Fraction(18) ** 2 / 16)
    assert mechanism.silo_mu2(7, 3.0, 4.0) == pytest.approx(float(exact), rel=1e-14)
    assert mechanism.silo_mu2(7, 3.0, None) == pytest.approx(7 * 16.0, rel=1e-14)
    for moved in (1, 2):
        record = mechanism.record_mu2(7, 3.0, 4.0, moved_parts=moved)
        assert record == pytest.approx(float(exact) * moved**2 / 25, rel=1e-14)


@pytest.mark.parametrize("parts", [1, 4])
def test_noise_has_the_std_that_was_asked_for(parts: int) -> None:
    """Scores and energies carry N(0, sigma^2) per coordinate *of the mean over parts*.

    60,000 and 30,000 draws; false alarm 4e-9 per case, and 0.97 or 1.03 times sigma is rejected.
    """
    mechanism = AnswerMechanism(6.0, 18.0, parts)
    noise, energies = np.zeros((parts, 30_000, 2)), np.full((parts, 30_000), 9.0)
    scores, released = mechanism.release(
        noise, energies, score_std=0.4, energy_std=2.5, key=KEYS[0]
    )
    assert released is not None
    for values, std in ((scores, 0.4), (released - 9.0, 2.5)):
        assert is_noise(values, std)
        assert not is_noise(values, 0.97 * std)
        assert not is_noise(values, 1.03 * std)


def test_noise_is_independent_across_rows_coordinates_outputs_and_keys() -> None:
    """Every pair among 3 coordinates, the energies, shifted rows, the draws in the order in which
    they were made and another key is uncorrelated.

    20,000 rows, 66 pairs, |r| < 6 / sqrt(n): false alarm below 2e-7; equal noise has r = 1.
    """
    mechanism, rows = AnswerMechanism(6.0, 18.0), 20_000
    streams = []
    for key in KEYS[:2]:
        scores, energies = mechanism.release(
            np.zeros((1, rows, 3)), np.full((1, rows), 9.0), score_std=1, energy_std=1, key=key
        )
        assert energies is not None
        columns = [*scores.T.astype(np.float64), energies.astype(np.float64) - 9.0]
        streams += [*columns, np.roll(columns[0], 1), scores.ravel()[:rows].astype(np.float64)]
    correlations = np.abs(np.corrcoef(streams) - np.eye(len(streams)))
    assert correlations.shape == (12, 12)
    assert correlations.max() < 6.0 / math.sqrt(rows)
    assert np.corrcoef(streams[0], streams[0])[0, 1] > 6.0 / math.sqrt(rows)


def noiseless(mechanism: AnswerMechanism, noise: Array, energies: Array) -> tuple[Array, Array]:
    scores, released = mechanism.release(
        noise, energies, score_std=1e-12, energy_std=1e-12, key=KEYS[0]
    )
    assert released is not None
    return scores.astype(np.float64), released.astype(np.float64)


def test_parts_are_clipped_before_they_are_summed() -> None:
    """One loud part of two counts as C / 2 in the mean; clipped afterwards it would count as C."""
    noise = np.array([[[1000.0, 0.0]], [[0.0, 0.0]]])
    scores, energies = noiseless(AnswerMechanism(6.0, 18.0, 2), noise, np.array([[1e9], [0.0]]))
    assert scores == pytest.approx(np.array([[3.0, 0.0]]), abs=1e-5)
    assert energies == pytest.approx(np.array([9.0]), abs=1e-5)


def test_energies_are_clipped_and_what_is_not_finite_becomes_the_centre() -> None:
    """[0, B] holds for huge and negative energies; NaN and infinities answer B / 2."""
    energies = np.array([[-5.0, 1e300, math.nan, math.inf, -math.inf, 7.0]])
    _, released = noiseless(AnswerMechanism(6.0, 18.0), np.zeros((1, 6, 1)), energies)
    assert released == pytest.approx(np.array([0.0, 18.0, 9.0, 9.0, 9.0, 7.0]), abs=1e-4)


@given(reals().filter(lambda value: not math.isfinite(value)), st.integers(0, 2))
def test_a_row_with_one_number_that_is_not_finite_is_a_row_of_zeros(
    value: float, place: int
) -> None:
    """Not the clipped rest of the row, and no neighbouring row: zeros, and no exception."""
    noise = np.ones((1, 3, 3))
    noise[0, 1, place] = value
    scores, _ = noiseless(AnswerMechanism(6.0, 18.0), noise, np.zeros((1, 3)))
    assert scores == pytest.approx(np.array([[1.0] * 3, [0.0] * 3, [1.0] * 3]), abs=1e-5)


def test_no_energies_are_released_where_none_are_asked_for() -> None:
    """Without energy noise there is nothing that could be released."""
    released = AnswerMechanism(6.0, 18.0).release(
        np.zeros((1, 2, 2)), np.zeros((1, 2)), score_std=1.0, energy_std=None, key=KEYS[0]
    )
    assert released[1] is None


@pytest.mark.parametrize("name", ["clip", "energy_bound"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_bound_that_is_not_finite_and_positive_is_refused(name: str, value: float) -> None:
    """Such a sensitivity could not be covered by any noise; the message names the setting."""
    with pytest.raises(MechanismError, match=f"answers.{name} = "):
        AnswerMechanism(**{"clip": 1.0, "energy_bound": 1.0, name: value})
