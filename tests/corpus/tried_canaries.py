"""Canaries for rows that other layers catch: crafted records through the steps with the bug."""

from __future__ import annotations

from typing import Any

from accountants import Adjacency, Repeated
from tests.corpus import federations, generators, groups
from tests.corpus import opacus_steps as steps
from tests.corpus import sampled_steps as batches
from tests.corpus.case import Passed, Trial
from tests.corpus.checks import Crafted
from tests.corpus.ghost_steps import SHORT
from tests.corpus.opacus_steps import PAIR
from tests.corpus.rows import added, replaced
from tests.corpus.tried_properties import (
    ACTUAL,
    AVERAGED,
    CLOSURES,
    CONFUSED,
    DROPPED,
    EARLY,
    EXPECTED,
    GHOST,
    KINDS,
    LINEAR,
    SPARSE,
    either,
)

FAR = added((40.0, 30.0))
AGAINST, AGAINST_ONE = added((0.0, -40.0)), added((0.0, -40.0), ((0.0, 40.0),))
SENT = replaced((-9.0, 0.0), (9.0, 0.0), ((0.0, 0.1),))
FEW = added((40.0, 30.0), ((0.0, 0.3),))
# PAIR's record has features (30, 10): its gradient points away from them, and from a bias of 1.
STEP, GHOST_STEP = Crafted(PAIR, (-30.0, -10.0)), Crafted(PAIR, (-30.0, -10.0, -1.0))
TWO_STEPS = Crafted(PAIR, (-30.0, -10.0), max_calls=1_200, slow=True)
WEIGHTS = Crafted(PAIR, (30.0, 10.0))  # they go against the gradient
BIAS = Crafted(SHORT, (0.0, 0.0, -1.0))
TEN = Repeated(batches.SAMPLED, batches.STEPS)
ZEROED = Crafted(batches.ZEROED, (1.0,), TEN, Adjacency.ZERO_OUT, 4_000)
RARE = Crafted(batches.RARE, (1.0,), TEN, Adjacency.ZERO_OUT, 4_000)
ALONG_TWO = (0.0, 1.0)


def of_query(query: Any, **settings: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return a query's release with the bug and without it."""
    return either(batches.with_noise, query=either(query, **settings))


STOPPING = either(groups.early_stopping, private=(True, False))
RESEEDED = either(federations.rounds, noise=(federations.reseeded, federations.fresh))

CAUGHT: dict[int, tuple[Trial, ...]] = {
    2: (Trial(WEIGHTS, *either(steps.with_closure, kind=CLOSURES)),),
    3: (Trial(GHOST_STEP, *either(GHOST, clip=(0.1, 0.1), told=(1.0, None))),),
    4: (Trial(BIAS, *either(GHOST, layer=LINEAR, positions=(4, 4))),),
    5: (Trial(GHOST_STEP, *either(GHOST, kind=KINDS, pieces=(2, 2))),),
    7: (Trial(STEP, *either(steps.timesteps, as_records=(True, False))),),
    8: (Trial(TWO_STEPS, *either(steps.two_steps, clear=(False, True))),),
    10: (Trial(RARE, *either(batches.balanced, weighted=(True, False))),),
    11: (Trial(Crafted(AGAINST, ALONG_TWO, max_calls=4_000), *EXPECTED),),
    12: (Trial(Crafted(AGAINST_ONE, ALONG_TWO, max_calls=4_000), *ACTUAL),),
    13: (Trial(Crafted(batches.HALVES), *of_query(batches.microbatches, size=(2, 1))),),
    14: (Trial(Crafted(batches.MIXED), *of_query(batches.gradients, batch_norm=(True, False))),),
    27: (Trial(ZEROED, *either(batches.local_steps, batches=(10, 1))),),
    29: (Trial(Crafted(FAR), *AVERAGED),),
    30: (Trial(Crafted(SENT, adjacency=Adjacency.REPLACE), *DROPPED),),
    31: (Trial(Crafted(FAR, (4.0, 3.0), max_calls=20_000), *SPARSE),),
    32: (Trial(Crafted(FEW, max_calls=4_000), *EARLY),),
    33: (Trial(Crafted(FAR), *CONFUSED),),
    46: (Trial(Crafted(FAR, max_calls=4_000), *STOPPING),),
    47: (Trial(Crafted(FAR), *RESEEDED),),
    49: (Trial(GHOST_STEP, *either(GHOST, column=(True, False))),),
}  # fmt: skip

SUMMED = "along the sum of ten batches one sure one is within what ten sampled ones may be"
RIGHT_LAW = "noise of a known seed has the law that it should have"

PASSED: dict[int, tuple[Passed, ...]] = {
    9: (Passed(Trial(ZEROED, *either(batches.epoch, shuffled=(True, False))), SUMMED),),
    43: (Passed(Trial(Crafted(FAR), generators.seeded_noise, generators.secret_noise), RIGHT_LAW),),
}  # fmt: skip
