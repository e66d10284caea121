"""What a score looks at in an output: places, sizes, outcomes, repeated values and last bits.

A score that is linear in the values sees a shift only. Noise whose scale depends on the data shows
in squares; NaN and infinity in flags; data that is released as it is in values that repeat
exactly; and, where asked for, the trace of floating-point noise (Mironov 2012) in how many low
bits of a value are zero.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit.calling import Outputs

Array = NDArray[np.float64]

MOST_COORDINATES = 48
_REACH = 8.0  # scales beyond which a value is held to be no further away
_MOST_ATOMS = 6
_MOST_OUTCOMES = 8
_COLUMNS = 4096  # looked at together
_HUGE = 1e150
_LEAST_RANK = 1e-7  # of a direction's spread beside the widest: noise that cancels is still seen


@dataclass(frozen=True)
class Frame:
    """How outputs become features, learnt from past calls.

    Attributes:
        coordinates: which values are looked at. centre, scale: of each. atoms: (column, value)
            pairs that came up again and again. outcomes: the most common other ones.
        directions: (coordinates, rank) onto directions of unit spread. low_bits: whether the last
        bits of values are looked at.
    """

    coordinates: NDArray[np.int64]
    centre: Array
    scale: Array
    directions: Array
    atoms: tuple[tuple[int, float], ...]
    outcomes: tuple[int, ...]
    low_bits: bool

    def standardised(self, outputs: Outputs) -> Array:
        """Values less their centre over their scale, within +-8; 0 where there is no number."""
        values = outputs.values[:, self.coordinates]
        with np.errstate(over="ignore"):
            placed = (bounded(values) - self.centre) / self.scale
        return np.clip(np.where(np.isnan(values), 0.0, placed), -_REACH, _REACH)

    def linear(self, outputs: Outputs) -> Array:
        """Values in directions of unit spread; (n, rank)."""
        return self.standardised(outputs) @ self.directions

    def rich(self, outputs: Outputs) -> Array:
        """All that is looked at; (n, features)."""
        line = self.linear(outputs)
        values = outputs.values[:, self.coordinates]
        parts = [line, np.square(line) - 1.0, _flags(values)]
        if self.low_bits:
            parts.append(_zero_bits(values))
        if self.atoms:
            parts.append(
                np.stack([values[:, column] == value for column, value in self.atoms], axis=1) * 2.0
            )
        if self.outcomes:
            kinds = [outputs.outcomes > 0]
            if len(self.outcomes) > 1:
                kinds += [outputs.outcomes == kind for kind in self.outcomes]
            parts.append(np.where(np.stack(kinds, axis=1), 2.0, 0.0))
        return np.concatenate(parts, axis=1)


def frame(outputs: Outputs, labels: Array, *, low_bits: bool = False) -> Frame:
    """The frame of past calls; wide outputs are cut to the values that differ most by label.

    Args:
        low_bits: look at the last bits of values too. Noise of floating-point numbers gives itself
            away there whatever its scale, so this finds fault with most mechanisms that add some.
    """
    coordinates = _coordinates(outputs.values, labels)
    values = outputs.values[:, coordinates]
    finite = np.where(np.isfinite(values), bounded(values), np.nan)
    centre, scale = place(finite)
    plain = np.eye(len(coordinates))
    kinds, counts = np.unique(outputs.outcomes[outputs.outcomes > 0], return_counts=True)
    common = tuple(int(kinds[k]) for k in np.argsort(-counts, kind="stable")[:_MOST_OUTCOMES])
    placed = Frame(coordinates, centre, scale, plain, _atoms(values), common, low_bits)
    return replace(placed, directions=_directions(placed.standardised(outputs)))


def _coordinates(values: Array, labels: Array) -> NDArray[np.int64]:
    width = values.shape[1]
    if width <= MOST_COORDINATES:
        return np.arange(width)
    parts = [values[:, at : at + _COLUMNS] for at in range(0, width, _COLUMNS)]
    apart = np.concatenate([_apart(part, labels) for part in parts])
    return np.sort(np.argsort(-apart, kind="stable")[:MOST_COORDINATES])


def _apart(values: Array, labels: Array) -> Array:
    """How far the labels are apart, in place, spread or strangeness; (columns,)."""
    clean = np.where(np.isfinite(values), bounded(values), 0.0)
    centred = clean - clean.mean(axis=0)
    size = np.abs(centred).max(axis=0, initial=0.0)
    centred /= np.where(size > 0.0, size, 1.0)
    strange = (~np.isfinite(values)).astype(np.float64)
    found = [_differences(seen, labels) for seen in (centred, np.square(centred), strange)]
    apart: Array = np.abs(found).max(axis=0)
    return apart


def bounded(values: Array) -> Array:
    """Finite, and small enough to be squared and summed; 0 for NaN."""
    clean = np.nan_to_num(values, nan=0.0, posinf=_HUGE, neginf=-_HUGE)
    return np.clip(clean, -_HUGE, _HUGE)


def _differences(values: Array, labels: Array) -> Array:
    """Of the labels' means, in standard errors; (columns,)."""
    one, zero = values[labels == 1], values[labels == 0]
    if len(one) < 2 or len(zero) < 2:
        return np.zeros(values.shape[1])
    error = np.sqrt(one.var(axis=0) / len(one) + zero.var(axis=0) / len(zero))
    gap = one.mean(axis=0) - zero.mean(axis=0)
    surely = np.where(gap != 0, 1e6, 0.0)
    apart: Array = np.where(error > 0, gap / np.where(error > 0, error, 1.0), surely)
    return apart


