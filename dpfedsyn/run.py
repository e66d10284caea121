"""READ FIRST: one run from records to report, every stage in its order.

data        read_records     each silo's rows, split by keyed hash
train       federation       counts, moments, DP-SGD; charged to the silo's ledger
sample      rounds.sample    the server's rounds; each asks `Silo.answer` of every silo,
                             which filters, clips, noises, charges, commits and replies
statement   statement.make   what is claimed, from the ledgers' rows
evaluate    evaluate         internal, on held-out records
report      report.write     one HTML file from the run folder (the command line does this)
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dpfedsyn import checkpoint, evaluation, statement
from dpfedsyn import folder as folders
from dpfedsyn import plan as planning
from dpfedsyn.baselines import MeanModel
from dpfedsyn.comparison import Comparison
from dpfedsyn.data import Synthetic
from dpfedsyn.domain import Encoder
from dpfedsyn.evaluation import Federation
from dpfedsyn.federation import Gathered, Member, federation, mixture, pick_device, read_records
from dpfedsyn.folder import COMPLETE, PARTIAL
from dpfedsyn.marginals import MarginalQuery, corrected
from dpfedsyn.network import base_alone
from dpfedsyn.participants import took_part
from dpfedsyn.progress import Progress, Silent
from dpfedsyn.rounds import sample
from dpfedsyn.server import PassResult
from dpfedsyn.settings import Config
from dpfedsyn.threads import one_per_silo
from dpfedsyn.weights import Mixture

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class RunResult:
    """How a run ended, and where it lies."""

    status: str  # "complete" | "partial"
    folder: Path
    reason: str | None
    foreseen: bool  # a partial run: whether the plan said that the caps hold no more rounds


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
    with one_per_silo():
        return _run(config, out, resume, progress or Silent())


def _run(config: Config, out: Path, resume: bool, progress: Progress) -> RunResult:
    plan = planning.make(config)
    plan.require()
    device = pick_device(config)
    encoder = plan.encoder
    progress.stage("read records", len(config.silos))
    records = read_records(config, encoder, progress.advance)
    folder = folders.start(out, config, resume=resume)
    folder.write_json("plan.json", plan.to_dict())
    if records.owner is not None:
        # A simulation's own record of who got what; it is made of records, so it stays inside.
        checkpoint.save(out / "partition.npz", {"owner": records.owner})
    with federation(plan, encoder, records.silos, folder, device, progress) as members:
        mixed = mixture(plan, members)
        results = sample(plan, members, mixed, folder, progress)
        outcome = _outcome(plan, results)
        tables = _tables(encoder, results, members)
        for name, table in tables.items():
            stem = "synthetic" if name == plan.passes[0].name else f"synthetic-{name}"
            for suffix, content in table.files.items():
                folder.write_bytes(stem + suffix, content)
        ledgers = {name: member.silo.ledger for name, member in members.items()}
        folder.write_json("statement.json", statement.make(plan, ledgers, outcome))
        folder.write_json("federation.json", took_part(plan, members, mixed, folder))
        looked_at = _federation(plan, records, members, mixed, device)
    fewest = min((len(table.y) for table in tables.values()), default=0)
    if config.evaluate.enabled and evaluation.possible(looked_at, fewest):
        kept = folder.path / "baselines"
        scores = evaluation.evaluate(tables, looked_at, progress=progress, kept=kept)
        folder.write_json("results.json", scores)
        shutil.rmtree(kept, ignore_errors=True)
    else:
        progress.note(
            "Nothing was evaluated: it is switched off, or there are too few rows for it."
        )
    folder.state(outcome.status, outcome.reason)
    return RunResult(outcome.status, out, outcome.reason, _foreseen(plan, outcome))


def _tables(
    encoder: Encoder, results: Mapping[str, PassResult], members: Mapping[str, Member]
) -> dict[str, Synthetic]:
    """Decode what every pass produced; a pass that was refused its first round produced nothing.

    Where silos released histograms of numbers, the columns are brought to them first.
    """
    found = [member.trained.marginals for member in members.values()]
    marginals = [one for one in found if one is not None]

    def brought(samples: Samples) -> Samples:
        if not marginals:
            return samples
        sums = np.sum([values for values, _ in marginals], axis=0)
        noise = math.hypot(*(std for _, std in marginals))
        query = MarginalQuery(encoder.numbers)
        return corrected(samples.astype(np.float64), query, sums, noise).astype(np.float32)

    return {
        name: encoder.decode(brought(result.samples), result.state.labels)
        for name, result in results.items()
        if result.state.round_number > 0
    }


def _outcome(plan: planning.Plan, results: Mapping[str, PassResult]) -> statement.Outcome:
    taken = sum(result.state.round_number for result in results.values())
    planned = plan.rounds
    refusals = [result.refusal for result in results.values() if result.refusal is not None]
    if refusals:
        reason = f"stopped at the cap after {taken} of {planned} rounds: {refusals[0]}"
        return statement.Outcome(PARTIAL, reason, taken, planned)
    return statement.Outcome(COMPLETE, None, taken, planned)


def _foreseen(plan: planning.Plan, outcome: statement.Outcome) -> bool:
    """Whether a run took all the rounds that its caps were planned to hold."""
    return outcome.taken >= min(planning.rounds_that_fit(plan, name) for name in plan.budgets)


def _federation(
    plan: planning.Plan,
    records: Gathered,
    members: Mapping[str, Member],
    mixed: Mixture,
    device: torch.device,
) -> Federation:
    """Gather what the internal evaluation looks at; nothing of it is fed back."""
    models = {name: member.trained.models for name, member in members.items()}
    return Federation(
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
        bases={
            name: MeanModel([base_alone(model) for model in parts])
            for name, parts in models.items()
        },
        label_shares=mixed.labels,
    )
