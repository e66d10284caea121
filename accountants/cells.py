"""Masses of one step's privacy loss between given edges, in closed form and with error bounds.

Most pairs are mixtures of shifted unit Gaussians, P = w_0 N(0, 1) + sum_i w_i N(c_i, 1), against
Q = N(0, 1) ("remove"; "add" exchanges them). u(z) = P/Q (z) grows with z, so a cell of losses is an
interval of z. The interval's ends are floats and therefore exact; what is off by rounding is the
loss at them, which is measured and reported as `slack`. Masses are differences of tails on the
small side; `excess` = P-mass - e^edge Q-mass is formed per component, where nothing of size 1
cancels. Lemma numbers refer to LATTICE.md.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, erfcx, ndtr

from accountants.events import ApproximateDP, Laplace
from accountants.mixture import Mixture, loss, mixture, position
from accountants.steps import ADD, REMOVE, Glued, Step

Array = NDArray[np.float64]

UNIT = 2.0**-52
_TINY = 1e-300  # stands for what underflow took


@dataclass(frozen=True, eq=False)
class Cells:
    """The loss L of one step between edges x_0 < ... < x_M, under P.

    mass: (M,) P(x_j < L <= x_{j+1}). excess: (M,) mass - e^(x_j) Q(same cell), so that the mean of
    e^(x_j - L) in the cell is 1 - excess/mass. mass_error, excess_error: (M,) bounds of their
    errors. slack: how far a loss may lie outside its cell. below, above: P(L <= x_0) and
    P(x_M < L < infinity), each good to `error` relative. top: a loss that all of `above` exceeds.
    infinite: P(L = infinity), exact.
    """

    mass: Array
    mass_error: Array
    excess: Array
    excess_error: Array
    slack: float
    below: float
    above: float
    top: float
    infinite: float = 0.0


def cells(step: Step, direction: int, edges: Array, *, up: bool = True) -> Cells:
    """The step's cells between ascending `edges`; a `Glued` step needs 0 strictly inside them.

    `up`: where a parameter is rounded, more privacy loss (else less) is meant.
    """
    match step:
        case Laplace(noise_multiplier):
            return _laplace(1.0 / noise_multiplier, edges)
        case ApproximateDP(reach, chance):
            high = (1.0 - chance) / (1.0 + math.exp(-min(reach, 700.0)))
            low = (1.0 - chance) / (1.0 + math.exp(min(reach, 700.0)))
            empty = _empty(edges, infinite=chance)
            return _with_atoms(empty, edges, ((reach, high), (-reach, low)))
        case Glued(rate, sigma):
            return _glued(mixture(step, up=up), rate, sigma, edges)
    return _gaussians(mixture(step, up=up), direction, edges)


def _gaussians(pair: Mixture, direction: int, edges: Array) -> Cells:
    """Lemma 2: the mixture's cells, one direction."""
    if pair.rest == 0.0 and len(pair.shifts) == 1:
        direction = REMOVE  # one Gaussian against another looks the same from both
    z = position(pair, edges if direction == REMOVE else -edges[::-1])
    log_u, loss_error, share = loss(pair, z)
    plain, plain_error = _normal(z, 0.0)
    if direction == REMOVE:
        mass, mass_error = pair.rest * plain, pair.rest * plain_error
        excess, excess_error = np.zeros_like(plain), np.zeros_like(plain)
        for weight, shift in zip(pair.weights, pair.shifts, strict=True):
            part, part_error = _normal(z, shift)
            scaled, scaled_error = _scaled(z, shift, plain, plain_error)
            mass = mass + weight * part
            mass_error = mass_error + weight * part_error
            excess = excess + weight * (part - scaled)
            excess_error = excess_error + weight * (part_error + scaled_error)
        excess_error = excess_error + (pair.error + 4 * UNIT) * mass
        mass_error = mass_error + (pair.error + 4 * UNIT) * mass
        left, right = log_u[:-1], log_u[1:]
        below, above = _tails(pair, z)
    else:
        mass, mass_error = plain, plain_error + 2 * UNIT * plain
        excess, excess_error = np.zeros_like(plain), np.zeros_like(plain)
        for i, (weight, shift) in enumerate(zip(pair.weights, pair.shifts, strict=True)):
            part, part_error = _normal(z, shift)
            with np.errstate(under="ignore"):
                scale = np.exp(math.log(weight) - log_u[1:])
            gain, cost = share[i, 1:] * plain, scale * part
            excess = excess + (gain - cost)
            fixed = 8 + pair.error / UNIT - 4 * math.log(weight)
            size = fixed + 4 * np.abs(log_u[1:]) + 4 * shift * (np.abs(z[1:]) + shift)
            excess_error = excess_error + share[i, 1:] * plain_error + scale * part_error
            excess_error = excess_error + UNIT * size * (gain + cost)
        mass, mass_error = mass[::-1], mass_error[::-1]
        excess, excess_error = excess[::-1], excess_error[::-1]
        log_u, loss_error = -log_u[::-1], loss_error[::-1]
        left, right = log_u[:-1], log_u[1:]
        below, above = float(ndtr(-z[-1])), float(ndtr(z[0]))
        z = z[::-1]
    moved = np.diff(z) != 0
    over = np.where(moved, np.maximum(right - edges[1:], 0.0) + loss_error[1:], 0.0)
    slack = float(
        max(over.max(initial=0.0), np.where(moved, loss_error[:-1], 0.0).max(initial=0.0))
    )
    found = _from_edge(mass, mass_error, excess, excess_error, left - edges[:-1], slack)
    top = min(float(edges[-1]), float(right[-1])) - float(loss_error[-1])
    return Cells(*found, slack, below + _TINY, above, top)


