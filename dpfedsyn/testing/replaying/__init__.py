"""Run a program on two neighbours with the same noise, and see what else differs.

In the spirit of Re:cord-play (2602.17454): record on one data set, replay on its neighbour. Noise
is drawn from the same seeds, and where it is added to a value, the replay gets the *recorded* sum.
What is computed from released values alone is then equal on both sides. Nothing in the program is
marked or decorated: numpy's Generator (the `rng` it is given, one it makes, the global functions),
torch's normal draws and `dpfedsyn.lattice` are followed.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from dpfedsyn.testing.replaying.findings import Finding, Kind, Release, Replay
from dpfedsyn.testing.replaying.judging import findings_of, releases_of
from dpfedsyn.testing.replaying.numpy_noise import numpy_on
from dpfedsyn.testing.replaying.tape import Run, Tape

__all__ = ["Finding", "Kind", "Release", "Replay", "replay"]

Program = Callable[[Any, np.random.Generator], Any]


def replay(
    program: Program,
    neighbours: tuple[Any, Any],
    *,
    sensitivity: float | Sequence[float] | None = None,
    norm: float = 2,
    mu: float | None = None,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> Replay:
    """Replay `program` on two neighbours and return what depends on the data without noise.

    Args:
        program: `(data, rng) -> output`; arrays, tensors, numbers, and tuples, mappings and
            dataclasses of them.
        neighbours: two data sets. Draws of sampling are shared by position: put the row that comes
            or goes last.
        sensitivity: declared, for every value that is noised, or one number per value in order.
        norm: 1, 2 or infinity, of `sensitivity`.
        mu: declared Gaussian-DP parameter of the whole program, noise as it is drawn.
        tolerance: relative, for rounding in the program.

    Guarantee:
        Deterministic, and a finding is a fact about this pair and this transcript, with no false
        alarm rate. An empty list is no proof: other pairs, other transcripts and noise that is
        drawn elsewhere (reported where it makes the program unrepeatable) are not seen.

    Raises:
        Exception: the program's own, where it raises the same one on both neighbours.
    """
    first, second = neighbours
    runs = [_run(program, data, Tape(seed)) for data in (first, second)]
    located = frozenset(runs[0].tape.centred | runs[1].tape.centred)
    recorded = _run(program, first, Tape(seed, located)) if located else runs[0]
    again, replayed = (
        _run(program, data, Tape(seed, located, tuple(recorded.tape.sums)))
        for data in (first, second)
    )
    _same_error(recorded, replayed)
    releases = releases_of(recorded.tape.sums, replayed.tape.sums)
    declared = None if sensitivity is None else _declared(sensitivity, len(releases))
    found = findings_of(recorded, again, replayed, releases, declared, norm, mu, tolerance)
    return Replay(tuple(found), tuple(releases))


def _run(program: Program, data: Any, tape: Tape) -> Run:
    with ExitStack() as stack:
        rng = stack.enter_context(numpy_on(tape))
        if "torch" in sys.modules:
            from dpfedsyn.testing.replaying.torch_noise import torch_on

            stack.enter_context(torch_on(tape))
        if "dpfedsyn.lattice" in sys.modules:
            from dpfedsyn.testing.replaying.house_noise import house_on

            stack.enter_context(house_on(tape))
        try:
            return Run(program(copy.deepcopy(data), rng), None, tape)
        except Exception as error:
            return Run(None, error, tape)


def _same_error(one: Run, other: Run) -> None:
    if one.error is not None and repr(one.error) == repr(other.error):
        raise one.error


def _declared(sensitivity: float | Sequence[float], count: int) -> list[float]:
    if isinstance(sensitivity, int | float):
        return [float(sensitivity)] * count
    given = [float(s) for s in sensitivity]
    if len(given) != count:
        raise AssertionError(
            f"The program noised {count} values and {len(given)} sensitivities were declared, so "
            "nothing was compared. Declare one per value in order, or one number for all."
        )
    return given

