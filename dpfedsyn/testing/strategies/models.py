"""Models that answer, pairs of any two, and what they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from dpfedsyn.messages import ScoreQuery
from dpfedsyn.testing.strategies.data import EXTREMES

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """A model that predicts slope * x + shift: as far from another one as a model can be."""

    slope: float
    shift: float

    def __call__(self, x: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            prediction: Array = self.slope * np.asarray(x, dtype=np.float64) + self.shift
        return prediction

    def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
        """Predict as a silo's model does."""
        return self(x)


def models(*, extreme: bool = False) -> st.SearchStrategy[Affine]:
    """Any model: constants, slopes, and with `extreme` what is not a number."""
    number = st.floats(-100.0, 100.0)
    if extreme:
        number |= st.sampled_from(EXTREMES)
    return st.builds(Affine, number, number)


def model_pairs(*, extreme: bool = False) -> st.SearchStrategy[tuple[Affine, Affine]]:
    """Any two models that are not the same: what a silo-level claim is about."""
    pairs = st.tuples(models(extreme=extreme), models(extreme=extreme))
    return pairs.filter(lambda pair: repr(pair[0]) != repr(pair[1]))


def trained_pairs(
    train: Callable[[Any], Any], neighbours: st.SearchStrategy[tuple[Any, Any]]
) -> st.SearchStrategy[tuple[Any, Any]]:
    """Models that `train` makes of neighbours: what a record-level claim is about."""
    return neighbours.map(lambda pair: (train(pair[0]), train(pair[1])))


def queries(
    shape: tuple[int, ...] = (3, 2), *, extreme: bool = False
) -> st.SearchStrategy[NDArray[np.float32]]:
    """Arrays x (rows, dimension), float32, that a model may be asked about."""
    element: st.SearchStrategy[float] = st.floats(-10.0, 10.0, width=32)
    if extreme:
        with np.errstate(under="ignore"):
            element |= st.sampled_from([float(np.float32(x)) for x in EXTREMES])
    return arrays(np.float32, shape, elements=element)


@st.composite
def score_queries(
    draw: st.DrawFn,
    *,
    run: str = "run",
    dimension: int = 2,
    classes: int = 3,
    max_rows: int = 6,
    energies: bool | None = None,
) -> ScoreQuery:
    """Queries that a silo of this run, dimension and classes answers.

    Args:
        energies: whether they are asked for; None: either.
    """
    rows = draw(st.integers(1, max_rows))
    with_energies = draw(st.booleans()) if energies is None else energies
    std = st.floats(0.01, 1e3)
    return ScoreQuery(
        run=run,
        round_number=draw(st.integers(0, 1000)),
        t=draw(st.integers(0, 999)),
        x=draw(queries((rows, dimension))),
        labels=draw(arrays(np.int64, rows, elements=st.integers(0, classes - 1))),
        score_std=draw(std),
        energy_std=draw(std) if with_energies else None,
    )
