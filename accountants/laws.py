"""One step's privacy loss moved onto a lattice: from above, and from below.

Both are measures on nodes `offset + j spacing`. Replacing each step's law by its upper (lower) one
can only raise (lower) delta(epsilon) = E_P (1 - e^(epsilon - L))_+ of the composition: lemmas 5
and 6 of LATTICE.md.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants.cells import UNIT, Cells, cells
from accountants.steps import Step

Array = NDArray[np.float64]

_MANY = 64  # repetitions from which on a step's error is worth a finer choice of its cells
_ON_NODE = 1e-9  # share of the spacing by which a loss may round up to its node; taken off again


@dataclass(frozen=True, eq=False)
class Law:
    """P-masses of the nodes low, low + 1, ...; the loss at node j is `offset + j spacing`."""

    low: int
    mass: Array
    offset: float
    infinite: float


def upper_law(step: Step, direction: int, spacing: float, low: int, high: int) -> Law:
    """Each cell's mass split between its two ends so that the mean of e^-L is kept.

    Guarantee:
        The composition's delta is at most that of the composed laws (connect the dots). What lies
        above the highest node has an infinite loss, what lies below the lowest the lowest node's.
    """
    found = cells(step, direction, np.arange(low, high + 1, dtype=np.float64) * spacing, up=True)
    mass = _up(found.mass + found.mass_error)
    raised = _up((found.excess + found.excess_error) / -math.expm1(-spacing))
    raised = np.clip(raised, 0.0, mass)
    nodes = np.zeros(mass.size + 1)
    nodes[:-1] += _up(mass - raised) + 2 * UNIT * mass
    nodes[1:] += raised
    nodes[0] += found.below * (1 + 1e-9)
    error = 4 * UNIT * spacing * max(abs(low), abs(high))  # of j * spacing in floats
    infinite = (found.above * (1 + 1e-9) + found.infinite) * (1 + 8 * UNIT)
    return Law(low, _up(nodes), found.slack + error, infinite)


def lower_law(
    step: Step, direction: int, spacing: float, low: int, high: int, tilt: float, count: int
) -> Law:
    """Each cell as one answer, its loss moved down to a node.

    Cells lie around the nodes. Any cells are valid; for a step that runs often their ends are moved
    so that the losses come out just above one common offset from the nodes, which is then chosen
    to lose least under the tilt.

    Guarantee:
        The composition's delta is at least that of the composed laws (post-processing; a loss
        that falls lowers delta). Mass below the cells is lost.
    """
    edges: Array = (np.arange(low, high + 2, dtype=np.float64) - 0.5) * spacing
    nodes = np.arange(low, high + 1, dtype=np.float64) * spacing
    found = cells(step, direction, edges, up=False)
    for move in (_recentred, _recentred, _raised, _raised) if count >= _MANY else ():
        off = np.clip(_binned(found, edges) - nodes, -spacing / 4, spacing / 4)
        edges = move(edges, np.where(found.mass > 0, off, 0.0))
        found = cells(step, direction, edges, up=False)
    error = 4 * UNIT * spacing * (max(abs(low), abs(high)) + 1)
    losses = _down_to(_binned(found, edges), found.slack + error)
    mass = _down(found.mass - found.mass_error)
    top = found.above * (1 - 1e-9)
    losses, mass = np.append(losses, found.top - error), np.append(mass, top)
    offset = _least_loss_offset(losses, mass, spacing, tilt)
    at = np.floor((losses - offset) / spacing + _ON_NODE).astype(np.int64)
    start = int(at[mass > 0].min(initial=high))
    kept = mass > 0
    summed = np.zeros(int(at[kept].max(initial=start)) - start + 1)
    np.add.at(summed, at[kept] - start, mass[kept])
    return Law(start, _down(summed * (1 - mass.size * UNIT)),
               offset - 2 * _ON_NODE * spacing - error, found.infinite)  # fmt: skip


def _binned(found: Cells, edges: Array) -> Array:
    """log(P/Q) of each cell, at most; a cell without mass has its lower end's."""
    most = found.mass + found.mass_error
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(most > 0, (found.excess - found.excess_error) / most, 0.0)
    result: Array = edges[:-1] - np.log1p(-np.clip(share, 0.0, 1 - 1e-12))
    return result


def _recentred(edges: Array, off: Array) -> Array:
    """Inner edges moved against the mean excursion of the cells beside them."""
    return _moved(edges, -(off[1:] + off[:-1]) / 2)


def _raised(edges: Array, off: Array) -> Array:
    """Inner edges moved up where a cell beside them fell short: short by little costs a spacing."""
    short = np.maximum(-off, 0.0)
    return _moved(edges, 1.25 * np.maximum(short[1:], short[:-1]))


def _moved(edges: Array, change: Array) -> Array:
    result = edges.copy()
    result[1:-1] += change
    ordered: Array = np.maximum.accumulate(result)
    return ordered


def _least_loss_offset(losses: Array, mass: Array, spacing: float, tilt: float) -> float:
    """The offset that lowers the tilted mean loss least; it puts some cell exactly on a node."""
    height = tilt * losses + np.log(np.maximum(mass, 1e-320))
    weight = np.exp(np.maximum(height - height.max(), -700.0))
    rest = losses - np.rint(losses / spacing) * spacing
    order = np.argsort(rest, kind="stable")
    rest, weight = rest[order], weight[order]
    before = np.concatenate([[0.0], np.cumsum(weight)[:-1]])
    # with offset rest_i, cells with a smaller rest fall by one spacing more
    cost = spacing * before - rest * weight.sum()
    return float(rest[int(np.argmin(cost))])


def _up(value: Array) -> Array:
    """Moved up by more than the rounding of the few operations that gave it."""
    return value * (1 + 8 * UNIT)


def _down(value: Array) -> Array:
    """Moved down likewise, at least 0."""
    return np.maximum(value, 0.0) * (1 - 8 * UNIT)


def _down_to(losses: Array, error: float) -> Array:
    """Losses less what they may be off by."""
    return losses - error - 4 * UNIT * np.abs(losses)
