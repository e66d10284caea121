"""Keyed cryptographic randomness: one AES-256-CTR keystream per key, never repeated.

Version 1 draws *float* Gaussians from the keystream. Floating point makes their law an
approximation of the Gaussian (Mironov 2012); the privacy statement names this sampler.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

SAMPLER = "float64 Gaussian (Box-Muller) from an AES-256-CTR keystream, one key per charge"

_TWO_PI = 2.0 * np.pi
_UNIT = 2.0**-53


class Keystream:
    """Pseudorandom words under a 32-byte key; two streams under one key are equal."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return the next `count` uniform 64-bit words."""
        return np.frombuffer(self._cipher.update(bytes(8 * count)), dtype=np.uint64)

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Return `count` uniforms in (0, 1]: 53 random bits each, never zero."""
        words = (self.words(count) >> np.uint64(11)) + np.uint64(1)
        return words.astype(np.float64) * _UNIT

    def normal(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return independent N(0, 1) draws of the given shape (Box and Muller 1958).

        Guarantee:
            Tails reach sqrt(2 log 2^53) = 8.57 standard deviations; none is cut off.
        """
        count = int(np.prod(shape))
        half = (count + 1) // 2
        uniforms = self.uniform(2 * half)
        radius = np.sqrt(-2.0 * np.log(uniforms[:half]))
        angle = _TWO_PI * uniforms[half:]
        pair = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return pair[:count].reshape(shape)

    def bernoulli(self, count: int, rate: float) -> NDArray[np.bool_]:
        """Return `count` inclusion bits, each 1 with probability `rate` to within 2^-64.

        The bits are cryptographic and stay in the silo: amplification by sampling holds only
        against somebody who cannot guess who was sampled.
        """
        threshold = round(rate * 2.0**64)
        if threshold >= 2**64:
            return np.ones(count, dtype=np.bool_)
        included: NDArray[np.bool_] = self.words(count) < np.uint64(threshold)
        return included
