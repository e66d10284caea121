"""READ FIRST: one run from records to report, every stage in its order.

data        read_records     each silo's rows, split by keyed hash
train       federation       counts, moments, DP-SGD; charged to the silo's ledger
answer      Silo.answer      clip, noise, charge, commit, reply
sample      run_pass         the server's rounds over the engine
statement   statement.make   what is claimed, from the ledgers' rows
evaluate    evaluate         internal, on held-out records
report      report.write     one HTML file from the run folder (the command line does this)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpfedsyn import evaluation, server, statement
from dpfedsyn import folder as folders
from dpfedsyn import plan as planning
from dpfedsyn.baselines import MeanModel
from dpfedsyn.encoding import Encoder
from dpfedsyn.engine.local import LocalEngine
from dpfedsyn.federation import Member, Parts, federation, mixture, read_records
from dpfedsyn.folder import COMPLETE, PARTIAL, RoundLog, RunFolder
from dpfedsyn.network import Denoiser, ResidualNetwork
from dpfedsyn.plan import PassPlan, Plan
from dpfedsyn.plan_table import readings
from dpfedsyn.progress import Progress, Silent
from dpfedsyn.sampler import ChainState, StepInfo
from dpfedsyn.schema import Schema
from dpfedsyn.server import PassResult
from dpfedsyn.settings import Config
from dpfedsyn.weights import Mixture


@dataclass(frozen=True)
class RunResult:
    """How a run ended, and where it lies."""

    status: str  # "complete" | "partial"
    folder: Path
    reason: str | None


def default_out(config: Config) -> Path:
    """Return the first unused folder runs/NAME-1, runs/NAME-2, ..."""
    return folders.next_free(config)


def run(
    config: Config, out: Path, *, resume: bool = False, progress: Progress | None = None
) -> RunResult:
    """Run the whole collaboration in this process and leave its folder at `out`.

    Raises:
        BudgetExhausted: the plan does not fit; nothing was released. DataError, ConfigError,
        RunError: bad input; nothing was released. LedgerError: a ledger is damaged or held.
    """
    progress = progress or Silent()
    plan = planning.make(config)
    plan.require()
    encoder = Encoder(Schema.load(config.path(config.data.schema)))
    progress.stage("read records", len(config.silos))
    records = read_records(config, encoder, progress.advance)
    folder = folders.start(out, config, resume=resume)
    folder.write_json("plan.json", plan.to_dict())
    with federation(plan, encoder, records, folder, progress) as members:
        mixed = mixture(plan, members)
        results = sample(plan, members, mixed, folder, progress)
        outcome = _outcome(results)
        tables = {
            name: evaluation.decode(encoder, result.samples, result.state.labels)
            for name, result in results.items()
        }
        for name, table in tables.items():
            folder.write_table(
                f"synthetic{'' if name == plan.passes[0].name else f'-{name}'}.csv", table.frame
            )
        ledgers = {name: member.silo.ledger for name, member in members.items()}
        folder.write_json("statement.json", statement.make(plan, ledgers, outcome))
        if config.evaluate.enabled:
            _evaluate(plan, encoder, records, members, mixed, tables, folder, progress)
    folder.state(outcome.status, outcome.reason)
    return RunResult(outcome.status, out, outcome.reason)


def sample(
    plan: Plan,
    members: Mapping[str, Member],
    mixed: Mixture,
    folder: RunFolder,
    progress: Progress,
) -> dict[str, PassResult]:
    """Take every pass of the plan; a refusal ends the run, with what there is until then."""
    engine = LocalEngine({name: member.silo.answer for name, member in members.items()})
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
    rows = {}
    for k, silo in enumerate(plan.config.silos):
        anchored = part.settings.step == "anchored"
        rows[silo.name] = int((state.silo == k).sum()) if anchored else len(state.x)
    return server.Pass(
        name=part.name,
        run=plan.config.name,
        first_round=part.first_round,
        settings=part.settings,
        kernels=part.kernels,
        noise={name: plan.noise(name, part, count) for name, count in rows.items()},
    )


def _round_writer(
    plan: Plan,
    part: PassPlan,
    members: Mapping[str, Member],
    log: RoundLog,
    progress: Progress,
) -> Callable[[int, StepInfo], None]:
    """Return what happens after a round: epsilon in all three readings, logged and shown."""
    began = time.perf_counter()

    def after(number: int, info: StepInfo) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds, began = now - began, now
        record = {
            "pass": part.name,
            "sampler": part.settings.kernel,
            "round": number,
            "of": len(part.kernels),
            "seconds": seconds,
            "injected": info.injected,
            "responsibilities": list(info.responsibilities),
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


def _outcome(results: Mapping[str, PassResult]) -> statement.Outcome:
    refusals = [result.refusal for result in results.values() if result.refusal is not None]
    if refusals:
        return statement.Outcome(PARTIAL, refusals[0])
    return statement.Outcome(COMPLETE, None)


def _evaluate(
    plan: Plan,
    encoder: Encoder,
    records: Mapping[str, Parts],
    members: Mapping[str, Member],
    mixed: Mixture,
    tables: Mapping[str, evaluation.Synthetic],
    folder: RunFolder,
    progress: Progress,
) -> None:
    """Write results.json: internal, on held-out records, never fed back."""
    config = plan.config
    if not any(len(parts.test) for parts in records.values()):
        progress.note("There is no held-out record: nothing was evaluated.")
        return
    models = {name: member.trained.models for name, member in members.items()}
    looked_at = evaluation.Federation(
        train={name: parts.train for name, parts in records.items()},
        test={name: parts.test for name, parts in records.items()},
        models={name: MeanModel(parts) for name, parts in models.items()},
        bases={name: MeanModel([base_of(m) for m in parts]) for name, parts in models.items()},
        label_weights=mixed.weights,
        label_shares=mixed.labels,
    )
    progress.stage("evaluate", None)
    results = evaluation.evaluate(
        encoder,
        tables,
        looked_at,
        seed=config.evaluate.seed,
        on_step=progress.advance,
    )
    folder.write_json("results.json", results)


def base_of(model: Denoiser) -> Denoiser:
    """Return the analytic base alone: the same denoiser with a network of zeros."""
    network = ResidualNetwork(
        model.network.output.out_features,
        len(model.base.means),
        model.network.hidden.out_features,
    )
    return Denoiser(model.base, network, model.settings, model.device)
