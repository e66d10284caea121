"""Who takes part in a round, and whose rows go to others when a silo has left.

Participation is public. Nothing here looks at an answer: only at who gave one.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.sampler import ChainState, keeps_shares, softmax
from dpfedsyn.settings import ParticipationSettings, SamplerSettings
from dpfedsyn.weights import draw_silos

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def left(
    state: ChainState, settings: ParticipationSettings, sampler_settings: SamplerSettings
) -> Mask:
    """Return which silos (K,) have left the pass: they missed more rounds in a row than `patience`.

    Only where rows remember their silo does one leave; elsewhere it is asked again every round and
    takes part again as soon as it answers.
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
        whose label no other silo has stays where it is and follows its last clean estimate.
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
    return _without_past(state, gone, weights[:, state.labels], served, settings.temperature)


def _without_past(
    state: ChainState, gone: Mask, prior: Array, served: Mask, temperature: float
) -> tuple[ChainState, int]:
    """Take the silos that have left out of the path energies of all rows that others can serve.

    A row that was certain to be one of theirs knows nothing of the others: it starts anew.
    """
    lost = np.isfinite(state.path[gone]).any(axis=0) & served
    if not lost.any():
        return state, 0
    with np.errstate(divide="ignore"):
        before = softmax(np.log(prior) - temperature * state.path)
    path = np.where(gone[:, None] & lost, np.inf, state.path)
    others = (prior > 0.0) & ~gone[:, None]
    anew = lost & ~(np.isfinite(path) & others).any(axis=0)
    path = np.where(anew & others, 0.0, path)
    return replace(state, path=path), round(float(before[gone][:, lost].sum()))
