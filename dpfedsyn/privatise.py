"""The answer mechanism: clip every row, add Gaussian noise, say what it costs.

One query is one Gaussian mechanism over all its N rows jointly: N rows are N questions, so every
sensitivity carries sqrt(N). A clipped model output moves by up to 2C between *any* two models,
whatever the adjacency; that is why this cost is the silo-level one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import MechanismError
from dpfedsyn.moments import clip_rows
from dpfedsyn.noise import Keystream

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AnswerMechanism:
    """Public parameters of a silo's answers; `parts` models answer together (1: a single model)."""

    clip: float  # C: L2 bound on one predicted noise vector
    energy_bound: float  # B: energies are clipped to [0, B]
    parts: int = 1  # M

    def __post_init__(self) -> None:
        for name in ("clip", "energy_bound"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise MechanismError(
                    f"answers.{name} = {value}: the sensitivity would not be finite and no noise "
                    "could cover it. Give a positive, finite bound."
                )

    def silo_mu2(self, rows: int, score_std: float, energy_std: float | None) -> float:
        """Squared Gaussian-DP parameter of one answer between any two models.

        mu^2 = (2 C sqrt(N) / sigma_e)^2 + (B sqrt(N) / sigma_f)^2; the second term only where
        energies are released (`energy_std` is None otherwise).

        Guarantee:
            The N rows of a query are charged as N questions, jointly with their energies: this is
            the exact cost of moving every row across the whole ball and every energy over [0, B].
        """
        scores = (2.0 * self.clip / score_std) ** 2
        energies = 0.0 if energy_std is None else (self.energy_bound / energy_std) ** 2
        return rows * (scores + energies)

    def record_mu2(
        self, rows: int, score_std: float, energy_std: float | None, *, moved_parts: int = 1
    ) -> float:
        """The same for one record in an ensemble: it sits in one of M disjoint parts.

        Under replace a record's hashed part may change with it: `moved_parts` = 2.
        """
        whole = self.silo_mu2(rows, score_std, energy_std)
        return whole * (moved_parts / self.parts) ** 2

    def release(
        self,
        noise: Array,
        energies: Array,
        *,
        score_std: float,
        energy_std: float | None,
        key: bytes,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the noised predictions (N, d) and energies (N,), or None where not asked for.

        Args:
            noise: (M, N, d) predicted noise of each part's model. energies: (M, N).
            score_std, energy_std: noise std of the *mean* over the parts, per coordinate.
            key: key of this charge's own keystream.

        Guarantee:
            The L2 sensitivity of what the noise is added to is at most 2 C sqrt(N) (scores) and
            B sqrt(N) (energies) between any two models, and 1/M of that for one record of an
            ensemble: non-finite rows become zeros (raising would itself leak), rows are clipped to
            C before the parts are summed, energies to [0, B]. Rounding to float32 comes after the
            noise. Real-valued noise: the rounding of float64 arithmetic is not covered.
        """
        parts, rows, dimension = noise.shape
        if parts != self.parts or energies.shape != (parts, rows):
            raise AssertionError("predictions and energies must come from all parts")
        stream = Keystream(key)
        noised = clip_rows(noise[0], self.clip)
        for part in noise[1:]:
            noised += clip_rows(part, self.clip)
        noised += parts * score_std * stream.normal((rows, dimension))
        scores = (noised / parts).astype(np.float32)
        if energy_std is None:
            return scores, None
        half = 0.5 * self.energy_bound
        known = np.where(np.isfinite(energies), energies, half)
        centred = (np.clip(known, 0.0, self.energy_bound) - half).sum(axis=0)
        noised_energies = centred + parts * energy_std * stream.normal((rows,))
        return scores, (noised_energies / parts + half).astype(np.float32)