def place(finite: Array) -> tuple[Array, Array]:
    """Medians and robust scales; the spread where the quartiles coincide."""
    if finite.shape[1] == 0:
        return np.zeros(0), np.ones(0)
    empty = np.isnan(finite).all(axis=0)
    filled = np.where(empty, 0.0, finite)
    low, centre, high = np.nanquantile(filled, [0.25, 0.5, 0.75], axis=0)
    scale = (high - low) / 1.35
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.nanmean(np.abs(filled - centre), axis=0)
    scale = np.where(scale > 1e-12 * np.abs(centre), scale, spread)
    placed = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0).astype(np.float64)
    middle: Array = centre.astype(np.float64)
    return middle, placed


def _directions(standard: Array) -> Array:
    if standard.shape[1] == 0:
        return np.zeros((0, 0))
    centred = standard - standard.mean(axis=0)
    spread, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    size = np.sqrt(np.maximum(spread, 0.0))
    kept = size > _LEAST_RANK * max(size.max(), 1e-300)
    onto: Array = axes[:, kept] / size[kept]
    return onto


def _flags(values: Array) -> Array:
    """Whether any value is NaN, and whether any is infinite; (n, 2)."""
    strange = [np.isnan(values).any(axis=1), np.isinf(values).any(axis=1)]
    flags: Array = 2.0 * np.stack(strange, axis=1).astype(np.float64)
    return flags


def _zero_bits(values: Array) -> Array:
    """Low bits that are zero, mean over the values, of 52; (n, 1)."""
    if values.shape[1] == 0:
        return np.zeros((len(values), 1))
    bits = np.ascontiguousarray(values).view(np.int64) & ((1 << 52) - 1)
    lowest = np.where(bits == 0, 1 << 52, bits & -bits)
    count = np.log2(lowest.astype(np.float64))
    mean: Array = count.mean(axis=1, keepdims=True) / 4.0
    return mean


def _atoms(values: Array) -> tuple[tuple[int, float], ...]:
    """Values that come up in at least 3 calls and 1 % of them, but not always; the most common."""
    found = []
    for column in range(values.shape[1]):
        distinct, counts = np.unique(values[:, column], return_counts=True)
        if len(distinct) == len(values):
            continue
        for k in np.argsort(-counts, kind="stable")[:_MOST_ATOMS]:
            if max(3, 0.01 * len(values)) <= counts[k] < len(values) and np.isfinite(distinct[k]):
                found.append((int(counts[k]), column, float(distinct[k])))
    found.sort(key=lambda atom: (-atom[0], atom[1:]))
    return tuple((column, value) for _, column, value in found[:_MOST_ATOMS])
