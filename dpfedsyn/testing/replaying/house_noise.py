"""The toolkit's own release path on a tape: integers plus a rounded Gaussian on a lattice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from dpfedsyn.lattice import Lattice
from dpfedsyn.testing.replaying.numpy_noise import as_noise
from dpfedsyn.testing.replaying.tape import Noise, Tape


@contextmanager
def house_on(tape: Tape) -> Iterator[None]:
    """Follow `Lattice.noise`, in units of its spacing; the keystream is not asked."""

    def noise(lattice: Lattice, stream: object, count: int) -> Any:
        std = lattice.std / lattice.spacing
        number, rng = tape.drawn("gaussian", (count,), located=False)
        drawn = np.rint(rng.standard_normal(count) * std).astype(np.int64)
        return as_noise(drawn, Noise("gaussian", std, (number,)), tape)

    with mock.patch.object(Lattice, "noise", noise):
        yield
