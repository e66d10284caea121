"""Tests of noise: exact levels, and rejection of what is not the claimed noise.

Levels are measured on 400 seeded samples: more than 40 rejections at 5 % have a probability below
1e-4 for each test if the level holds.
"""

import math
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpfedsyn import lattice
from dpfedsyn.audit import findings, laws
from dpfedsyn.audit.findings import Measured
from dpfedsyn.noise import Keystream

STD = 1024.0


def drawn(seed: int, rows: int, dimension: int) -> NDArray[np.int64]:
    """Return noise as answers have it."""
    stream = Keystream(seed.to_bytes(32, "big"))
    return lattice.coarse(stream, rows * dimension).reshape(rows, dimension)


@pytest.mark.parametrize("shape", [(2, 3), (40, 16)])
def test_each_level_is_kept(shape: tuple[int, int]) -> None:
    """Correct noise, also of six numbers alone, is rejected at 5 % in about 5 %, or in fewer."""
    rejected = dict.fromkeys(laws.gaussian(np.ones((2, 2)), STD), 0)
    for seed in range(400):
        for name, p in laws.gaussian(drawn(seed, *shape).astype(np.float64), STD).items():
            rejected[name] += p <= 0.05
    assert max(rejected.values()) <= 40, rejected
    assert sum(rejected.values()) >= 40  # the tests are not void


WRONG = {
    "a tenth less": (lambda e: 0.9 * e, "variance"),
    "a tenth more": (lambda e: 1.1 * e, "variance"),
    "none": (lambda e: 0.0 * e, "variance"),
    "shifted": (lambda e: e + 60.0, "mean"),
    "cut at 2.5 std": (lambda e: np.clip(e, -2.5 * STD, 2.5 * STD), "extremes"),
    "uniform": (lambda e: np.sqrt(12.0) * STD * (np.argsort(np.argsort(e.ravel())).reshape(e.shape)
                                                 / e.size - 0.5), "law"),
    "rows share a part": (lambda e: math.sqrt(0.9) * e + math.sqrt(0.1) * e[:1], "rows together"),
    "coordinates share a part": (lambda e: math.sqrt(0.9) * e + math.sqrt(0.1) * e[:, :1],
                                 "coordinates together"),
    "rows come twice": (lambda e: np.repeat(e[::2], 2, axis=0), "neighbouring rows"),
    "coordinates come twice": (lambda e: np.repeat(e[:, ::2], 2, axis=1),
                               "neighbouring coordinates"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_noise_is_rejected(wrong: str) -> None:
    """Each fault by the test that is made for it, at one in 10^9; the correct noise passes."""
    change, name = WRONG[wrong]
    noise = drawn(1, 1000, 16).astype(np.float64)
    assert min(laws.gaussian(noise, STD).values()) > 1e-4
    assert laws.gaussian(change(noise), STD)[name] < 1e-9


@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 20))
def test_p_values_are_probabilities(seed: int, rows: int, dimension: int) -> None:
    """Whatever the shape, and whatever the numbers."""
    noise = drawn(seed, rows, dimension).astype(np.float64)
    for values in (noise, np.zeros_like(noise), 1e6 * noise):
        assert all(0.0 <= p <= 1.0 for p in laws.gaussian(values, STD).values())


@given(st.integers(0, 300), st.integers(0, 300), st.integers(laws.WINDOW, 40))
def test_a_repeated_stretch_is_found_at_any_offset(start: int, other: int, length: int) -> None:
    """In another answer, of another silo, at another place."""
    first, second = drawn(1, 400, 1).ravel(), drawn(2, 400, 1).ravel()
    p, windows = laws.repeats([first, second], STD)
    assert (p, windows) == (1.0, 2 * (400 - laws.WINDOW + 1))
    second[other : other + length] = first[start : start + length]
    assert laws.repeats([first, second], STD)[0] < 1e-15


def test_the_chance_of_a_repetition_is_not_forgotten() -> None:
    """Noise of few values repeats itself by chance: then the p-value says so."""
    narrow = np.rint(drawn(3, 2000, 1).ravel() / STD).astype(np.int64)
    assert laws.repeats([narrow], 1.0)[0] == 1.0


def test_inner_products_are_normal_given_one_side() -> None:
    """<noise, w> / (std |w|) in closed form, and a part of the noise in w is seen."""
    noise = drawn(4, 500, 1).ravel().astype(np.float64)
    weights = np.linspace(1.0, 3.0, 500)
    z = abs(noise @ weights) / (STD * np.sqrt(weights @ weights))
    exact = math.erfc(z / math.sqrt(2.0))
    assert exact <= laws.inner(noise, weights, STD) <= exact + 0.02
    assert laws.inner(noise, 0.4 * noise + drawn(5, 500, 1).ravel(), STD) < 1e-9
    assert laws.inner(noise, np.zeros(500), STD) == 1.0


def test_the_level_is_shared_by_all_tests() -> None:
    """Bonferroni: with ten p-values each is compared with a tenth; NaN is no pass."""
    names = (str(k) for k in count())
    sound = Measured("c", "a", "s", {next(names): 0.5 for _ in range(8)}, "", "")

    def verdicts(p: float) -> list[str]:
        doubtful = Measured("c", "b", "s", {"x": p, "y": 0.5}, "", "")
        return [found.verdict for found in findings.judged([sound, doubtful], 0.01)]

    assert verdicts(0.0011) == ["CONSISTENT", "CONSISTENT"]
    assert verdicts(0.001) == ["CONSISTENT", "VIOLATION"]
    assert verdicts(math.nan) == ["CONSISTENT", "VIOLATION"]