def _from_edge(
    mass: Array, mass_error: Array, excess: Array, excess_error: Array, rise: Array, slack: float
) -> tuple[Array, Array, Array, Array]:
    """Excess over an edge that lies `rise` below the one it was computed for."""
    rise = np.maximum(rise, -1.0)  # lower only where a cell is empty
    with np.errstate(under="ignore"):
        kept, lost = np.exp(-rise), -np.expm1(-rise)
        moved = kept * excess + lost * mass
        error = kept * excess_error + np.abs(lost) * mass_error
        error = error + (4 * UNIT + 2 * slack) * mass + 4 * UNIT * np.abs(excess) + _TINY
    return mass, mass_error + _TINY, moved, error


def _glued(pair: Mixture, rate: float, sigma: float, edges: Array) -> Cells:
    """Lemma 3: `remove` above 0, `add` below, and the rest of the mass at 0."""
    high, low = np.maximum(edges, 0.0), np.minimum(edges, 0.0)
    above, below = _gaussians(pair, REMOVE, high), _gaussians(pair, ADD, low)
    slack = max(above.slack, below.slack)
    rise = high[:-1] - edges[:-1]
    _, mass_error, excess, excess_error = _from_edge(
        above.mass, above.mass_error, above.excess, above.excess_error, rise, 0.0
    )
    both = Cells(
        above.mass + below.mass, mass_error + below.mass_error, excess + below.excess,
        excess_error + below.excess_error, slack, below.below, above.above, above.top,
    )  # fmt: skip
    middle = (1.0 - rate) * float(erf(1.0 / sigma / math.sqrt(8.0)))
    return _with_atoms(both, edges, ((0.0, middle),))


def _laplace(reach: float, edges: Array) -> Cells:
    """Lemma 4: between atoms at -reach and reach, P has density e^(-(reach - x)/2) / 4."""
    inside = np.clip(edges, -reach, reach)
    width = np.diff(inside)
    with np.errstate(under="ignore"):
        share = -np.expm1(-width / 2)
        mass = np.exp((inside[1:] - reach) / 2) / 2 * share
        least = float(np.exp(-reach)) / 2
        below = float(np.exp((inside[0] - reach) / 2) / 2 * -np.expm1(-(inside[0] + reach) / 2))
        above = float(-np.expm1((inside[-1] - reach) / 2)) / 2
    error = (8 + 4 * reach) * UNIT * mass
    excess = mass * share
    slack = 4 * UNIT * reach
    found = _from_edge(mass, error, excess, error * share, inside[:-1] - edges[:-1], slack)
    between = Cells(*found, slack, below + _TINY, above, float(edges[-1]) - slack)
    return _with_atoms(between, edges, ((reach, 0.5), (-reach, least)))


