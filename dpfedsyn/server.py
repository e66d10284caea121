"""The server: noisy samples in hand, it asks every silo, combines the answers and takes a step.

It sees no data, no model and no ledger, only privatised answers and public settings; its own
randomness is public (a seed), so nothing here has to be kept secret or trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import checkpoint, participation, sampler, weights
from dpfedsyn.diffusion import Kernel
from dpfedsyn.engine import Engine
from dpfedsyn.errors import BudgetExhausted, SiloUnavailable
from dpfedsyn.fitting import require_fit
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.round_settings import ParticipationSettings, SamplerSettings
from dpfedsyn.sampler import ChainState, RoundAnswers, StepInfo
from dpfedsyn.schedule import AnswerNoise
from dpfedsyn.weights import TargetMixture

EVERYBODY = ParticipationSettings(quorum=1.0)
"""Every silo has to answer every round."""


@dataclass(frozen=True)
class Pass:
    """One sampling pass over all rounds: public, fixed before it starts.

    Attributes:
        first_round: number of the run's rounds before this pass (rounds count over all passes).
        kernels: one per round. noise: per silo, one per round, for the rows that it is asked about
            at the beginning; asked about more of them, it adds more, so that the cost stays.
        clip, energy_bound: C and B, which every silo's answers have to name.
    """

    name: str
    run: str
    first_round: int
    settings: SamplerSettings
    kernels: tuple[Kernel, ...]
    noise: Mapping[str, tuple[AnswerNoise, ...]]
    clip: float
    energy_bound: float
    participation: ParticipationSettings = EVERYBODY


@dataclass(frozen=True)
class RoundInfo:
    """What a round did, and who took part.

    Attributes:
        step: what the step did. asked: rows that each silo was asked about.
        answered: who answered in time. missing: of the others, why they did not.
        received: bytes of the arrays in each answer.
        handed_over: rows that changed hands before the round, since their silo has left.
    """

    step: StepInfo
    asked: Mapping[str, int]
    answered: tuple[str, ...]
    missing: Mapping[str, str]
    received: Mapping[str, int]
    handed_over: int


@dataclass(frozen=True)
class PassResult:
    """The state after the last round, and the refusal that ended the pass early, if one did."""

    state: ChainState
    refusal: str | None

    @property
    def samples(self) -> NDArray[np.float32]:
        """The finished samples; after a refusal the clean samples predicted in the last round."""
        return self.state.x if self.refusal is None else self.state.clean


def begin(
    settings: SamplerSettings,
    mixture: TargetMixture,
    *,
    first_round: int,
    rows: int,
    dimension: int,
) -> ChainState:
    """Draw labels, each row's anchored silo, and x_T: public randomness, round 0 of a pass."""
    rng = randomness(settings.seed, first_round, 0)
    labels = weights.draw_labels(mixture, rows, rng)
    prior = weights.prior(mixture, settings.prior)
    silo = weights.draw_silos(prior, labels, rng)
    state = sampler.start(rows, dimension, len(mixture.weights), labels, rng)
    return replace(state, silo=silo)


def randomness(seed: int, first_round: int, round_number: int) -> np.random.Generator:
    """Return the generator of one round: a function of the public seed, the pass and the round.

    Nothing of it has to be kept in a checkpoint, and a round that is taken again is the same.
    """
    entropy = np.random.SeedSequence([seed, first_round, round_number])
    return np.random.Generator(np.random.Philox(entropy))


def run_pass(
    plan: Pass,
    engine: Engine,
    mixture: TargetMixture,
    *,
    state: ChainState,
    saved: Path,
    on_round: Callable[[int, RoundInfo], None] = lambda number, info: None,
) -> PassResult:
    """Take all rounds of a pass, from the last checkpoint if there is one.

    Args:
        state: the state before round 1. saved: the checkpoint file, written after every round.
        on_round: told each round's number (from 1) and what it did, before the round is saved; a
            round that is taken again is told again.

    A round that was asked but not saved is asked again: the queries are equal bit for bit, so the
    silos send the same bytes again at no cost. A silo's refusal ends the pass cleanly.

    Raises:
        SiloUnavailable: too few silos answered, however often the round was asked.
    """
    planned = [len(rows) for rows in rows_of(plan.settings, state)]
    arrays = checkpoint.load(saved)
    state = _from_arrays(arrays) if arrays else state
    while state.round_number < len(plan.kernels):
        try:
            state, info = _round(plan, engine, mixture, state, planned)
        except BudgetExhausted as refusal:
            number = state.round_number + 1
            return PassResult(
                state,
                f"round {number} of pass {plan.name} was refused, and silos that answered it were "
                f"charged for it. {refusal}",
            )
        on_round(state.round_number, info)
        checkpoint.save(saved, _to_arrays(state))
    return PassResult(state, None)


