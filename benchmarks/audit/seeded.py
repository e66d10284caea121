"""Mechanisms with one bug each, and correct ones: what an audit must catch and must let pass.

All release the clipped sum of eight-dimensional records with Gaussian noise, or mean to, and claim
to be 1/2-GDP: clip norm 1, noise multiplier 2. The bugs are those of real systems; each comes with
the neighbours on which it shows, so that the test is measured and not the search for neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants import Adjacency, Event, Gaussian, PoissonSampled

Array = NDArray[np.float64]
Mechanism = Callable[[Array, int, np.random.Generator], Array]

DIMENSION, CLIP, MULTIPLIER, RATE = 8, 1.0, 2.0, 0.1
CLAIM = Gaussian(MULTIPLIER)
FIRST = np.eye(DIMENSION)[0]
ONES = np.ones(DIMENSION)


@dataclass(frozen=True)
class Seeded:
    """A mechanism `(data, n, rng) -> (n, d)`, what it claims and where it is to be tried.

    Attributes:
        neighbours: (without, with) the record, or (before, after) an exchange.
        buggy: whether the claim is false on these neighbours.
    """

    name: str
    mechanism: Mechanism
    neighbours: tuple[Array, Array]
    claim: Event
    adjacency: Adjacency
    buggy: bool


def clipped(records: Array, norm: float = CLIP) -> Array:
    """Scale the rows down to `norm`."""
    lengths = np.linalg.norm(records, axis=-1, keepdims=True)
    shorter: Array = records * np.minimum(1.0, norm / np.maximum(lengths, 1e-12))
    return shorter


def total(rows: Array) -> Array:
    """Sum over records."""
    result: Array = rows.sum(axis=0)
    return result


def added(record: Array) -> tuple[Array, Array]:
    """Return a public-looking base of five records, without and with `record`."""
    base = np.zeros((5, DIMENSION))
    base[:, 1] = 0.3
    return base, np.vstack([base, record])


def exchanged(record: Array) -> tuple[Array, Array]:
    """Return neighbours in which `record` becomes its opposite."""
    base = added(record)[0]
    return np.vstack([base, -record]), np.vstack([base, record])


def normal(rng: np.random.Generator, calls: int, width: int = DIMENSION) -> Array:
    """Draw noise of the claimed standard deviation, (calls, width)."""
    drawn: Array = MULTIPLIER * CLIP * rng.standard_normal((calls, width))
    return drawn


def scaled_noise(factor: float) -> Mechanism:
    """Return the Gaussian mechanism with `factor` times the claimed noise; 1 is correct."""
    return lambda data, n, rng: total(clipped(data)) + factor * normal(rng, n)


def unclipped(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Forget the clipping."""
    return total(data) + normal(rng, n)


