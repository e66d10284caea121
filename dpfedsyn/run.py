"""READ FIRST: one run from records to report, every stage in its order.

data        read_records     each silo's rows, split by keyed hash
train       federation       counts, moments, DP-SGD; charged to the silo's ledger
sample      collaborate      the server's rounds; each asks `Silo.answer` of every silo,
                             which filters, clips, noises, charges, commits and replies
statement   conclude         what is claimed, from the ledgers' rows
evaluate    evaluate         internal, on held-out records
report      report.write     one HTML file from the run folder (the command line does this)
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from dpfedsyn import checkpoint, evaluation, plan_table, service, topups
from dpfedsyn import folder as folders
from dpfedsyn import plan as planning
from dpfedsyn.baselines import MeanModel
from dpfedsyn.brought import BroughtModel
from dpfedsyn.collaboration import (
    Collaboration,
    RunResult,
    collaborate,
    conclude,
    foreseen,
)
from dpfedsyn.comparison import Comparison
from dpfedsyn.device import pick_device
from dpfedsyn.engine import Engine
from dpfedsyn.engine.absence import WithAbsences
from dpfedsyn.engine.asking import Asking
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.envelope import Spent
from dpfedsyn.evaluation import Evaluated
from dpfedsyn.event_log import EventLog
from dpfedsyn.federation import Member, federation, read_models
from dpfedsyn.folder import RunFolder
from dpfedsyn.network import Denoiser, base_alone
from dpfedsyn.progress import Progress, Several, Silent
from dpfedsyn.records import Gathered, read_records
from dpfedsyn.released import charged
from dpfedsyn.settings import Config
from dpfedsyn.silo import Model
from dpfedsyn.threads import one_per_silo
from dpfedsyn.weights import TargetMixture


def run(
    config: Config, out: Path, *, resume: bool = False, progress: Progress | None = None
) -> RunResult:
    """Run the whole collaboration in this process and leave its folder at `out`.

    Raises:
        BudgetExhausted: the plan does not fit; nothing was released. DataError, ConfigError,
        RunError: bad input; nothing was released. LedgerError: a ledger is damaged or held.
    """
    with one_per_silo():
        return _run(config, out, resume, progress or Silent())


def _run(config: Config, out: Path, resume: bool, progress: Progress) -> RunResult:
    plan = planning.make(config)
    plan.require()
    device = pick_device(config)
    encoder = plan.encoder
    progress.stage("read records", len(config.silos))
    records = read_records(config, encoder, progress.advance)
    brought = read_models(plan, device)
    with folders.held(out, config, resume=resume) as folder:
        return _held(plan, records, brought, folder, device, progress)


def _held(
    plan: planning.Plan,
    records: Gathered,
    brought: Mapping[str, BroughtModel],
    folder: RunFolder,
    device: torch.device,
    progress: Progress,
) -> RunResult:
    """Take every stage in a folder that no other process writes into."""
    config, encoder = plan.config, plan.encoder
    folder.write_json("plan.json", plan.to_dict())
    events = EventLog(folder.path)
    progress = Several(progress, events)
    if records.owner is not None:
        # A simulation's own record of who got what; it is made of records, so it stays inside.
        checkpoint.save(folder.path / "partition.safetensors", {"owner": records.owner})
    with federation(plan, encoder, records.silos, folder, device, progress, brought) as members:
        done = _collaborated(plan, members, folder, progress)
        looked_at = _federation(plan, records, members, done.mixed, device)
    tables, outcome = done.tables, done.outcome
    fewest = min((len(table.y) for table in tables.values()), default=0)
    if config.evaluate.enabled and evaluation.possible(looked_at, fewest):
        kept = folder.path / "baselines"
        scores = evaluation.evaluate(tables, looked_at, progress=progress, kept=kept)
        folder.write_json("results.json", {**scores, "models": plan_table.behind(plan)})
        shutil.rmtree(kept, ignore_errors=True)
    else:
        progress.note(
            "Nothing was evaluated: it is switched off, or there are too few rows for it."
        )
    folder.state(outcome.status, outcome.reason)
    events.finish()
    return RunResult(outcome.status, folder.path, outcome.reason, foreseen(plan, outcome))


def _collaborated(
    plan: planning.Plan, members: Mapping[str, Member], folder: RunFolder, progress: Progress
) -> Collaboration:
    """Let the server sample over the silos of this process."""
    sites = {name: member.site for name, member in members.items()}
    with engine_over(plan, members) as engine:
        done = collaborate(plan, sites, engine, partial(spent, members), folder, progress)
    charges = {name: charged(member.silo.ledger) for name, member in members.items()}
    more, evaluated = topups.read(folder.path), plan.config.evaluate.enabled
    conclude(plan, sites, charges, done, folder, more=more, evaluated=evaluated, one_process=True)
    return done


@contextmanager
def engine_over(plan: planning.Plan, members: Mapping[str, Member]) -> Iterator[Engine]:
    """Hold an engine over the silos of this process, absent where the settings have it."""
    handlers = {name: service.of(member.silo) for name, member in members.items()}
    settings = plan.config.participation
    with LocalTransport(handlers) as transport:
        yield WithAbsences(Asking(transport, settings.timeout or None), settings)


def spent(members: Mapping[str, Member]) -> dict[str, Spent]:
    """Return what each silo's ledger has spent on answers."""
    return {name: service.spent(member.silo.ledger) for name, member in members.items()}


def _bases(models: Sequence[Model]) -> list[Denoiser]:
    """Of the models that were trained here: a brought one has none."""
    return [base_alone(model) for model in models if isinstance(model, Denoiser)]


def _federation(
    plan: planning.Plan,
    records: Gathered,
    members: Mapping[str, Member],
    mixed: TargetMixture,
    device: torch.device,
) -> Evaluated:
    """Gather what the internal evaluation looks at; nothing of it is fed back."""
    models = {name: member.trained.models for name, member in members.items()}
    return Evaluated(
        comparison=Comparison(
            plan.config,
            plan.encoder,
            {name: parts.train for name, parts in records.silos.items()},
            plan.budgets,
            mixed.weights,
            device,
            plan.config.evaluate.seed,
        ),
        test={name: parts.test for name, parts in records.silos.items()}
        if records.test is None
        else {"public test set": records.test},
        models={name: MeanModel(parts) for name, parts in models.items()},
        bases={name: MeanModel(own) for name, parts in models.items() if (own := _bases(parts))},
        label_shares=mixed.labels,
    )
