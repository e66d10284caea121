"""Convolution powers: within their error bounds of the exact ones, and nothing outside is lost."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountants import fourier
from accountants.fourier import compose
from accountants.laws import Law

MASSES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12).filter(lambda m: sum(m) > 0.1)


def law(masses, low=-3, offset=0.0):
    """Some law."""
    return Law(low, np.array(masses, dtype=float), offset, 0.0)


@pytest.mark.parametrize("size", [16, 256, 2048])
def test_the_fft_is_as_good_as_assumed(size):
    """Each output within c u log2(n) times the sum of the inputs; measured: about a tenth of it."""
    random = np.random.default_rng(7)
    angle = np.arange(size, dtype=np.longdouble) * (2 * np.longdouble(math.pi) / size)
    pi_rest = np.longdouble(1.2246467991473532e-16)  # pi beyond a double
    angle += np.arange(size, dtype=np.longdouble) * (2 * pi_rest / size)
    for _ in range(5):
        inputs = random.random(size) ** 8
        found = np.fft.rfft(inputs)
        worst = 0.0
        for k in range(0, size // 2 + 1, max(1, size // 64)):
            turns = angle[(k * np.arange(size)) % size]
            exact = (inputs * np.cos(turns)).sum(), -(inputs * np.sin(turns)).sum()
            worst = max(worst, abs(found[k].real - exact[0]), abs(found[k].imag - exact[1]))
        bound = fourier._FFT * 2.0**-52 * math.log2(size) * inputs.sum()
        assert worst <= bound / 4
        back = np.fft.irfft(found, size)
        assert np.abs(back - inputs).max() <= bound


def exact_power(masses, count):
    """Exact rational convolution power."""
    result = [Fraction(1)]
    for _ in range(count):
        longer = [Fraction(0)] * (len(result) + len(masses) - 1)
        for i, a in enumerate(result):
            for j, b in enumerate(masses):
                longer[i + j] += a * b
        result = longer
    return result


@settings(max_examples=25)
@given(MASSES, MASSES, st.integers(1, 6), st.integers(1, 3), st.booleans())
def test_powers_are_exact_within_their_error(first, second, many, few, up):
    """Two laws, each several times, against rational arithmetic; rounding goes one way."""
    laws = [(law(first), many), (law(second, 2), few)]
    found = compose(laws, 0.1, 0.7, -40, 256, (1.0, 1.0), up=up)
    exact = exact_power([Fraction(m) for m in first], many)
    other = exact_power([Fraction(m) for m in second], few)
    whole = np.zeros(256)
    for i, a in enumerate(exact):
        for j, b in enumerate(other):
            whole[i + j - 3 * many + 2 * few + 40] += float(a * b)
    nodes = (np.arange(256) - 40) * 0.1
    scaled = whole * np.exp(0.7 * nodes - found.log_scale)
    side = 1 if up else -1
    assert np.all(side * (found.probability - scaled) >= -found.error - 1e-14 * scaled)
    assert np.all(np.abs(found.probability - scaled) <= found.error + 1e-11 * scaled + 1e-300)
    assert found.error <= 1e-12


def test_rounding_of_masses_goes_outward():
    """Tilted masses times their norm are at least (at most) the law's own."""
    random = np.random.default_rng(3)
    one = law(random.random(2000) ** 20, low=-700)
    exponent = (np.arange(2000) - 700) * (0.01 * 3.0)
    for up in (True, False):
        tilted = fourier._tilted(one, 0.01, 3.0, up=up)
        back = np.log(np.maximum(tilted.mass, 1e-320)) + tilted.log_norm - exponent
        usable = one.mass > 1e-250
        difference = (back - np.log(np.maximum(one.mass, 1e-320)))[usable]
        assert np.mean(difference > 0) == (1.0 if up else pytest.approx(0.0, abs=0.02))


@settings(max_examples=25)
@given(MASSES, st.integers(1, 40), st.integers(-60, 20), st.booleans())
def test_what_lies_outside_the_window_is_bounded(masses, count, start, up):
    """The Chernoff bound is never below the tilted mass that is really outside."""
    one = law(masses)
    found = compose([(one, count)], 0.1, 0.5, start, 16, (3.0, 3.0), up=up)
    tilted = fourier._tilted(one, 0.1, 0.5, up=up).mass
    power = np.array([1.0])
    for _ in range(count):
        power = np.convolve(power, tilted)
    nodes = np.arange(power.size) - 3 * count
    outside = power[(nodes < start) | (nodes >= start + 16)].sum()
    assert found.outside >= outside * (1 - 1e-9)
    inside = np.zeros(16)
    np.add.at(inside, (nodes - start) % 16, power)  # wrapped around
    assert np.all(np.abs(found.probability - inside) <= found.error + 1e-11 * inside)


def test_one_law_once_needs_no_transform():
    """Its masses come back as they are, with no error added."""
    found = compose([(law([0.25, 0.5, 0.25], low=2), 1)], 0.1, 1.0, 0, 16, (1.0, 1.0), up=True)
    assert found.error == 0.0
    assert np.flatnonzero(found.probability).tolist() == [2, 3, 4]


def test_a_law_without_mass_composes_to_none():
    """Nothing left of a step: the whole has no finite part, without NaN."""
    empty = law([0.0, 0.0])
    found = compose([(empty, 3), (law([0.5, 0.5]), 2)], 0.1, 1.0, 0, 16, (1.0, 1.0), up=False)
    assert np.all(np.abs(found.probability) <= found.error)
    assert math.isfinite(found.log_scale)
