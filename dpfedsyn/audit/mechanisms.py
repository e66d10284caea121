"""The mechanisms themselves, at a run's public settings: fixed inputs, fresh keys, exact tests.

No record and no key of a silo is used: the keys are drawn from a public seed, so that an audit that
is repeated says the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from accountants import Gaussian, PoissonSampled
from accountants.rows import Header
from dpfedsyn import passes, schedule
from dpfedsyn.audit import laws
from dpfedsyn.audit.evidence import Evidence
from dpfedsyn.audit.findings import WHOLE_RUN, Measured
from dpfedsyn.dpsgd.optimizer import PublicRateOptimizer
from dpfedsyn.lattice import COARSE
from dpfedsyn.noise import Keystream
from dpfedsyn.schedule import AnswerNoise
from dpfedsyn.sums import privatise, sums_lattice

Array = NDArray[np.float64]
Points = NDArray[np.int64]

ROWS, DRAWS = 32, 2**18  # of a fixed question; of noise for one setting
CONSEQUENCE = "Every answer, sum or step of this program protects less than it is charged for."
MEND = "Correct the program; runs that it made have to be counted at the noise that they drew."


def tested(evidence: Evidence, seed: int) -> list[Measured]:
    """Return the tests of answers, sums and DP-SGD steps at the settings of a run.

    Guarantee:
        Answers are asked at the least and at the most noise of the run, on predictions that reach
        into every part of the clipping ball; what is tested is the output less the fixed input.
    """
    found = []
    for noise in _extremes(evidence):
        found.append(_answers(evidence, noise, seed))
    headers = [silo.header for silo in evidence.silos.values()]
    for kind, multiplier in sorted(_multipliers(headers)):
        found.append(_sums(evidence, kind, multiplier, seed))
    for multiplier in sorted({m for header in headers for m in _steps(header)}):
        found.append(_step(evidence, multiplier, seed))
    return found


def _extremes(evidence: Evidence) -> list[AnswerNoise]:
    """The least and the most noise of each pass, asked all of its rows."""
    config, found = evidence.config, []
    for part in evidence.passes:
        noise = schedule.calibrate(
            part.settings,
            config.answers,
            mu=passes.planned_mu(config) * math.sqrt(part.share),
            rows=part.rows,
        )
        ordered = sorted(noise, key=lambda each: each.score_std)
        found += [ordered[0], ordered[-1]]
    return list(dict.fromkeys(found))


def _answers(evidence: Evidence, noise: AnswerNoise, seed: int) -> Measured:
    mechanism, dimension = passes.mechanism(evidence.config), evidence.dimension
    lattice = mechanism.lattice(noise.score_std, noise.energy_std)
    predictions, inside = _inputs(mechanism.parts, dimension, mechanism.clip,
                                  lattice.scores.spacing, seed)  # fmt: skip
    halves = np.full((mechanism.parts, ROWS), 0.5 * mechanism.energy_bound)
    scores: list[Points] = []
    energies: list[Points] = []
    for call in range(max(4, DRAWS // (ROWS * dimension))):
        points, energy_points = mechanism.release(
            predictions, halves, lattice=lattice, key=_key(seed, f"release {noise}", call)
        )
        scores.append(points - inside)
        if energy_points is not None:
            energies.append(energy_points)
    drawn = np.concatenate(scores)
    p_values = laws.gaussian(drawn.astype(np.float64), COARSE)
    first = np.stack(scores[: 2 * (len(scores) // 2)]).astype(np.float64)
    p_values["calls"] = laws.inner(first[0::2].ravel(), first[1::2], COARSE)
    p_values["repeats"], _ = laws.repeats(scores, COARSE)
    if energies:
        flat = np.concatenate(energies).astype(np.float64)
        p_values["energies' mean"] = laws.inner(flat, np.ones(flat.size), COARSE)
        p_values["energies' variance"] = laws.variance(flat, COARSE)
        p_values["energies' law"] = laws.law(flat, COARSE)
        p_values["energies and scores"] = laws.inner(flat, drawn[:, 0].astype(np.float64), COARSE)
    return Measured(
        "answer mechanism",
        WHOLE_RUN,
        f"the noise of {len(scores)} answers at std {noise.score_std:.4g} ({drawn.size} draws)",
        p_values,
        CONSEQUENCE,
        MEND,
        {"draws": drawn.size, "score_std": noise.score_std, "energy_std": noise.energy_std},
    )


def _inputs(
    parts: int, dimension: int, clip: float, spacing: float, seed: int
) -> tuple[Array, Points]:
    """Return predictions (M, N, d), and the sums (N, d) that the mechanism must make of them.

    They lie in the middle of cells, within the ball, so that truncation is plain; one row is zero.
    """
    directions = Keystream(_key(seed, "inputs", 0)).normal((parts, ROWS, dimension))
    norms = np.sqrt(np.square(directions).sum(axis=2, keepdims=True))
    lengths = np.linspace(0.0, 0.9 * clip, ROWS)[None, :, None]
    points = np.trunc(directions / norms * lengths / spacing)
    return (points + 0.5 * np.sign(points)) * spacing, points.sum(axis=0).astype(np.int64)


def _multipliers(headers: list[Header]) -> set[tuple[str, float]]:
    return {
        (planned.kind, planned.event.noise_multiplier)
        for header in headers
        for planned in header.planned
        if isinstance(planned.event, Gaussian)
    }


def _sums(evidence: Evidence, kind: str, multiplier: float, seed: int) -> Measured:
    own = sums_lattice(multiplier)
    std = multiplier / own.spacing
    fixed = np.arange(64, dtype=np.int64) * int(1.0 / own.spacing)
    calls = [
        privatise(fixed, own, _key(seed, f"{kind} {multiplier}", call)) - fixed
        for call in range(DRAWS // 8 // 64)
    ]
    drawn = np.stack(calls).astype(np.float64)
    p_values = laws.gaussian(drawn, std)
    p_values["repeats"], _ = laws.repeats(calls, std)
    return Measured(
        f"{kind} mechanism",
        WHOLE_RUN,
        f"the noise of {len(calls)} sums at multiplier {multiplier:.4g} ({drawn.size} draws)",
        p_values,
        CONSEQUENCE,
        MEND,
        {"draws": drawn.size, "noise_multiplier": multiplier},
    )


def _steps(header: Header) -> Iterator[float]:
    for planned in header.planned:
        match planned.event:
            case PoissonSampled(Gaussian(multiplier), _):
                yield multiplier


def _step(evidence: Evidence, multiplier: float, seed: int) -> Measured:
    """Steps on an empty batch: what the optimizer puts into a gradient is noise alone."""
    clip, divisor, calls = evidence.config.train.clip, 16.0, 16
    parameter = torch.nn.Parameter(torch.zeros(DRAWS // 4 // calls))
    optimizer = PublicRateOptimizer(
        torch.optim.SGD([parameter], lr=0.0),
        noise_multiplier=multiplier,
        clip=clip,
        expected_batch_size=divisor,
    )
    noise = []
    for call in range(calls):
        optimizer.use(Keystream(_key(seed, f"step {multiplier}", call)))
        optimizer.zero_grad(set_to_none=True)
        setattr(parameter, "grad_sample", torch.zeros((0, parameter.numel())))  # noqa: B010
        optimizer.step()
        assert parameter.grad is not None
        noise.append(parameter.grad.numpy().astype(np.float64) * divisor)
    # In units in which the std is 1024, as on a lattice: half a unit is more than float32 rounds.
    drawn = np.stack(noise) * (COARSE / (multiplier * clip))
    return Measured(
        "DP-SGD step",
        WHOLE_RUN,
        f"the noise of {calls} steps at multiplier {multiplier:.4g} ({drawn.size} draws)",
        laws.gaussian(drawn, COARSE),
        CONSEQUENCE,
        MEND,
        {"draws": drawn.size, "noise_multiplier": multiplier},
    )


def _key(seed: int, use: str, call: int) -> bytes:
    return hashlib.sha256(f"audit/{seed}/{use}/{call}".encode()).digest()
