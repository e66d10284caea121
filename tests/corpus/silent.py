"""Programs with their noise held at 0: what is left is the query that they noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.corpus.rows import Array


class Silent(np.random.Generator):
    """A generator whose noise is 0; what it samples and shuffles is as random as ever."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Return `loc`, so many times."""
        return np.broadcast_to(np.asarray(loc, dtype=np.float64), size or ()).copy()

    laplace = normal


def query_of(program: Any, *, std: float = 1.0, **quiet: Any) -> Callable[[Array], Any]:
    """Return what a program noises, in units of `std`.

    Args:
        std: of the program's noise, to see sensitivities in units of it. quiet: settings that
            silence a program whose noise does not come from its `rng`.
    """

    def query(data: Array) -> Any:
        found = program(data, Silent(), **quiet)
        return found if std == 1.0 else [np.asarray(part) / std for part in found]

    return query


def flat(output: Any) -> Array:
    """Return all numbers of an output in one row: arrays, tensors, sequences and mappings."""
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list | tuple):
        return np.concatenate([flat(part) for part in output])
    return np.asarray(output, dtype=np.float64).ravel()
