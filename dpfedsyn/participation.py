"""Who takes part in a round, and whose rows go to others when a silo has left.

Participation is public. Nothing here looks at an answer: only at who gave one.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.round_settings import ParticipationSettings, SamplerSettings
from dpfedsyn.sampler import ChainState, keeps_shares, softmax
from dpfedsyn.weights import draw_silos

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def left(
    state: ChainState, settings: ParticipationSettings, sampler_settings: SamplerSettings
) -> Mask:
    """Return which silos (K,) have left: they missed more rounds in a row than `patience`.

    Only where rows remember their silo does one leave, and its rows go to others. It is still asked
    about rows that nobody else could take, and takes part again once it answers; elsewhere a silo
    is asked every round.
    """
    if not keeps_shares(sampler_settings):
        return np.zeros(len(state.missed), dtype=bool)
    gone: Mask = state.missed > settings.patience
    return gone


def needed(silos: int, quorum: float) -> int:
    """Return how many of so many silos a round needs; at least one."""
    return max(1, math.ceil(quorum * silos - 1e-9))


def counted(state: ChainState, asked: Mask, answered: Mask) -> ChainState:
    """Return the state with each silo's rounds missed in a row brought up to date."""
    missed = np.where(answered, 0, state.missed + (asked & ~answered))
    return replace(state, missed=missed)


def hand_over(
    state: ChainState,
    gone: Mask,
    weights: Array,
    settings: SamplerSettings,
    rng: np.random.Generator,
) -> tuple[ChainState, int]:
    """Give the rows of silos that have left to the others, at renormalised weights.

    Args:
        gone: (K,) silos that have left. weights: (K, classes) mixing weights.

    Returns:
        The state, and how many rows changed hands (of path energies: the expected number). A row
        whose label no other silo has stays with its silo, which goes on being asked about it.
    """
    if not gone.any() or not keeps_shares(settings):
        return state, 0
    remaining = np.where(gone[:, None], 0.0, weights)
    totals = remaining.sum(axis=0)
    remaining = np.divide(remaining, totals, out=np.zeros_like(remaining), where=totals > 0.0)
    served = totals[state.labels] > 0.0
    if settings.step == "anchored":
        rows = np.flatnonzero(gone[state.silo] & served)
        if not len(rows):
            return state, 0
        silo = state.silo.copy()
        silo[rows] = draw_silos(remaining, state.labels[rows], rng)
        return replace(state, silo=silo), len(rows)
    return _shared_out(state, gone, weights[:, state.labels], remaining[:, state.labels], settings)


def _shared_out(
    state: ChainState, gone: Mask, prior: Array, remaining: Array, settings: SamplerSettings
) -> tuple[ChainState, int]:
    """Give what silos that have left are responsible for to the others, at their prior weights.

    Not as the others fit the row: a row that a lost silo has shaped fits by accident. In
    expectation every other silo then has w_j / (1 - w_gone), like with anchored rows.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # of weights that are 0
        before = softmax(np.log(prior) - settings.temperature * state.path)
        lost = np.where(remaining.any(axis=0), before[gone].sum(axis=0), 0.0)
        after = np.where(gone[:, None], 0.0, before) + lost * remaining
        path = np.where(after > 0.0, np.log(prior) - np.log(after), np.inf)
    path = np.where(lost > 0.0, path / settings.temperature, state.path)
    return replace(state, path=path), round(float(lost.sum()))
