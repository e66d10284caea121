"""The server: noisy samples in hand, it asks every silo, combines the answers and takes a step.

It sees no data, no model and no ledger, only privatised answers and public settings; its own
randomness is public (a seed), so nothing here has to be kept secret or trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import checkpoint, sampler, weights
from dpfedsyn.diffusion import Kernel
from dpfedsyn.errors import BudgetExhausted, ProtocolMismatch, SiloUnavailable
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.sampler import ChainState, RoundAnswers, StepInfo
from dpfedsyn.schedule import AnswerNoise
from dpfedsyn.settings import SamplerSettings
from dpfedsyn.weights import Mixture


class Engine(Protocol):
    """What carries messages; the local engine is one."""

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        ...

    def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
        """Deliver each silo's query and return the answers."""
        ...


@dataclass(frozen=True)
class Pass:
    """One sampling pass over all rounds: public, fixed before it starts.

    Attributes:
        first_round: number of the run's rounds before this pass (rounds count over all passes).
        kernels: one per round. noise: per silo, one per round.
    """

    name: str
    run: str
    first_round: int
    settings: SamplerSettings
    kernels: tuple[Kernel, ...]
    noise: Mapping[str, tuple[AnswerNoise, ...]]


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
    settings: SamplerSettings, mixture: Mixture, *, first_round: int, rows: int, dimension: int
) -> ChainState:
    """Draw labels, each row's anchored silo, and x_T: public randomness, round 0 of a pass."""
    rng = randomness(settings.seed, first_round, 0)
    labels = weights.draw_labels(mixture, rows, rng)
    prior = weights.prior(mixture, settings.prior)
    silo = weights.draw_silos(prior, labels, rng)
    state = sampler.start(rows, dimension, len(mixture.weights), labels, rng)
    return ChainState(0, state.x, labels, state.path, silo, state.clean)


def randomness(seed: int, first_round: int, round_number: int) -> np.random.Generator:
    """Return the generator of one round: a function of the public seed, the pass and the round.

    Nothing of it has to be kept in a checkpoint, and a round that is taken again is the same.
    """
    entropy = np.random.SeedSequence([seed, first_round, round_number])
    return np.random.Generator(np.random.Philox(entropy))


def run_pass(
    plan: Pass,
    engine: Engine,
    mixture: Mixture,
    *,
    state: ChainState,
    saved: Path,
    on_round: Callable[[int, StepInfo], None] = lambda number, info: None,
) -> PassResult:
    """Take all rounds of a pass, from the last checkpoint if there is one.

    Args:
        state: the state before round 1. saved: the checkpoint file, written after every round.
        on_round: told each round's number (from 1) and what it did, before the round is saved; a
            round that is taken again is told again.

    A round that was asked but not saved is asked again: the queries are equal bit for bit, so the
    silos send the same bytes again at no cost. A silo's refusal ends the pass cleanly.
    """
    arrays = checkpoint.load(saved)
    state = _from_arrays(arrays) if arrays else state
    prior = weights.prior(mixture, plan.settings.prior)[:, state.labels]
    while state.round_number < len(plan.kernels):
        try:
            answers = ask(plan, engine, state)
        except BudgetExhausted as refusal:
            number = state.round_number + 1
            return PassResult(
                state,
                f"round {number} of pass {plan.name} was refused, and silos that answered it were "
                f"charged for it. {refusal}",
            )
        rng = randomness(plan.settings.seed, plan.first_round, state.round_number + 1)
        kernel = plan.kernels[state.round_number]
        state, info = sampler.step(state, answers, kernel, prior, plan.settings, rng)
        on_round(state.round_number, info)
        checkpoint.save(saved, _to_arrays(state))
    return PassResult(state, None)


def ask(plan: Pass, engine: Engine, state: ChainState) -> RoundAnswers:
    """Ask the silos about the current samples and gather what they release.

    Anchored samples are shown to their own silo only; otherwise every silo is asked about all.
    """
    members = engine.members()
    asked = list(_asked_rows(plan, state, members))
    queries = {name: _query(plan, state, name, rows) for name, rows in asked if len(rows)}
    replies = engine.ask(queries)
    missing = sorted(set(queries) - set(replies))
    if missing:
        raise SiloUnavailable(
            f"{', '.join(missing)}: no answer in round {state.round_number + 1}; the samples stay "
            "where they are. Start the silo again and continue with --resume."
        )
    for name, query in queries.items():
        _check(query, replies[name])
    noise = np.zeros((len(members), *state.x.shape))
    energies = np.zeros(noise.shape[:2])
    stds = np.zeros(len(members))
    for k, (name, rows) in enumerate(asked):
        if name in queries:
            noise[k, rows] = replies[name].noise
            stds[k] = replies[name].score_std
            if replies[name].energies is not None:
                energies[k, rows] = replies[name].energies
    released = plan.settings.energy == "released"
    return RoundAnswers(noise, energies if released else None, stds)


def _check(query: ScoreQuery, answer: PrivateAnswer) -> None:
    """Refuse an answer that is not one to this query; nothing is broadcast or filled up."""
    public = ("round_number", "t", "score_std", "energy_std")
    wrong = [name for name in public if getattr(answer, name) != getattr(query, name)]
    wrong += ["noise"] if answer.noise.shape != query.x.shape else []
    expected = None if query.energy_std is None else query.labels.shape
    given = None if answer.energies is None else answer.energies.shape
    wrong += ["energies"] if given != expected else []
    finite = np.isfinite(answer.noise).all() and (
        answer.energies is None or np.isfinite(answer.energies).all()
    )
    wrong += [] if finite else ["values that are not finite"]
    if wrong:
        raise ProtocolMismatch(
            f"{answer.silo}: its answer in round {query.round_number} does not fit the query "
            f"({', '.join(wrong)}); it was not used. Let all silos run the server's version."
        )


def _asked_rows(
    plan: Pass, state: ChainState, members: tuple[str, ...]
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    everything = np.arange(len(state.x))
    for k, name in enumerate(members):
        anchored = plan.settings.step == "anchored"
        yield name, np.flatnonzero(state.silo == k) if anchored else everything


def _query(plan: Pass, state: ChainState, name: str, rows: NDArray[np.int64]) -> ScoreQuery:
    noise = plan.noise[name][state.round_number]
    return ScoreQuery(
        run=plan.run,
        round_number=plan.first_round + state.round_number + 1,
        t=plan.kernels[state.round_number].t,
        x=np.ascontiguousarray(state.x[rows]),
        labels=np.ascontiguousarray(state.labels[rows]),
        score_std=noise.score_std,
        energy_std=noise.energy_std,
    )


def _to_arrays(state: ChainState) -> dict[str, NDArray[Any]]:
    return {field.name: np.asarray(getattr(state, field.name)) for field in fields(ChainState)}


def _from_arrays(arrays: Mapping[str, NDArray[Any]]) -> ChainState:
    values: dict[str, Any] = {field.name: arrays[field.name] for field in fields(ChainState)}
    return ChainState(**{**values, "round_number": int(arrays["round_number"])})
