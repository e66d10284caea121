"""What a replay finds, and what it measures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Kind(StrEnum):
    """What is wrong."""

    BROADCAST = "broadcast noise"
    BUDGET = "budget"
    CONTROL_FLOW = "control flow"
    ERROR = "error on one side"
    REUSE = "reused noise"
    SCALE = "noise scale"
    SENSITIVITY = "sensitivity"
    UNFROZEN = "unfrozen randomness"
    UNNOISED = "unnoised output"


@dataclass(frozen=True)
class Finding:
    """One thing that depends on the data and must not: the fact, what follows, and the mend."""

    kind: Kind
    fact: str
    consequence: str
    mend: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.fact} {self.consequence} {self.mend}"


@dataclass(frozen=True)
class Release:
    """One value that noise was added to, on both neighbours.

    Attributes:
        noise: "gaussian", "laplace", ...
        scale: its standard deviation (or Laplace scale).
        shape: of the value.
        distance: how far the neighbours' values lie apart, by norm "1", "2" and "inf"; infinite
            where one is not a number and the other is.
        mu: |difference / scale|_2, what this release costs for these neighbours; None where the
            noise is not Gaussian.
        where: file and line of the addition.
    """

    noise: str
    scale: float
    shape: tuple[int, ...]
    distance: dict[str, float]
    mu: float | None
    where: str


@dataclass(frozen=True)
class Replay:
    """What was found, and what was measured on the way."""

    findings: tuple[Finding, ...]
    releases: tuple[Release, ...]

    @property
    def mu(self) -> float:
        """The Gaussian-DP parameter that this pair proves: no claim below it is true.

        sqrt(sum |difference_k / scale_k|^2) along this transcript; infinite where a release has
        other noise, of which nothing is said.
        """
        costs = [math.inf if r.mu is None else r.mu for r in self.releases]
        return math.sqrt(math.fsum(c * c for c in costs))

    def __str__(self) -> str:
        if not self.findings:
            return f"{len(self.releases)} noised values, nothing found."
        return "\n".join(str(finding) for finding in self.findings)


def distances(one: Array, other: Array) -> Array:
    """Return the entries' absolute differences: 0 where both are the same, infinite with a NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64))
    same = (one == other) | ((one != one) & (other != other))
    result: Array = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    return result


def norms(apart: Array) -> dict[str, float]:
    """Return the L1, L2 and L-infinity norms of differences."""
    flat = apart.ravel()
    largest = float(flat.max(initial=0.0))
    if largest in (0.0, math.inf):
        return {"1": largest, "2": largest, "inf": largest}
    return {
        "1": math.fsum(flat.tolist()),
        "2": largest * math.sqrt(math.fsum(((flat / largest) ** 2).tolist())),
        "inf": largest,
    }
