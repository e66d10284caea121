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

from dpfedsyn import privatise
from dpfedsyn.errors import MechanismError
from dpfedsyn.noise import Keystream
from dpfedsyn.privatise import AnswerMechanism

Array = NDArray[np.float64]

KEYS = [bytes([k]) * 32 for k in range(1, 5)]
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


def released(
    mechanism: AnswerMechanism,
    noise: Array,
    energies: Array,
    *,
    score_std: float,
    energy_std: float | None,
    key: bytes = KEYS[0],
) -> tuple[Array, Array]:
    """Means over the parts as the server reads them; zeros where no energies were asked for."""
    lattice = mechanism.lattice(score_std, energy_std)
    scores, points = mechanism.release(noise, energies, lattice=lattice, key=key)
    assert scores.dtype == np.int64
    means = scores * (lattice.scores.spacing / mechanism.parts)
    if points is None or lattice.energies is None:
        return means, np.zeros(len(means))
    assert points.dtype == np.int64
    spacing = lattice.energies.spacing / mechanism.parts
    return means, points * spacing + 0.5 * mechanism.energy_bound


Moved = tuple[Fraction, Fraction]


def distances(
    mechanism: AnswerMechanism,
    first: tuple[Array, Array],
    second: tuple[Array, Array],
    stds: tuple[float, float],
) -> Moved:
    """Squared L2 distances of released sums, in noise stds of what is really drawn.

    Under one key all noise cancels, and what is left is whole: rational numbers, no rounding.
    """
    lattice = mechanism.lattice(*stds)
    sums = [mechanism.release(*one, lattice=lattice, key=KEYS[0]) for one in (first, second)]
    moved = []
    for one, other, on in zip(*sums, (lattice.scores, lattice.energies), strict=True):
        assert one is not None
        assert other is not None
        assert on is not None
        apart = sum((int(k) ** 2 for k in (one - other).ravel()), 0)
        moved.append(Fraction(apart, (1024 * on.cells) ** 2))
    return moved[0], moved[1]


def cost(bound: float, std: float, rows: int, share: Fraction = Fraction(1)) -> Fraction:
    """(bound sqrt(N) / std)^2 times the square of a share, exactly."""
    return (share * Fraction(bound) / Fraction(std)) ** 2 * rows


@given(
    model_pairs(),
    st.sampled_from([0.25, 6.0]),
    st.sampled_from([0.5, 18.0]),
    st.sampled_from([(0.3, 0.7), (1e-6, 1e-5), (40.0, 1e3)]),
)
def test_no_two_models_lie_farther_apart_than_the_declared_sensitivity(
    pair: tuple[Array, Array, Array, Array], clip: float, bound: float, stds: tuple[float, float]
) -> None:
    """Guarantee of dpfedsyn.privatise.AnswerMechanism.release: The L2 sensitivity of what the
    noise is added to is at most 2 C sqrt(N) (scores) and B sqrt(N) (energies) between any two
    models, whatever they predict: exact, without an ulp of slack, in rational numbers; jointly,
    mu^2 is at most what is charged."""
    mechanism = AnswerMechanism(clip, bound, len(pair[0]))
    scores, energies = distances(mechanism, (pair[0], pair[1]), (pair[2], pair[3]), stds)
    rows = pair[0].shape[1]
    assert scores <= cost(2.0 * clip, stds[0], rows)
    assert energies <= cost(bound, stds[1], rows)
    charged = mechanism.silo_mu2(rows, *stds)
    assert scores + energies <= Fraction(charged) * (1 + Fraction(1, 2**50))


@given(model_pairs(), st.data())
def test_one_part_of_an_ensemble_moves_the_answer_by_its_share_only(
    pair: tuple[Array, Array, Array, Array], data: st.DataObject
) -> None:
    """Guarantee of dpfedsyn.privatise.AnswerMechanism.release: ... and 1/M of that, of the mean,
    for one record of an ensemble, which sits in one part; two parts where it can change its part.
    Parts are summed in integers: no rounding of their mean is left over."""
    parts, rows, _ = pair[0].shape
    mechanism = AnswerMechanism(1.5, 4.0, parts)
    moved = data.draw(st.integers(1, min(2, parts)))
    noise, energies = pair[0].copy(), pair[1].copy()
    noise[:moved], energies[:moved] = pair[2][:moved], pair[3][:moved]
    apart = distances(mechanism, (pair[0], pair[1]), (noise, energies), (0.3, 0.7))
    share = Fraction(moved, parts)
    assert apart[0] <= cost(3.0, 0.3, rows, share)
    assert apart[1] <= cost(4.0, 0.7, rows, share)
    charged = mechanism.record_mu2(rows, 0.3, 0.7, moved_parts=moved)
    assert sum(apart) <= Fraction(charged) * (1 + Fraction(1, 2**50))


