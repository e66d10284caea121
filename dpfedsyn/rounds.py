"""Take every pass of a plan over the local engine, and say after each round what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dpfedsyn import server, service
from dpfedsyn.engine import Engine
from dpfedsyn.engine.absence import WithAbsences
from dpfedsyn.engine.asking import Asking
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.federation import Member
from dpfedsyn.folder import RoundLog, RunFolder
from dpfedsyn.plan import PassPlan, Plan
from dpfedsyn.plan_table import readings
from dpfedsyn.progress import Progress
from dpfedsyn.sampler import ChainState
from dpfedsyn.server import PassResult, RoundInfo
from dpfedsyn.weights import Mixture


def sample(
    plan: Plan,
    members: Mapping[str, Member],
    mixed: Mixture,
    folder: RunFolder,
    progress: Progress,
) -> dict[str, PassResult]:
    """Take every pass of the plan; a refusal ends the run, with what there is until then."""
    handlers = {name: service.of(member.silo) for name, member in members.items()}
    settings = plan.config.participation
    with LocalTransport(handlers) as transport:
        engine = WithAbsences(Asking(transport, settings.timeout or None), settings)
        return _passes(plan, members, mixed, engine, folder, progress)


def _passes(
    plan: Plan,
    members: Mapping[str, Member],
    mixed: Mixture,
    engine: Engine,
    folder: RunFolder,
    progress: Progress,
) -> dict[str, PassResult]:
    log, results = RoundLog(folder.path / "rounds.jsonl"), {}
    for part in plan.passes:
        progress.stage(f"sample {part.name} ({part.settings.kernel})", len(part.kernels))
        state = server.begin(
            part.settings,
            mixed,
            first_round=part.first_round,
            rows=plan.config.answers.rows,
            dimension=plan.dimension,
        )
        results[part.name] = server.run_pass(
            _pass(plan, part, state),
            engine,
            mixed,
            state=state,
            saved=folder.saved(part.name),
            on_round=_round_writer(plan, part, members, log, progress),
        )
        if results[part.name].refusal is not None:
            break
    return results


def _pass(plan: Plan, part: PassPlan, state: ChainState) -> server.Pass:
    """Fix a pass: each silo's noise follows from the rows that it will be asked."""
    rows = zip(plan.config.silos, server.rows_of(part.settings, state), strict=True)
    return server.Pass(
        name=part.name,
        run=plan.config.name,
        first_round=part.first_round,
        settings=part.settings,
        kernels=part.kernels,
        noise={silo.name: plan.noise(part, len(own)) for silo, own in rows},
        participation=plan.config.participation,
    )


def _round_writer(
    plan: Plan,
    part: PassPlan,
    members: Mapping[str, Member],
    log: RoundLog,
    progress: Progress,
) -> Callable[[int, RoundInfo], None]:
    """Return what happens after a round: epsilon in all three readings, logged and shown."""
    began = time.perf_counter()

    def after(number: int, info: RoundInfo) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds, began = now - began, now
        record = {
            "pass": part.name,
            "sampler": part.settings.kernel,
            "round": number,
            "of": len(part.kernels),
            "seconds": seconds,
            "injected": info.step.injected,
            "responsibilities": list(info.step.responsibilities),
            "asked": dict(info.asked),
            "answered": list(info.answered),
            "received": dict(info.received),
            "unanswered": info.step.unanswered,
            "handed_over": info.handed_over,
            "silos": {name: _spent(plan, name, member) for name, member in members.items()},
        }
        log.append(record)
        progress.round(record)

    return after


def _spent(plan: Plan, name: str, member: Member) -> dict[str, Any]:
    """Return one silo's readings at what its ledger says was spent on answers so far."""
    totals, budget = member.silo.ledger.totals(), plan.budgets[name]
    spent = totals.answers_mu2 if budget.record_mu is None else totals.record_mu2 or 0.0
    record = budget.record_claim(spent)
    shown = readings(plan, name, record=record, silo_mu2=totals.answers_mu2)
    return {**shown, "answers_mu": float(np.sqrt(spent))}