def clipped_after_mean(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Clip the mean instead of the records, and divide the noise by their number."""
    return clipped(data.mean(0)) + normal(rng, n) / len(data)


def clipped_by_coordinate(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Clip each coordinate to the norm: the record keeps sqrt(d) times it."""
    return total(np.clip(data, -CLIP, CLIP)) + normal(rng, n)


def clipped_by_layer(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Clip each of two layers to the whole norm: the record keeps sqrt(2) times it."""
    layers = np.split(data, 2, axis=1)
    return total(np.hstack([clipped(layer) for layer in layers])) + normal(rng, n)


def clipped_along_wrong_axis(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Take the norms of columns for those of rows."""
    return total(clipped(data.T).T) + normal(rng, n)


def counted_twice(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Have every record twice in the sum: the unit is a group of two."""
    return 2.0 * total(clipped(data)) + normal(rng, n)


def one_draw_for_all(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Broadcast one draw over all coordinates: their differences are exact."""
    return total(clipped(data)) + normal(rng, n, 1)


def noise_kept(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Answer two rounds with the same noise: their difference is exact."""
    signal, noise = total(clipped(data))[:4], np.sqrt(2.0) * normal(rng, n, 4)
    return np.hstack([signal + noise, 0.5 * signal + noise])


def seed_kept(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Seed the noise with a constant: it is the same in every call."""
    answer = total(clipped(data)) + normal(np.random.default_rng(0), 1)
    return np.repeat(answer, n, axis=0)


def four_for_one(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Answer four times and pay once."""
    signal = total(clipped(data))[:2]
    return np.hstack([signal + normal(rng, n, 2) for _ in range(4)])


def averaged_over_batch(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Divide by the number of records that came, which is private."""
    return (total(clipped(data)) + normal(rng, n)) / len(data)


def energy_unclipped(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Release the sum of squared norms, which nothing bounds."""
    return float((data**2).sum()) + normal(rng, n, 1)


def half_unnoised(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Forget the noise in half of the coordinates."""
    noise = normal(rng, n)
    noise[:, : DIMENSION // 2] = 0.0
    return total(clipped(data)) + noise


def uniform_noise(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Draw uniform noise of the claimed standard deviation: its ends tell all."""
    reach = np.sqrt(3.0) * MULTIPLIER * CLIP
    return total(clipped(data)) + rng.uniform(-reach, reach, (n, DIMENSION))


def truncated_noise(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Cut the noise off at two standard deviations: its ends tell all."""
    reach = 2.0 * MULTIPLIER * CLIP
    return total(clipped(data)) + np.clip(normal(rng, n), -reach, reach)


def absorbed_in_float32(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Add the noise to a large float32, whose spacing of 64 swallows it but not the signal."""
    offset = np.float32(1e9)
    signal = offset + (512.0 * total(clipped(data))).astype(np.float32)
    return ((signal + normal(rng, n).astype(np.float32)) - offset).astype(np.float64)


def count_beside(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Send the exact number of records along as metadata."""
    answers = total(clipped(data)) + normal(rng, n)
    return np.hstack([answers, np.full((n, 1), float(len(data)))])


def noise_scaled_to_data(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Calibrate the noise to the largest norm that is there, not to one that may be."""
    largest = float(np.linalg.norm(data, axis=1).max())
    return total(data) + largest * normal(rng, n)


def poisson_sampled(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Sum a Poisson sample of the records."""
    joined = rng.random((n, len(data))) < RATE
    sums: Array = joined @ clipped(data)
    return sums + normal(rng, n)


def rounded(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Round the private answer."""
    return np.round(scaled_noise(1.0)(data, n, rng), 1)


def positive_part(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Release what of the private answer is positive."""
    return np.maximum(0.0, scaled_noise(1.0)(data, n, rng))


def signs(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Release the private answer's signs."""
    return np.sign(scaled_noise(1.0)(data, n, rng))


def four_paid_for(data: Array, n: int, rng: np.random.Generator) -> Array:
    """Answer four times with twice the noise: sqrt(4) times the loss of each."""
    signal = total(clipped(data))[:2]
    return np.hstack([signal + 2.0 * normal(rng, n, 2) for _ in range(4)])


def _buggy(
    name: str,
    mechanism: Mechanism,
    neighbours: tuple[Array, Array],
    claim: Event = CLAIM,
    adjacency: Adjacency = Adjacency.ADD_OR_REMOVE,
) -> Seeded:
    return Seeded(name, mechanism, neighbours, claim, adjacency, buggy=True)


def _correct(
    name: str,
    mechanism: Mechanism,
    neighbours: tuple[Array, Array] = added(FIRST),
    claim: Event = CLAIM,
) -> Seeded:
    return Seeded(name, mechanism, neighbours, claim, Adjacency.ADD_OR_REMOVE, buggy=False)


SAMPLED = PoissonSampled(CLAIM, RATE)
_BY_LAYER = 10.0 * (np.eye(DIMENSION)[0] + np.eye(DIMENSION)[DIMENSION // 2])
_BATCH_OF_ONE = (added(FIRST)[0][:1], np.vstack([added(FIRST)[0][:1], np.zeros(DIMENSION)]))

BUGGY: tuple[Seeded, ...] = (
    _buggy("half noise", scaled_noise(0.5), added(FIRST)),
    _buggy("noise x 0.8", scaled_noise(0.8), added(FIRST)),
    _buggy("deviation for variance", scaled_noise(MULTIPLIER**-0.5), added(FIRST)),
    _buggy("factor 2 of replace", scaled_noise(1.0), exchanged(FIRST), CLAIM, Adjacency.REPLACE),
    _buggy("no clipping", unclipped, added(10.0 * FIRST)),
    _buggy("clipping after the mean", clipped_after_mean, added(50.0 * FIRST)),
    _buggy("clipping by coordinate", clipped_by_coordinate, added(10.0 * ONES)),
    _buggy("clipping by layer", clipped_by_layer, added(_BY_LAYER)),
    _buggy("clipping along the wrong axis", clipped_along_wrong_axis, added(20.0 * ONES)),
    _buggy("records counted twice", counted_twice, added(FIRST)),
    _buggy("one draw for all coordinates", one_draw_for_all, added(FIRST)),
    _buggy("noise kept for two rounds", noise_kept, added(FIRST)),
    _buggy("constant seed", seed_kept, added(FIRST)),
    _buggy("four answers for one", four_for_one, added(FIRST)),
    _buggy("average over the actual batch", averaged_over_batch, _BATCH_OF_ONE),
    _buggy("NaN passes", scaled_noise(1.0), added(np.full(DIMENSION, np.nan))),
    _buggy("energy unclipped", energy_unclipped, added(4.0 * FIRST)),
    _buggy("half of the coordinates unnoised", half_unnoised, added(FIRST)),
    _buggy("uniform noise", uniform_noise, added(FIRST)),
    _buggy("noise cut off at 2 deviations", truncated_noise, added(FIRST)),
    _buggy("noise lost in float32", absorbed_in_float32, added(FIRST)),
    _buggy("exact count beside", count_beside, added(FIRST)),
    _buggy("sampling claimed, not done", scaled_noise(1.0), added(FIRST), SAMPLED),
    _buggy("noise scaled to the data", noise_scaled_to_data, added(3.0 * FIRST)),
)

CORRECT: tuple[Seeded, ...] = (
    _correct("Gaussian", scaled_noise(1.0)),
    _correct("rounded", rounded),
    _correct("twice the noise", scaled_noise(2.0)),
    _correct("positive part", positive_part),
    _correct("signs", signs),
    _correct("four answers, paid for", four_paid_for),
    _correct("huge record", scaled_noise(1.0), added(1e6 * ONES)),
    _correct("Poisson sampled", poisson_sampled, claim=SAMPLED),
)
