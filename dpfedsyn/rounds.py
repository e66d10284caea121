"""Take every pass of a plan over an engine, and say after each round what it cost."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

import numpy as np

from dpfedsyn import server
from dpfedsyn.engine import Engine
from dpfedsyn.envelope import Spent
from dpfedsyn.folder import RoundLog, RunFolder
from dpfedsyn.passes import PassPlan
from dpfedsyn.plan import Plan
from dpfedsyn.plan_table import readings
from dpfedsyn.progress import Progress
from dpfedsyn.sampler import ChainState
from dpfedsyn.server import PassResult, RoundInfo
from dpfedsyn.weights import TargetMixture

RECENT = 10  # rounds from whose seconds the time to come is told


def sample(
    plan: Plan,
    engine: Engine,
    spent: Callable[[], Mapping[str, Spent]],
    mixed: TargetMixture,
    folder: RunFolder,
    progress: Progress,
) -> dict[str, PassResult]:
    """Take every pass of the plan; a refusal ends the run, with what there is until then.

    Args:
        spent: what each silo's ledger has spent on answers; asked after every round.
    """
    results = {}
    for part in plan.passes:
        results[part.name] = take(plan, part, engine, spent, mixed, folder, progress)
        if results[part.name].refusal is not None:
            break
    return results


def take(
    plan: Plan,
    part: PassPlan,
    engine: Engine,
    spent: Callable[[], Mapping[str, Spent]],
    mixed: TargetMixture,
    folder: RunFolder,
    progress: Progress,
) -> PassResult:
    """Take one pass, of the plan or after it, from its checkpoint if there is one.

    Args:
        spent: what each silo's ledger has spent on answers; asked after every round.
    """
    progress.stage(f"sample {part.name} ({part.settings.kernel})", len(part.kernels))
    state = server.begin(
        part.settings,
        mixed,
        first_round=part.first_round,
        rows=part.rows,
        dimension=plan.dimension,
    )
    return server.run_pass(
        _pass(plan, part, state),
        engine,
        mixed,
        state=state,
        saved=folder.saved(part.name),
        on_round=_round_writer(plan, part, spent, RoundLog(folder.path / "rounds.jsonl"), progress),
    )


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
        clip=plan.config.answers.clip,
        energy_bound=plan.config.answers.energy_bound,
        participation=plan.config.participation,
    )


def _round_writer(
    plan: Plan,
    part: PassPlan,
    spent: Callable[[], Mapping[str, Spent]],
    log: RoundLog,
    progress: Progress,
) -> Callable[[int, RoundInfo], None]:
    """Return what happens after a round: epsilon in all three readings, logged and shown."""
    began, taken = time.perf_counter(), deque[float](maxlen=RECENT)
    later = sum(len(p.kernels) for p in plan.passes if p.first_round > part.first_round)

    def after(number: int, info: RoundInfo) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds, began = now - began, now
        taken.append(seconds)
        record = {
            "pass": part.name,
            "sampler": part.settings.kernel,
            "round": number,
            "of": len(part.kernels),
            "seconds": seconds,
            "left": fmean(taken) * (len(part.kernels) - number + later),
            "injected": info.step.injected,
            "responsibilities": list(info.step.responsibilities),
            "asked": dict(info.asked),
            "answered": list(info.answered),
            "missing": dict(info.missing),
            "received": dict(info.received),
            "unanswered": info.step.unanswered,
            "handed_over": info.handed_over,
            "silos": {name: _readings(plan, name, own) for name, own in spent().items()},
        }
        log.append(record)
        progress.round(record)

    return after


def _readings(plan: Plan, name: str, spent: Spent) -> dict[str, Any]:
    """Return one silo's readings at what its ledger has spent on answers so far."""
    budget, mu2 = plan.budgets[name], spent.answers_mu2
    if budget.record_mu is not None:
        mu2 = spent.record_mu2 or 0.0
    shown = readings(plan, name, record=budget.record_claim(mu2), silo_mu2=spent.answers_mu2)
    return {**shown, "answers_mu": float(np.sqrt(mu2))}
