"""Correct mechanisms that use their claim to the full, on which an auditor must stay silent.

Different enough to show a flaw of the auditor's: one number and many, discrete and continuous,
censored, composed, sampled, with outcomes besides numbers, and one that is private for certain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accountants import ApproximateDP, Gaussian, Laplace, PoissonSampled
from dpfedsyn.audit.claims import GDP, Claim

Array = NDArray[np.float64]
Vectorised = Callable[[Array, int, np.random.Generator], Array]

_WIDTH, _MU, _RATE, _EPSILON = 8, 0.5, 0.1, 1.0


@dataclass(frozen=True)
class Correct:
    """A mechanism, its claim, and neighbours on which it differs as much as it may.

    Attributes:
        with_noise: the mechanism with this share of its noise: 1 is the correct one.
    """

    name: str
    claim: Claim
    neighbours: tuple[Array, Array]
    with_noise: Callable[[float], Vectorised]


def _added(record: Array) -> tuple[Array, Array]:
    base = np.zeros((3, len(record)))
    base[:, -1] = 0.25
    return base, np.vstack([base, record])


def _first(width: int) -> Array:
    record: Array = np.eye(width)[0]
    return record


def _gaussian(finish: Callable[[Array], Array], std: float) -> Callable[[float], Vectorised]:
    def with_noise(ratio: float) -> Vectorised:
        def mechanism(data: Array, n: int, rng: np.random.Generator) -> Array:
            noise = ratio * std * rng.standard_normal((n, data.shape[1]))
            return finish(data.sum(axis=0) + noise)

        return mechanism

    return with_noise


def _sampled(ratio: float) -> Vectorised:
    def mechanism(data: Array, n: int, rng: np.random.Generator) -> Array:
        joined = rng.random((n, len(data))) < _RATE
        noise = ratio / _MU * rng.standard_normal((n, data.shape[1]))
        total: Array = joined @ data + noise
        return total

    return mechanism


def _laplace(ratio: float) -> Vectorised:
    def mechanism(data: Array, n: int, rng: np.random.Generator) -> Array:
        noised: Array = data.sum(axis=0) + rng.laplace(0.0, ratio / _EPSILON, (n, data.shape[1]))
        return noised

    return mechanism


def _randomised_response(ratio: float) -> Vectorised:
    keep = 1.0 / (1.0 + np.exp(-_EPSILON / ratio)) if ratio > 0 else 1.0

    def mechanism(data: Array, n: int, rng: np.random.Generator) -> Array:
        truth = data.sum() > 0
        return np.where(rng.random((n, 1)) < keep, truth, not truth).astype(np.float64)

    return mechanism


def _sometimes_nothing(ratio: float) -> Vectorised:
    """NaN for one output in five, whatever the data."""

    def mechanism(data: Array, n: int, rng: np.random.Generator) -> Array:
        outputs: Array = data.sum(axis=0) + ratio / _MU * rng.standard_normal((n, data.shape[1]))
        outputs[rng.random(n) < 0.2] = np.nan
        return outputs

    return mechanism


def _silent(ratio: float) -> Vectorised:
    """Noise alone, unless the noise is cut."""

    def mechanism(data: Array, n: int, rng: np.random.Generator) -> Array:
        noise: Array = rng.standard_normal((n, data.shape[1]))
        leaked: Array = (1.0 - ratio) * data.sum(axis=0) + noise
        return leaked

    return mechanism


def _same(outputs: Array) -> Array:
    return outputs


def battery() -> tuple[Correct, ...]:
    """All of them."""
    one, many = _added(_first(1)), _added(_first(_WIDTH))
    bit = (np.zeros((1, 1)), np.vstack([np.zeros((1, 1)), np.ones((1, 1))]))
    paid: Any = GDP(_MU)
    return (
        Correct("Gaussian, one number", paid, one, _gaussian(_same, 1 / _MU)),
        Correct("Gaussian, eight numbers", paid, many, _gaussian(_same, 1 / _MU)),
        Correct("Gaussian, mu = 2", GDP(2.0), one, _gaussian(_same, 0.5)),
        Correct("rounded", paid, many, _gaussian(lambda x: np.round(x, 1), 1 / _MU)),
        Correct("positive part", paid, many, _gaussian(lambda x: np.maximum(x, 0), 1 / _MU)),
        Correct("sign", paid, many, _gaussian(np.sign, 1 / _MU)),
        Correct(
            "sampled Gaussian",
            PoissonSampled(Gaussian(1 / _MU), _RATE),
            _added(_first(1)),
            _sampled,
        ),
        Correct("Laplace", Laplace(1 / _EPSILON), one, _laplace),
        Correct("randomised response", ApproximateDP(_EPSILON, 0.0), bit, _randomised_response),
        Correct("NaN now and then", paid, many, _sometimes_nothing),
        Correct("perfectly private", GDP(0.01), one, _silent),
    )
