"""The answer mechanism: clip every row onto a lattice, add whole numbers of noise, say the cost.

One query is one Gaussian mechanism over all its N rows jointly: N rows are N questions, so every
sensitivity carries sqrt(N). A clipped model output moves by up to 2C between *any* two models,
whatever the adjacency; that is why this cost is the silo-level one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.clipping import clip_rows
from dpfedsyn.errors import MechanismError
from dpfedsyn.lattice import Lattice, checked, coarse_lattice
from dpfedsyn.noise import Keystream
from dpfedsyn.sums import noised

Array = NDArray[np.float64]
Points = NDArray[np.int64]


@dataclass(frozen=True)
class AnswerLattice:
    """Where the noised *sums* over the parts lie, and how far apart: public, from the noise alone.

    Attributes:
        scores: lattices of the sums; `energies` is None where none are asked for.
        energies: lattices of the sums; `energies` is None where none are asked for.
    """

    scores: Lattice
    energies: Lattice | None


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

    def lattice(self, score_std: float, energy_std: float | None) -> AnswerLattice:
        """Return the lattice of an answer with this noise std of the *mean* over the parts.

        Raises:
            MechanismError: so little noise that sums on the lattice would not fit their integers.
        """
        scores = coarse_lattice(self._of_sum(score_std), self.parts * self.clip)
        if energy_std is None:
            return AnswerLattice(scores, None)
        bound = self.parts * self.energy_bound
        return AnswerLattice(scores, coarse_lattice(self._of_sum(energy_std), bound))

    def _of_sum(self, std: float) -> float:
        """Return M std, rounded up: the sum over M parts never gets less noise than is charged."""
        product = self.parts * std
        exact = Fraction(self.parts) * Fraction(std)
        return product if Fraction(product) >= exact else math.nextafter(product, math.inf)

    def release(
        self, noise: Array, energies: Array, *, lattice: AnswerLattice, key: bytes
    ) -> tuple[Points, Points | None]:
        """Return the noised sums over the parts of predictions (N, d) and energies (N,).

        Whole numbers of the lattices' spacings; energies less M B / 2, None where not asked for.

        Args:
            noise: (M, N, d) predicted noise of each part's model.
            energies: (M, N).
            lattice: of `lattice` for the noise that was charged.
            key: key of this charge's own keystream.

        Guarantee:
            The L2 sensitivity of what the noise is added to is at most 2 C sqrt(N) (scores) and
            B sqrt(N) (energies) between any two models, and 1/M of that, of the mean, for one
            record of an ensemble. It is exact: non-finite rows become zeros (raising would itself
            leak), rows are clipped to C and energies to [0, B] about the centre, truncated toward
            zero onto the lattice and checked in integers, sum k^2 <= (C / g)^2, else they are
            zero; parts are summed in integers. The noise is a rounded Gaussian on the same
            lattice, so that the sum is the ideal Gaussian mechanism, rounded afterwards. No
            floating-point number comes after it.
        """
        parts, rows, dimension = noise.shape
        if parts != self.parts or energies.shape != (parts, rows):
            raise AssertionError("predictions and energies must come from all parts")
        stream = Keystream(key)
        scores = np.zeros((rows, dimension), dtype=np.int64)
        for part in noise:
            scores += checked(clip_rows(part, self.clip), self.clip, lattice.scores.spacing)
        scores = noised(scores, lattice.scores, stream)
        if lattice.energies is None:
            return scores, None
        half = 0.5 * self.energy_bound
        known = np.where(np.isfinite(energies), energies, half)
        centred = np.clip(known, 0.0, self.energy_bound) - half
        points = checked(centred.reshape(-1, 1), half, lattice.energies.spacing)
        sums = points.reshape(parts, rows).sum(axis=0)
        return scores, noised(sums, lattice.energies, stream)
