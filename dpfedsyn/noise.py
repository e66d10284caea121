"""Keyed cryptographic randomness: one AES-256-CTR keystream per key, never repeated.

The noise that privacy rests on is drawn from these words by `dpfedsyn.lattice`.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from scipy.special import ndtri

_UNIT = 2.0**-52


class Keystream:
    """Pseudorandom words under a 32-byte key; two streams under one key are equal."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return the next `count` uniform 64-bit words."""
        return np.frombuffer(self._cipher.update(bytes(8 * count)), dtype=np.uint64)

    def normal(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return independent N(0, 1) draws of the given shape: Phi^-1 of 52-bit uniforms.

        Not for noise that hides anything: floating point makes the law an approximation (Mironov
        2012). Initial weights and the diffusion's own noise are drawn with it. Every draw has a
        word of its own and is finite: the uniforms lie half a step off 0 and 1 (with 53 bits the
        greatest would round to 1), so that tails reach 8.21 standard deviations.
        """
        uniforms = (self.words(int(np.prod(shape))) >> np.uint64(12)).astype(np.float64)
        uniforms += 0.5
        uniforms *= _UNIT
        draws: NDArray[np.float64] = ndtri(uniforms).reshape(shape)
        return draws

    def bernoulli(self, count: int, rate: float) -> NDArray[np.bool_]:
        """Return `count` inclusion bits, independent of each other.

        Guarantee:
            Each bit is 1 with probability `rate` to within 2^-64 and comes from the secret stream:
            amplification by sampling holds only against who cannot guess who was sampled.
        """
        threshold = round(rate * 2.0**64)
        if threshold >= 2**64:
            return np.ones(count, dtype=np.bool_)
        included: NDArray[np.bool_] = self.words(count) < np.uint64(threshold)
        return included
