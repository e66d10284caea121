"""Kept replies taken apart with the owner's key: the noise of a charge, and what it was added to.

A charge's noise is a function of the silo's key, the charge's digest and its number. So the owner
can draw it again and subtract it; what is left is what the silo's models said, on the lattice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants import Gaussian
from accountants.rows import Charge
from dpfedsyn import lattice
from dpfedsyn.audit.evidence import SiloEvidence
from dpfedsyn.messages import PrivateAnswer
from dpfedsyn.noise import Keystream
from dpfedsyn.sums import sums_lattice

Points = NDArray[np.int64]


@dataclass(frozen=True)
class KeptAnswer:
    """One kept answer: its row, its content, and the noise that its key gives.

    Attributes:
        noise: (N, d) in spacings of the scores' lattice. energy_noise: (N,), or None.
    """

    charge: Charge
    answer: PrivateAnswer
    noise: Points
    energy_noise: Points | None

    @property
    def rest(self) -> Points:
        """The reply less that noise (N, d): a sum of clipped predictions, if it is what is said."""
        return self.answer.points.astype(np.int64) - self.noise

    @property
    def energy_rest(self) -> Points | None:
        """The same of the energies (N,)."""
        if self.energy_noise is None or self.answer.energy_points is None:
            return None
        return self.answer.energy_points.astype(np.int64) - self.energy_noise


def released(silo: SiloEvidence) -> list[KeptAnswer]:
    """Return every answer of a silo whose bytes are kept, with the noise of its charge."""
    found = []
    for charge, answer in silo.answers():
        stream = Keystream(silo.key.noise(charge.digest, charge.seq))
        noise = lattice.coarse(stream, answer.points.size).reshape(answer.points.shape)
        energies = answer.energy_points
        own = None if energies is None else lattice.coarse(stream, energies.size)
        found.append(KeptAnswer(charge, answer, noise, own))
    return found


@dataclass(frozen=True)
class KeptSum:
    """One kept vector of sums over records: counts, means, moments and so on.

    Attributes:
        rest: the reply less the noise of its charge, in spacings: a sum of records' vectors.
        std: of the noise, in spacings. spacing: of the lattice, where a vector has radius 1.
    """

    charge: Charge
    points: Points
    noise: Points
    std: float
    spacing: float

    @property
    def rest(self) -> Points:
        """The reply less the noise of its charge."""
        return self.points - self.noise

    @property
    def values(self) -> NDArray[np.float64]:
        """The noised sums, as training read them."""
        return self.points.astype(np.float64) * self.spacing


def summed(silo: SiloEvidence, kind: str, place: int = 0) -> KeptSum | None:
    """Return the kept sums of a kind, or None where there are none.

    Args:
        place: of the charge among those of its kind, from 0.

    DP-SGD knows no replacing, so that each of these vectors has sensitivity 1.
    """
    for charge in silo.of(kind)[place : place + 1]:
        if charge.reply is not None and isinstance(charge.event, Gaussian):
            own = sums_lattice(charge.event.noise_multiplier)
            points = np.frombuffer(charge.reply, dtype=np.int64)
            key = silo.key.noise(charge.digest, charge.seq)
            noise = own.noise(Keystream(key), points.size)
            std = float(lattice.COARSE * own.cells)
            return KeptSum(charge, points, noise, std, own.spacing)
    return None
