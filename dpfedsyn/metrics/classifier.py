"""The feature map of the evaluation: a classifier's hidden layer, trained on real records.

Real and synthetic rows are compared where a classifier of the labels looks (Heusel et al. 2017 and
Naeem et al. 2020 do so with Inception, which knows nothing of small grayscale images or tables).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpfedsyn.errors import DataError
from dpfedsyn.metrics import convolutional, utility

CNN = "hidden layer of a CNN trained on the real training part, not Inception"
MLP = "hidden layer of an MLP trained on the real training part, not Inception"
PLAIN = "the rows themselves: the real training part has one label only, so no classifier was fixed"


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A fixed map from rows (m, d) to features (m, `dimension`).

    Args:
        name: what the features are, in words for a report.
        apply: the map.
    """

    name: str
    dimension: int
    apply: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Map rows (m, d) to features (m, `dimension`)."""
        return self.apply(np.asarray(x, dtype=np.float64))


def fixed(
    x: ArrayLike, y: ArrayLike, shape: tuple[int, int] | None, classes: int, seed: int
) -> FeatureMap:
    """Train the classifier whose hidden layer is the feature space of one evaluation.

    Images: the convolutional network. Tables: the network of `utility`, standardised inputs, 64
    rectified units. One label in training: the rows themselves, because a classifier of one label
    learns nothing.

    Args:
        x: (n, d) real training rows, or pixels in [0, 1]. y: (n,) labels in 0 ... classes - 1.
        shape: (h, w) of images; None: the rows are a table's.
        seed: of initial weights and batches.

    Raises:
        DataError: shapes that do not fit, no rows, a value that is not finite, or a label that is
            out of range.
    """
    rows, labels = utility.checked(x, y, "training")
    if labels.max() >= classes:
        raise DataError(
            f"labels go up to {labels.max()}, but there are {classes} classes, so no classifier "
            f"was fixed; give labels in 0 ... {classes - 1}"
        )
    if len(np.unique(labels)) == 1:
        return FeatureMap(PLAIN, rows.shape[1], lambda plain: plain)
    if shape is not None:
        trained = convolutional.fit(rows, labels, shape, classes, seed)
        return FeatureMap(CNN, convolutional.HIDDEN, trained.features)
    pipeline = utility.fitted(utility.network(labels, seed, None), rows, labels)
    standardise, network = pipeline.steps[0][1], pipeline.steps[1][1]
    return FeatureMap(
        MLP,
        len(network.intercepts_[0]),
        lambda table: _hidden(network, standardise.transform(table)),
    )


def _hidden(network: Any, standardised: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first layer of scikit-learn's network, which has no method for it: max(x W + b, 0)."""
    layer: NDArray[np.float64] = standardised @ network.coefs_[0] + network.intercepts_[0]
    return np.maximum(layer, 0.0)
