"""What generated neighbours say of the queries of rows that other layers catch.

A query is its program without noise (`query_of`), declared for the sensitivity that its noise is
for. Where a scale of noise is what is wrong, it is in units of that noise.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from torch import nn

from dpfedsyn.testing import strategies as dps
from tests.corpus import aggregates, federations, ghost_steps, groups
from tests.corpus import opacus_steps as steps
from tests.corpus import sampled_steps as batches
from tests.corpus.case import Passed, Trial
from tests.corpus.checks import Sensitive
from tests.corpus.rows import Array, pairs
from tests.corpus.silent import Silent, query_of

SINGLE = 1.0 + 1e-4  # Opacus computes in single precision
STEP = SINGLE * steps.CLIP / steps.BATCH
EXAMPLES = dps.neighbours(dps.records((3,), bound=100.0), min_size=2)  # features and a target
PLAIN = dps.records((2,), bound=50.0)
FEW = dps.neighbours(PLAIN, min_size=1)
LABELS = arrays(np.float64, (2,), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0]))
FLAGS = arrays(np.float64, (2,), elements=st.sampled_from([0.0, 1.0]))
WIDE = dps.records((4097,), bound=2.0**20)


@st.composite
def people(draw: st.DrawFn) -> tuple[Array, Array]:
    """Rows (user, value) without and with all of one user's, of whom there are up to three."""
    values = st.lists(st.integers(0, 4), min_size=1, max_size=3)
    users = draw(st.lists(values, min_size=1, max_size=4))
    rows = [np.array([[float(k), v] for v in own]) for k, own in enumerate(users)]
    return np.concatenate([np.zeros((0, 2)), *rows[:-1]]), np.concatenate(rows)


