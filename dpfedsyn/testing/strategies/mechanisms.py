"""Mechanisms that keep their claim, and mechanisms that break it: to try a test before trusting it.

Each is a sum of records clipped to norm 1 with Gaussian noise, claimed to be mu-GDP under
add-or-remove, and broken in one way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[np.float64]

BROKEN = (
    "half noise", "no noise", "no clipping", "NaN passes", "count leaks", "one draw for all",
    "half of the coordinates", "scale from data", "mean by own count",
)  # fmt: skip
"""The mistakes of `broken_mechanisms`, by name."""


@dataclass(frozen=True)
class Mechanism:
    """A vectorised noisy sum `(data, n, rng) -> (n, d)`, claimed to be mu-GDP; `bug` names one."""

    mu: float
    bug: str | None = None

    def __call__(self, data: Array, n: int, rng: np.random.Generator) -> Array:
        rows = data.reshape(len(data), math.prod(data.shape[1:]))
        total = (rows if self.bug == "no clipping" else self._clipped(rows)).sum(axis=0)
        result: Array = total + self._noise(rows, (n, rows.shape[1]), rng)
        if self.bug == "mean by own count":
            result /= max(1, len(rows))
        if self.bug == "count leaks":
            result = np.column_stack([result, np.full(n, float(len(rows)))])
        return result

    def _clipped(self, rows: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            clipped: Array = rows / np.maximum(lengths, 1.0)
        if self.bug == "NaN passes":
            return clipped
        clipped[~np.isfinite(clipped).all(axis=1)] = 0.0
        return clipped

    def _noise(self, rows: Array, shape: tuple[int, int], rng: np.random.Generator) -> Array:
        std = {"half noise": 0.5, "no noise": 0.0}.get(self.bug or "", 1.0) / self.mu
        if self.bug == "scale from data":
            std *= 1.0 / (1.0 + len(rows))
        noise = std * rng.standard_normal(shape)
        if self.bug == "one draw for all":
            noise[:] = noise[:, :1]
        if self.bug == "half of the coordinates":
            noise[:, : math.ceil(shape[1] / 2)] = 0.0
        return noise


def worst_case(mechanism: Mechanism, dimension: int = 4) -> tuple[Array, Array]:
    """Return neighbours on which this mechanism's bug shows as much as it may."""
    record = np.zeros((1, dimension))
    record[0, 0] = {"no clipping": 30.0, "NaN passes": math.nan}.get(mechanism.bug or "", 1.0)
    if mechanism.bug == "one draw for all":
        record[0, 1] = -1.0
    base = np.zeros((2, dimension))
    base[:, -1] = 0.25
    return base, np.vstack([base, record])


def correct_mechanisms(mu: float = 0.5) -> st.SearchStrategy[Mechanism]:
    """Mechanisms that use their claim to the full, and ones that claim more than they use."""
    return st.sampled_from([Mechanism(mu), Mechanism(mu / 2)])


def broken_mechanisms(mu: float = 0.5) -> st.SearchStrategy[Mechanism]:
    """Mechanisms with one bug each, all of `BROKEN`."""
    return st.sampled_from([Mechanism(mu, bug) for bug in BROKEN])