def _empty(edges: Array, infinite: float) -> Cells:
    zero = np.zeros(edges.size - 1)
    return Cells(zero, zero, zero, zero, 0.0, _TINY, 0.0, float(edges[-1]), infinite)


def _with_atoms(found: Cells, edges: Array, atoms: tuple[tuple[float, float], ...]) -> Cells:
    """`found` and point masses (loss, mass); those outside the edges count as below or above."""
    mass, mass_error = found.mass.copy(), found.mass_error.copy()
    excess, excess_error = found.excess.copy(), found.excess_error.copy()
    below, above = found.below, found.above
    for at, size in atoms:
        j = int(np.searchsorted(edges, at, side="left")) - 1
        if j < 0:
            below += size
        elif j >= mass.size:
            above += size
        else:
            gain = -size * math.expm1(float(edges[j]) - at)
            error = (8 + 2 * abs(at)) * UNIT * size + _TINY
            mass[j] += size
            mass_error[j] += error
            excess[j] += gain
            excess_error[j] += error + 4 * found.slack * size
    return Cells(
        mass, mass_error, excess, excess_error, found.slack, below, above, found.top, found.infinite
    )


def _normal(z: Array, shift: float) -> tuple[Array, Array]:
    """Masses of N(shift, 1) between the z, and a bound of their errors."""
    at = z - shift
    tail = ndtr(-np.abs(at))
    error = _relative(z, shift) * tail
    left, right = tail[:-1], tail[1:]
    across = 1.0 - left - right
    mass = np.where(at[1:] <= 0, right - left, np.where(at[:-1] >= 0, left - right, across))
    mass = np.where(z[1:] > z[:-1], np.maximum(mass, 0.0), 0.0)
    return mass, np.where(z[1:] > z[:-1], error[:-1] + error[1:] + 2 * UNIT * mass, 0.0)


def _relative(z: Array, shift: float) -> Array:
    """Of a tail at z - shift: the function's own error, and that of its argument."""
    at = np.abs(z - shift)
    bound: Array = UNIT * (10 + 2 * at * at + 2 * (at + 1) * (np.abs(z) + 2 * shift))
    return bound


def _scaled(z: Array, shift: float, plain: Array, plain_error: Array) -> tuple[Array, Array]:
    """e^(y_j) times the mass of N(0, 1) between z_j and z_{j+1}, y = shift z - shift^2 / 2.

    Right of 0 by e^y Phi(-z) = phi(z - shift) M(z), M Mills' ratio: no large number is formed.
    """
    with np.errstate(under="ignore", over="ignore"):
        mills = erfcx(np.maximum(z, 0.0) * math.sqrt(0.5)) * 0.5
        tail = np.exp(-0.5 * (z - shift) ** 2) * mills
        drop = np.exp(-shift * np.diff(z)) * tail[1:]
        error = _relative(z, shift)
        growth = shift * z[:-1] - shift * shift / 2
        direct = np.exp(np.minimum(growth, 0.0))
    far = z[:-1] >= 0
    value = np.where(far, np.maximum(tail[:-1] - drop, 0.0), direct * plain)
    size = UNIT * (8 + 4 * shift * (np.abs(z[:-1]) + shift))
    far_error = error[:-1] * tail[:-1] + (error[1:] + 4 * UNIT * shift * np.diff(z)) * drop
    bound = np.where(far, far_error, direct * (plain_error + size * plain))
    empty = np.diff(z) == 0
    return np.where(empty, 0.0, value), np.where(empty, 0.0, bound)


def _tails(pair: Mixture, z: Array) -> tuple[float, float]:
    """P below the first z and above the last."""
    below, above = pair.rest * float(ndtr(z[0])), pair.rest * float(ndtr(-z[-1]))
    for weight, shift in zip(pair.weights, pair.shifts, strict=True):
        below += weight * float(ndtr(z[0] - shift))
        above += weight * float(ndtr(shift - z[-1]))
    return below, above