def _round(
    plan: Pass, engine: Engine, mixture: TargetMixture, state: ChainState, planned: Sequence[int]
) -> tuple[ChainState, RoundInfo]:
    """Hand over what silos have left behind, ask, and take one step."""
    rng = randomness(plan.settings.seed, plan.first_round, state.round_number + 1)
    names, prior = engine.members(), weights.prior(mixture, plan.settings.prior)
    gone = participation.left(state, plan.participation, plan.settings)
    state, handed_over = participation.hand_over(state, gone, prior, plan.settings, rng)
    rows = rows_of(plan.settings, state, gone)
    queries = {
        name: _query(plan, state, name, own, first)
        for name, own, first in zip(names, rows, planned, strict=True)
        if len(own)
    }
    away = sum(has_left and name not in queries for name, has_left in zip(names, gone, strict=True))
    replies, missing = ask(plan, engine, queries, state, away)
    answers = _gather(plan, state, names, rows, replies)
    kernel = plan.kernels[state.round_number]
    after, step = sampler.step(state, answers, kernel, prior[:, state.labels], plan.settings, rng)
    asked = np.array([name in queries for name in names])
    after = participation.counted(after, asked, answers.present)
    rows_asked = {name: len(query.x) for name, query in queries.items()}
    received = {name: reply.payload for name, reply in replies.items()}
    return after, RoundInfo(step, rows_asked, tuple(replies), missing, received, handed_over)


def ask(
    plan: Pass, engine: Engine, queries: Mapping[str, ScoreQuery], state: ChainState, away: int
) -> tuple[dict[str, PrivateAnswer], dict[str, str]]:
    """Ask until the quorum has answered; silos that have answered are not asked again.

    Args:
        away: how many silos have left and are not asked; they count as missing. A silo that is
            not asked because it never had a row does not.

    Returns:
        The answers, and why the others gave none.

    Raises:
        SiloUnavailable: too few have answered. ProtocolMismatch: an answer does not fit its query.
    """
    members, rule = engine.members(), plan.participation
    wanted = participation.needed(len(members), rule.quorum)
    replies: dict[str, PrivateAnswer] = {}
    for _ in range(rule.attempts):
        replies |= engine.ask({name: q for name, q in queries.items() if name not in replies})
        missing = sorted(set(queries) - set(replies))
        why = {name: engine.why().get(name, "it gave no answer") for name in missing}
        if replies and len(members) - away - len(missing) >= wanted:
            for name, reply in replies.items():
                require_fit(name, queries[name], reply, plan.clip, plan.energy_bound)
            return {name: replies[name] for name in queries if name in replies}, why
    raise SiloUnavailable(
        f"{', '.join(missing)}: no answer in round "
        f"{state.round_number + 1} of pass {plan.name}, asked {rule.attempts} times "
        f"({'; '.join(f'{name}: {told}' for name, told in why.items())}). "
        f"{len(members) - away - len(missing)} of {len(members)} silos took part, and "
        f"participation.quorum = {rule.quorum:g} needs {wanted}; the samples stay where they are. "
        "Start the silos again and continue with --resume."
    )


def _gather(
    plan: Pass,
    state: ChainState,
    names: Sequence[str],
    rows: Sequence[NDArray[np.int64]],
    replies: Mapping[str, PrivateAnswer],
) -> RoundAnswers:
    """Put what the silos released into one place each."""
    noise = np.zeros((len(names), *state.x.shape))
    energies = np.zeros(noise.shape[:2])
    stds = np.zeros(len(names))
    for k, (name, own) in enumerate(zip(names, rows, strict=True)):
        if name in replies:
            noise[k, own] = replies[name].noise
            stds[k] = replies[name].score_std
            if replies[name].energies is not None:
                energies[k, own] = replies[name].energies
    released = plan.settings.energy == "released"
    answered = np.array([name in replies for name in names])
    return RoundAnswers(noise, energies if released else None, stds, answered)


def rows_of(
    settings: SamplerSettings, state: ChainState, gone: NDArray[np.bool_] | None = None
) -> list[NDArray[np.int64]]:
    """Return the rows that each silo is shown: its own where they are anchored, else all.

    A silo that has left is shown those alone that are still its.
    """
    silos, everything = range(len(state.missed)), np.arange(len(state.x))
    if settings.step == "anchored":
        return [np.flatnonzero(state.silo == k) for k in silos]
    if gone is None or not gone.any():
        return [everything for _ in silos]
    return [np.flatnonzero(np.isfinite(state.path[k])) if gone[k] else everything for k in silos]


def _query(
    plan: Pass, state: ChainState, name: str, rows: NDArray[np.int64], planned: int
) -> ScoreQuery:
    noise = plan.noise[name][state.round_number]
    # N rows are N questions: those that a silo takes over are paid for by more noise on all.
    more = max(1.0, math.sqrt(len(rows) / max(planned, 1)))
    return ScoreQuery(
        run=plan.run,
        round_number=plan.first_round + state.round_number + 1,
        t=plan.kernels[state.round_number].t,
        x=np.ascontiguousarray(state.x[rows]),
        labels=np.ascontiguousarray(state.labels[rows]),
        score_std=more * noise.score_std,
        energy_std=None if noise.energy_std is None else more * noise.energy_std,
    )


def _to_arrays(state: ChainState) -> dict[str, NDArray[Any]]:
    return {field.name: np.asarray(getattr(state, field.name)) for field in fields(ChainState)}


def _from_arrays(arrays: Mapping[str, NDArray[Any]]) -> ChainState:
    values: dict[str, Any] = {field.name: arrays[field.name] for field in fields(ChainState)}
    return ChainState(**{**values, "round_number": int(arrays["round_number"])})
