"""The keyed keystream: repeatable per key, apart between keys, and of the stated laws."""

import math

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import kolmogorov, ndtr

from dpfedsyn.noise import Keystream

KEYS = st.binary(min_size=32, max_size=32)
DRAWS = 1_000_000
KEY = bytes(range(32))


@given(KEYS, st.lists(st.integers(0, 50), max_size=5))
def test_keystream_is_aes_256_ctr_from_zero_whatever_the_pieces(
    key: bytes, cuts: list[int]
) -> None:
    """Words are the cipher's own bytes, and asking in pieces never repeats or skips any."""
    stream = Keystream(key)
    pieces = [stream.words(count) for count in cuts]
    cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    whole = b"".join(piece.tobytes() for piece in pieces)
    assert whole == cipher.update(bytes(8 * sum(cuts)))


@given(KEYS, st.tuples(st.integers(1, 7), st.integers(1, 7)))
def test_equal_keys_give_equal_noise_and_other_keys_other_noise(
    key: bytes, shape: tuple[int, int]
) -> None:
    """Bit for bit; flipping one bit of the key changes every draw."""
    other = bytes([key[0] ^ 1]) + key[1:]
    noise = Keystream(key).normal(shape)
    assert noise.shape == shape
    assert np.array_equal(noise, Keystream(key).normal(shape))
    assert not (noise == Keystream(other).normal(shape)).any()


def test_no_value_is_ever_repeated_within_or_between_streams() -> None:
    """200 streams of 1,000 words and one stream asked 200 times: 400,000 different words.

    A collision of honest 64-bit words has probability 400,000^2 / 2^65 = 5e-9.
    """
    apart = [Keystream(i.to_bytes(32, "big")).words(1000) for i in range(1, 201)]
    one = Keystream(KEY)
    together = [one.words(1000) for _ in range(200)]
    assert len(np.unique(np.concatenate(apart + together))) == 400_000
    stream = Keystream(KEY)
    draws = np.concatenate([stream.normal((100, 9)).ravel() for _ in range(20)])
    assert len(np.unique(draws)) == draws.size


def ks(values: np.ndarray, std: float = 1.0) -> float:
    """Kolmogorov-Smirnov p-value of N(0, std^2)."""
    ordered = ndtr(np.sort(values) / std)
    grid = np.arange(len(values) + 1) / len(values)
    distance = max(np.abs(ordered - grid[:-1]).max(), np.abs(ordered - grid[1:]).max())
    return float(kolmogorov(math.sqrt(len(values)) * distance))


def test_normal_draws_are_standard_normal() -> None:
    """10^6 draws, KS at p > 1e-6; the same draws are not N(0, .98^2) nor N(0, 1.02^2)."""
    draws = Keystream(KEY).normal((DRAWS,))
    assert ks(draws) > 1e-6
    assert ks(draws, 0.98) < 1e-6
    assert ks(draws, 1.02) < 1e-6


def test_normal_tails_are_not_cut() -> None:
    """P(|z| > 4) = 6.33e-5: 63 of 10^6 within 5 standard deviations, 40 (false alarm 6e-7).

    A cut at 4 or a standard deviation of 1.1 falls outside.
    """
    draws = np.abs(Keystream(KEY).normal((DRAWS,)))
    assert 23 <= (draws > 4.0).sum() <= 103
    assert (1.1 * draws > 4.0).sum() > 103


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation times the root of the count: N(0, 1) for independent draws."""
    return float(np.corrcoef(a, b)[0, 1] * math.sqrt(len(a)))


def test_normal_draws_are_independent_of_each_other() -> None:
    """Halves, their squares, neighbours and two streams: |z| < 5 each (false alarm 3e-6)."""
    draws, other = Keystream(KEY).normal((DRAWS,)), Keystream(bytes(32)).normal((DRAWS,))
    half = DRAWS // 2
    pairs = [
        (draws[:half], draws[half:]),
        (draws[:half] ** 2, draws[half:] ** 2),
        (draws[:-1], draws[1:]),
        (draws, other),
    ]
    assert all(abs(correlation(a, b)) < 5.0 for a, b in pairs)
    assert abs(correlation(draws, other + 0.02 * draws)) > 5.0


def test_every_word_gives_a_finite_draw() -> None:
    """The least and the greatest word included: an infinite draw would undo the noise's law."""
    stream = Keystream(KEY)
    words = np.array([0, 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1], dtype=np.uint64)
    stream.words = lambda count: words  # type: ignore[method-assign]
    draws = stream.normal((6,))
    assert np.isfinite(draws).all()
    assert draws.max() == pytest.approx(-draws.min())
    assert 8.0 < draws.max() < 8.5


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.9])
def test_bernoulli_includes_at_its_rate(rate: float) -> None:
    """Guarantee of dpfedsyn.noise.Keystream.bernoulli: Each bit is 1 with probability `rate`:
    10^6 bits within 5 standard errors (false alarm 6e-7); a rate 2 % higher is rejected."""
    bits = Keystream(KEY).bernoulli(DRAWS, rate)
    error = math.sqrt(rate * (1.0 - rate) / DRAWS)
    assert abs(bits.mean() - rate) < 5.0 * error
    assert abs(Keystream(KEY).bernoulli(DRAWS, 1.02 * rate).mean() - rate) > 5.0 * error


def test_bernoulli_at_its_ends_is_sure() -> None:
    """Rate 1 includes everybody, rate 0 nobody."""
    assert Keystream(KEY).bernoulli(10_000, 1.0).all()
    assert not Keystream(KEY).bernoulli(10_000, 0.0).any()
