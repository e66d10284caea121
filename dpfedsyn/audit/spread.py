"""The direction over *all* values along which the labels' means lie apart, of wide outputs.

A signal that is spread over hundreds of values shows in none of them, so that picking the values
that tell most misses it. Its weights are differences of means over variances, value by value: the
best ones for a shift under noise that is independent between values, but for the error of the
means. A few sums are kept of each value, over all past calls, so that the direction goes on getting
better where too many calls were made to hold their outputs.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit.calling import Outputs
from dpfedsyn.audit.features import bounded, place

Array = NDArray[np.float64]

WIDE = 16  # values, above which outputs are wide
_REACH = 8.0  # scales beyond which a value is held to be no further away
_NUMBERS = 2**22  # placed together


@dataclass(frozen=True)
class Sums:
    """Of past calls, in two halves: every second call, and the others.

    Attributes:
        centre, scale: (d,) by which values are placed, as the first calls had them. calls: so many.
        counts: (half, label) calls. totals: (half, label, d) of placed values. squares: (d,).
    """

    centre: Array
    scale: Array
    calls: int
    counts: Array
    totals: Array
    squares: Array

    def weights(self, half: int | None = None) -> Array:
        """Differences of the labels' means over variances, of one half or of all calls; (d,)."""
        counts = self.counts.sum(axis=0) if half is None else self.counts[half]
        totals = self.totals.sum(axis=0) if half is None else self.totals[half]
        if counts.min() < 1.0:
            return np.zeros_like(self.centre)
        means = totals / counts[:, None]
        centre = self.totals.sum(axis=(0, 1)) / self.calls
        variance = np.maximum(self.squares / self.calls - np.square(centre), 0.0)
        found: Array = (means[1] - means[0]) / np.where(variance > 1e-12, variance, np.inf)
        return found


@dataclass(frozen=True)
class Along:
    """Values along one direction: a feature, (n, 1)."""

    centre: Array
    scale: Array
    weights: Array

    def __call__(self, outputs: Outputs) -> Array:
        """Return the feature, (n, 1)."""
        return _along(outputs.values, self.centre, self.scale, self.weights[:, None])


def begun(outputs: Outputs) -> Sums:
    """No calls yet; `outputs` say where values lie and how far they vary."""
    width = outputs.values.shape[1]
    known = np.isfinite(outputs.values) & (outputs.outcomes == 0)[:, None]
    centre, scale = place(np.where(known, bounded(outputs.values), np.nan))
    return Sums(centre, scale, 0, np.zeros((2, 2)), np.zeros((2, 2, width)), np.zeros(width))


def added(sums: Sums, outputs: Outputs, labels: Array) -> Sums:
    """With more calls.

    Args:
        outputs, labels: of n calls that follow those of `sums`.
    """
    kinds = 2 * ((sums.calls + np.arange(len(labels))) % 2) + labels.astype(np.int64)
    chosen = (kinds[None, :] == np.arange(4)[:, None]).astype(np.float64)
    totals, squares = sums.totals.copy(), sums.squares.copy()
    for rows in _parts(len(labels), outputs.values.shape[1]):
        placed = _placed(outputs.values[rows], sums.centre, sums.scale)
        totals += (chosen[:, rows] @ placed).reshape(totals.shape)
        squares += np.einsum("ij,ij->j", placed, placed)
    counts = sums.counts + chosen.sum(axis=1).reshape(2, 2)
    calls = sums.calls + len(labels)
    return replace(sums, calls=calls, counts=counts, totals=totals, squares=squares)


def directions(sums: Sums, outputs: Outputs, labels: Array) -> tuple[Along, Array]:
    """The direction of all past calls, and the latest ones along directions that had not seen them.

    Both in units of the spread that outputs of one label have along it.

    Args:
        outputs, labels: of the latest n calls that `sums` holds.

    Returns:
        The feature, and (n, 1): each call along the direction of the other half of all calls.
    """
    weights = np.stack([sums.weights(0), sums.weights(1), sums.weights()], axis=1)
    along = _along(outputs.values, sums.centre, sums.scale, weights)
    half = (sums.calls - len(labels) + np.arange(len(labels))) % 2
    unseen = np.zeros(len(labels))
    for k in (0, 1):
        rows = half == k
        unseen[rows] = along[rows, 1 - k] / _spread(along[rows, 1 - k], labels[rows])
    whole = Along(sums.centre, sums.scale, weights[:, 2] / _spread(along[:, 2], labels))
    return whole, unseen[:, None]


def _along(values: Array, centre: Array, scale: Array, weights: Array) -> Array:
    parts = [
        _placed(values[rows], centre, scale) @ weights for rows in _parts(len(values), len(centre))
    ]
    return np.concatenate([np.zeros((0, weights.shape[1])), *parts])


def _placed(values: Array, centre: Array, scale: Array) -> Array:
    """Values less their centre over their scale, within +-8; 0 where there is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        placed = (values - centre) / scale
    np.clip(placed, -_REACH, _REACH, out=placed)
    placed[np.isnan(placed)] = 0.0
    return placed


def _parts(calls: int, width: int) -> list[slice]:
    step = max(1, _NUMBERS // max(width, 1))
    return [slice(at, at + step) for at in range(0, calls, step)]


def _spread(values: Array, labels: Array) -> float:
    """Standard deviation within a label; infinite where there is none, so that nothing is seen."""
    within = [values[labels == label] for label in (0, 1)]
    squared = sum(float(np.square(one - one.mean()).sum()) for one in within if len(one))
    spread = (squared / max(len(values), 1)) ** 0.5
    return spread if spread > 0.0 else float("inf")
