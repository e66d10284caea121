"""Noise on sums of integers: what answers, counts and moments have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import MechanismError
from dpfedsyn.lattice import Lattice, lattice_for
from dpfedsyn.noise import Keystream

Points = NDArray[np.int64]

MOST_POINTS = 2**30  # from the radius of one record's vector to 0: 2^32 records do not overflow


def noised(points: Points, lattice: Lattice, stream: Keystream) -> Points:
    """Return points + round(N(0, (std / spacing)^2)), of the same shape, from the stream.

    Guarantee:
        For whole numbers x, x + round(Z) = round(x + Z): the result is the ideal Gaussian
        mechanism with the lattice's std, rounded afterwards, up to the sampler's certified total
        variation. A sum beyond 64 bits is taken modulo 2^64, which is post-processing as well.
    """
    return points + lattice.noise(stream, points.size).reshape(points.shape)


def privatise(points: Points, lattice: Lattice, key: bytes) -> Points:
    """Return sums of records' vectors on a lattice with noise from the key's own stream.

    Guarantee:
        With lattice.std >= noise_multiplier * sensitivity this is one Gaussian mechanism, up to the
        sampler's certified total variation; the std is never 0 on a private path because a budget
        always buys a finite noise multiplier.
    """
    return noised(points, lattice, Keystream(key))


def sums_lattice(std: float) -> Lattice:
    """Return the lattice of sums over records of vectors of radius 1, for noise of at least `std`.

    Raises:
        MechanismError: so little noise that sums over many records could overflow.
    """
    lattice = lattice_for(std, 1.0)
    if not lattice.spacing * MOST_POINTS >= 1.0:
        raise MechanismError(
            f"noise of standard deviation {std:g} on vectors of radius 1 needs a lattice of "
            f"spacing {lattice.spacing:.3g}, on which the sums of 2^32 records would overflow. "
            "Nothing was released. Lower privacy.epsilon, or this mechanism's share of it."
        )
    return lattice
