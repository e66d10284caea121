"""Queries that the kept replies answered, found again from the server's checkpoint.

A checkpoint holds the samples after its last round and the clean samples predicted in it. The
first are the next round's query, bit for bit: a silo has answered it where another one refused. The
second give the last round's query back, x = sqrt(a) clean + sqrt(1 - a) (combined answer), but for
the rounding of a float32. Earlier queries are not kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import sampler, weights
from dpfedsyn.audit.evidence import Evidence
from dpfedsyn.audit.kept import KeptAnswer
from dpfedsyn.audit.models import mixture
from dpfedsyn.passes import PassPlan
from dpfedsyn.sampler import ChainState, RoundAnswers

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Query:
    """The query of one kept answer.

    Attributes:
        rows: places in the answer whose x is known. x: (len(rows), d). exact: to the last bit.
    """

    silo: str
    released: KeptAnswer
    rows: NDArray[np.int64]
    x: Array
    labels: NDArray[np.int64]
    signal: float
    exact: bool


def found_again(evidence: Evidence, kept: Mapping[str, list[KeptAnswer]]) -> list[Query]:
    """Return the queries of kept answers that the checkpoints still tell."""
    queries: list[Query] = []
    for part in evidence.passes:
        if part.name in evidence.states:
            arrays = evidence.states[part.name]
            state = ChainState(**{**arrays, "round_number": int(arrays["round_number"])})
            # A late answer was charged, but no part of the step that the checkpoint tells.
            answered = _answered(evidence, part, state.round_number)
            last = _in_round(part, state.round_number, kept)
            queries += _last(evidence, part, state, {n: last[n] for n in last if n in answered})
            queries += _next(evidence, part, state, _in_round(part, state.round_number + 1, kept))
    return queries


def _in_round(
    part: PassPlan, number: int, kept: Mapping[str, list[KeptAnswer]]
) -> dict[str, KeptAnswer]:
    wanted = part.first_round + number
    if not 1 <= number <= len(part.kernels):
        return {}
    found = {n: [one for one in own if one.charge.round == wanted] for n, own in kept.items()}
    # Asked twice with other content, only one answer went into the step, and it is not known which.
    return {name: own[0] for name, own in found.items() if len(own) == 1}


def _answered(evidence: Evidence, part: PassPlan, number: int) -> set[str]:
    """Who answered in a round, by the log."""
    wanted = (part.name, number)
    return {n for r in evidence.log if (r["pass"], r["round"]) == wanted for n in r["answered"]}


def _next(
    evidence: Evidence, part: PassPlan, state: ChainState, kept: Mapping[str, KeptAnswer]
) -> Iterator[Query]:
    for name, one in kept.items():
        rows = _rows(evidence, part, state, name)
        if len(rows) == len(one.answer.points):
            signal = part.kernels[state.round_number].signal
            x, labels = state.x[rows].astype(np.float64), state.labels[rows]
            yield Query(name, one, np.arange(len(rows)), x, labels, signal, exact=True)


def _last(
    evidence: Evidence, part: PassPlan, state: ChainState, kept: Mapping[str, KeptAnswer]
) -> Iterator[Query]:
    combined = _combined(evidence, part, state, kept)
    if combined is None:
        return
    noise, known = combined
    signal = part.kernels[state.round_number - 1].signal
    before = math.sqrt(signal) * state.clean.astype(np.float64) + math.sqrt(1.0 - signal) * noise
    x = before.astype(np.float32).astype(np.float64)
    for name, one in kept.items():
        rows = _rows(evidence, part, state, name)
        if len(rows) == len(one.answer.points):
            places = np.flatnonzero(known[rows])
            of = rows[places]
            yield Query(name, one, places, x[of], state.labels[of], signal, exact=False)


def _combined(
    evidence: Evidence, part: PassPlan, state: ChainState, kept: Mapping[str, KeptAnswer]
) -> tuple[Array, NDArray[np.bool_]] | None:
    """Return the combined answer (N, d) of the last round, and the rows where it is known (N,)."""
    names, settings = [silo.name for silo in evidence.config.silos], part.settings
    answers = _arranged(evidence, part, state, kept)
    if settings.step == "anchored":
        places = np.arange(len(state.x))
        return answers.noise[state.silo, places], answers.present[state.silo]
    mixed, answered = mixture(evidence), _answered(evidence, part, state.round_number)
    if mixed is None or answered != set(kept) or sampler.keeps_shares(settings):
        return None
    if settings.step != "blend":
        return None
    prior = weights.prior(mixed, settings.prior)[:, state.labels]
    there = np.array([name in answered for name in names])
    prior = np.where(there[:, None], prior, 0.0)
    used = sampler.responsibilities(state, answers, prior, settings)
    return np.einsum("kn,knd->nd", used, answers.noise), used.sum(axis=0) > 0.0


def _arranged(
    evidence: Evidence, part: PassPlan, state: ChainState, kept: Mapping[str, KeptAnswer]
) -> RoundAnswers:
    names = [silo.name for silo in evidence.config.silos]
    noise = np.zeros((len(names), *state.x.shape))
    energies, stds = np.zeros(noise.shape[:2]), np.zeros(len(names))
    answered = np.zeros(len(names), dtype=bool)
    for k, name in enumerate(names):
        rows = _rows(evidence, part, state, name)
        if name in kept and len(rows) == len(kept[name].answer.points):
            answer = kept[name].answer
            noise[k, rows], stds[k], answered[k] = answer.noise, answer.score_std, True
            if answer.energies is not None:
                energies[k, rows] = answer.energies
    shown = energies if part.settings.energy == "released" else None
    return RoundAnswers(noise, shown, stds, answered)


def _rows(evidence: Evidence, part: PassPlan, state: ChainState, name: str) -> NDArray[np.int64]:
    place = [silo.name for silo in evidence.config.silos].index(name)
    if part.settings.step == "anchored":
        return np.flatnonzero(state.silo == place)
    return np.arange(len(state.x))