@pytest.mark.parametrize(("parts", "rows"), list(itertools.product([1, 3], [1, 50])))
def test_a_constructed_pair_of_models_attains_the_sensitivity(parts: int, rows: int) -> None:
    """Guarantee of dpfedsyn.privatise.AnswerMechanism.silo_mu2: The N rows of a query cost what
    opposite directions and the two ends of the energies' range attain, to 99 %: no slack."""
    mechanism = AnswerMechanism(6.0, 18.0, parts)
    noise, energies = np.zeros((parts, rows, 4)), np.zeros((parts, rows))
    noise[..., 1] = 1e6
    stds = (0.3, 0.7)
    apart = distances(mechanism, (noise, energies), (-noise, energies + 1e6), stds)
    assert math.sqrt(sum(apart)) >= 0.99 * math.sqrt(mechanism.silo_mu2(rows, *stds))
    one, moved = noise.copy(), energies.copy()
    one[0], moved[0] = -noise[0], 1e6
    apart = distances(mechanism, (noise, energies), (one, moved), stds)
    assert math.sqrt(sum(apart)) >= 0.99 * math.sqrt(mechanism.record_mu2(rows, *stds))


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
    scores, noised = released(mechanism, noise, energies, score_std=0.4, energy_std=2.5)
    for values, std in ((scores, 0.4), (noised - 9.0, 2.5)):
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
        zeros, centre = np.zeros((1, rows, 3)), np.full((1, rows), 9.0)
        scores, energies = released(
            mechanism, zeros, centre, score_std=1.0, energy_std=1.0, key=key
        )
        columns = [*scores.T, energies - 9.0]
        streams += [*columns, np.roll(columns[0], 1), scores.ravel()[:rows]]
    correlations = np.abs(np.corrcoef(streams) - np.eye(len(streams)))
    assert correlations.shape == (12, 12)
    assert correlations.max() < 6.0 / math.sqrt(rows)
    assert np.corrcoef(streams[0], streams[0])[0, 1] > 6.0 / math.sqrt(rows)


def noiseless(mechanism: AnswerMechanism, noise: Array, energies: Array) -> tuple[Array, Array]:
    return released(mechanism, noise, energies, score_std=1e-9, energy_std=1e-9)


def test_parts_are_clipped_before_they_are_summed() -> None:
    """One loud part of two counts as C / 2 in the mean; clipped afterwards it would count as C."""
    noise = np.array([[[1000.0, 0.0]], [[0.0, 0.0]]])
    scores, energies = noiseless(AnswerMechanism(6.0, 18.0, 2), noise, np.array([[1e9], [0.0]]))
    assert scores == pytest.approx(np.array([[3.0, 0.0]]), abs=1e-5)
    assert energies == pytest.approx(np.array([9.0]), abs=1e-5)


def test_energies_are_clipped_and_what_is_not_finite_becomes_the_centre() -> None:
    """[0, B] holds for huge and negative energies; NaN and infinities answer B / 2."""
    energies = np.array([[-5.0, 1e300, math.nan, math.inf, -math.inf, 7.0]])
    _, found = noiseless(AnswerMechanism(6.0, 18.0), np.zeros((1, 6, 1)), energies)
    assert found == pytest.approx(np.array([0.0, 18.0, 9.0, 9.0, 9.0, 7.0]), abs=1e-4)


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
    mechanism = AnswerMechanism(6.0, 18.0)
    lattice = mechanism.lattice(1.0, None)
    assert lattice.energies is None
    noise = np.zeros((1, 2, 2))
    assert mechanism.release(noise, np.zeros((1, 2)), lattice=lattice, key=KEYS[0])[1] is None