def either(program: Any, **settings: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return a program with the bug and without it; settings are (with, without)."""
    broken, fixed = ({name: pair[side] for name, pair in settings.items()} for side in (0, 1))
    return partial(program, **broken), partial(program, **fixed)


def step(program: Any, *, bound: float = STEP, **settings: tuple[Any, Any]) -> Trial:
    """Try a step of Opacus without its noise."""
    broken, fixed = (query_of(one, noise_multiplier=0.0) for one in either(program, **settings))
    return Trial(Sensitive(EXAMPLES, bound, examples=60), broken, fixed)


def query(
    neighbours: Any, bound: float, broken: Any, fixed: Any, *,
    stds: tuple[float, float] = (1.0, 1.0), norm: float = 2, examples: int = 100,
) -> Trial:  # fmt: skip
    """Try a program whose noise comes from its `rng`; stds of noise, with the bug and without."""
    check = Sensitive(neighbours, bound, norm, examples)
    return Trial(check, query_of(broken, std=stds[0]), query_of(fixed, std=stds[1]))


def mean_in_units(data: Array, *, size: Any) -> Any:
    """Return row 20's mean in units of its noise."""
    return aggregates.mean(data, Silent(), size=size) * size(data)


GHOST, REAL = ghost_steps.ghost_step, DPOptimizer
KINDS = (ghost_steps.KeepsGradient, DPOptimizerFastGradientClipping)
LINEAR = (ghost_steps.TextLinear, nn.Linear)
CLOSURES = (steps.PassesClosureOn, REAL)
BY_LAYER = (steps.by_layer, steps.by_layer_shared)
ROOT2 = math.sqrt(2.0)

EXPECTED = either(batches.average, divisor=(batches.expected_batch, lambda _: 2))
ACTUAL = either(batches.average, divisor=(len, lambda _: 3))
OVERFLOW = either(aggregates.many_sums, number=(np.int32, np.float64))
AVERAGED = either(federations.aggregated, clip_first=(False, True))
CONFUSED = either(aggregates.unit_confusion, power=(2, 1))
LOWER = either(aggregates.regression, ends=((0, 0), (0, 1)), share=(1.0, 1.0 / ROOT2))
OCCURRING = either(groups.histogram, public=(False, True))
TWICE = either(groups.statistics_and_model, parts=(1, 2))
EDGES = either(groups.synthetic, public=(False, True))
COUNTS = either(groups.released_count, by_user=(False, True))
STANDARDISED = either(groups.standardised, private=(True, False))
FOUR = either(federations.answers, paid=(1, 4))

CAUGHT: dict[int, tuple[Trial, ...]] = {
    2: (step(steps.with_closure, kind=CLOSURES),),
    3: (step(GHOST, bound=0.1 * STEP, clip=(0.1, 0.1), told=(1.0, None)),),
    4: (step(GHOST, layer=LINEAR, positions=(4, 4)),),
    5: (step(GHOST, kind=KINDS, pieces=(2, 2)),),
    6: (step(steps.step_of, optimizer=BY_LAYER),),
    7: (step(steps.timesteps, as_records=(True, False)),),
    8: (step(steps.two_steps, clear=(False, True)),),
    11: (query(pairs(2), 1 / 2, *EXPECTED),),
    12: (query(FEW, 1 / 3, *ACTUAL),),
    18: (
        query(
            dps.neighbours(WIDE, max_size=2), 1.0, *OVERFLOW,
            stds=(2.0**20, 4097 * 2.0**20), norm=1, examples=30,
        ),
    ),
    29: (query(pairs(2), 1 / 4, *AVERAGED),),
    33: (query(pairs(2), 1.0, *CONFUSED, stds=(0.01, 0.1)),),
    34: (query(FEW, 1.0, *LOWER, stds=(1.0, 9.0 * ROOT2)),),
    35: (query(dps.neighbours(LABELS), 1.0, *OCCURRING),),
    37: (query(pairs(2), 1.0, *TWICE, stds=(1.0, ROOT2)),),
    38: (query(FEW, 1.0, *EDGES),),
    39: (query(people(), 1.0, *COUNTS),),
    46: (query(FEW, 1.0, *STANDARDISED),),
    48: (query(pairs(2), 1.0, *FOUR, stds=(1.0, 2.0)),),
    49: (step(GHOST, column=(True, False)),),
}  # fmt: skip

DROPPED = either(federations.local_dp, uses_result=(False, True))
SPARSE = either(federations.sparse_update, from_zeros=(False, True))
EARLY = either(federations.weak_dp, noise_last=(False, True))
MISSING = either(groups.network_scores, share=(0.0, 1.0))
FILLED = either(groups.explicit_keys, fill_first=(False, True))
HALVED = either(batches.with_noise, query=(aggregates.half_precision, aggregates.exact))
SIZES = either(mean_in_units, size=(len, lambda _: 3))
REPEATED = [either(federations.rounds, noise=(n, federations.fresh)) for n in federations.REPEATED]

NOISE = "the query is right; what is wrong is its noise, of which a sensitivity says nothing"
SMALL = "sums of a few small whole numbers are exact in half precision, up to 2048"
SIZE = "the mean moves by what is declared at either size; what leaks is the size"

PASSED: dict[int, tuple[Passed, ...]] = {
    1: (Passed(step(steps.one_step, kind=(steps.SumForMean, REAL)), NOISE),),
    15: (Passed(query(FEW, 1.0, aggregates.float_sum, aggregates.lattice_sum), NOISE),),
    16: (Passed(query(dps.neighbours(FLAGS, min_size=1), 2.0, *HALVED), SMALL),),
    20: (Passed(Trial(Sensitive(FEW, 1.0), *SIZES), SIZE),),
    30: (Passed(query(dps.neighbours(PLAIN, adjacency="replace"), 2.0, *DROPPED), NOISE),),
    31: (Passed(query(pairs(2), 1.0, *SPARSE), NOISE),),
    32: (Passed(query(FEW, 1.0, *EARLY), NOISE),),
    36: (Passed(query(pairs(2), ROOT2, *MISSING), NOISE),),
    41: (Passed(query(dps.neighbours(LABELS), 1.0, *FILLED), NOISE),),
    47: tuple(Passed(query(pairs(2), math.sqrt(1.25), *both), NOISE) for both in REPEATED),
}  # fmt: skip