@pytest.mark.parametrize("name", ["clip", "energy_bound"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_bound_that_is_not_finite_and_positive_is_refused(name: str, value: float) -> None:
    """Such a sensitivity could not be covered by any noise; the message names the setting."""
    with pytest.raises(MechanismError, match=f"answers.{name} = "):
        AnswerMechanism(**{"clip": 1.0, "energy_bound": 1.0, name: value})


@given(st.floats(1e-6, 1e6), st.integers(1, 1000))
def test_the_noise_that_is_drawn_is_never_less_than_was_asked(std: float, parts: int) -> None:
    """1024 spacings of the sum are M sigma or a rounding more, in rational numbers."""
    lattice = AnswerMechanism(1.0, 1.0, parts).lattice(std, std)
    for on in (lattice.scores, lattice.energies):
        assert on is not None
        drawn = Fraction(on.spacing) * 1024 * on.cells
        assert Fraction(std) * parts <= drawn <= Fraction(std) * parts * (1 + Fraction(1, 2**50))
        assert on.std / parts >= std


def test_values_between_lattice_points_move_toward_zero() -> None:
    """Row by row and energy by energy, about the centre: a row that is rounded away from zero
    would be longer than what is charged."""
    mechanism = AnswerMechanism(6.0, 18.0)
    lattice = mechanism.lattice(1024.0, 1024.0)  # spacing 1
    noise = np.array([[[2.9, -2.9], [0.5, -0.99]]])
    energies = np.array([[9.0 + 2.9, 9.0 - 2.9]])
    still = mechanism.release(0.0 * noise, np.full((1, 2), 9.0), lattice=lattice, key=KEYS[0])
    moved = mechanism.release(noise, energies, lattice=lattice, key=KEYS[0])
    assert (moved[0] - still[0]).tolist() == [[2, -2], [0, 0]]
    assert moved[1] is not None
    assert still[1] is not None
    assert (moved[1] - still[1]).tolist() == [2, -2]


def test_a_row_whose_integers_are_too_long_is_a_row_of_zeros(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where clipping lets a row through that is an ulp too long, the check in integers does not."""
    mechanism = AnswerMechanism(6.0, 18.0)
    lattice = mechanism.lattice(1024.0, None)  # spacing 1
    noise = np.array([[[6.0, 0.0], [6.0, 1.0], [0.0, 7.0]]])
    still = mechanism.release(0.0 * noise, np.zeros((1, 3)), lattice=lattice, key=KEYS[0])[0]
    monkeypatch.setattr(privatise, "clip_rows", lambda rows, radius: rows)
    moved = mechanism.release(noise, np.zeros((1, 3)), lattice=lattice, key=KEYS[0])[0]
    assert (moved - still).tolist() == [[6, 0], [0, 0], [0, 0]]


def test_noise_too_small_for_the_bound_is_refused() -> None:
    """Sums would not fit their integers; the message names noise that does."""
    with pytest.raises(MechanismError, match="too fine for integers"):
        AnswerMechanism(1e9, 1.0).lattice(1e-6, None)
    with pytest.raises(MechanismError, match="too fine for integers"):
        AnswerMechanism(1.0, 1e9).lattice(1.0, 1e-6)
    AnswerMechanism(1.0, 1.0).lattice(1e-12, 1e-12)


def test_an_answer_is_an_integer_sum_and_integer_noise_and_nothing_else() -> None:
    """Parts, truncated one by one, and draws of the key's stream, scores first: to the last bit."""
    mechanism = AnswerMechanism(6.0, 18.0, 3)
    rng = np.random.default_rng(1)
    noise, energies = rng.standard_normal((3, 5, 2)), 4.0 * rng.random((3, 5))
    lattice = mechanism.lattice(2.0, 1.0)
    assert lattice.energies is not None
    found = mechanism.release(noise, energies, lattice=lattice, key=KEYS[1])
    stream = Keystream(KEYS[1])
    scores = np.trunc(noise / lattice.scores.spacing).sum(axis=0)
    centred = np.trunc((energies - 9.0) / lattice.energies.spacing).sum(axis=0)
    assert np.array_equal(found[0], scores + lattice.scores.noise(stream, 10).reshape(5, 2))
    assert np.array_equal(np.asarray(found[1]), centred + lattice.energies.noise(stream, 5))
