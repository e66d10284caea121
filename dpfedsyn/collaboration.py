"""What the server does in any run, wherever its silos are: sample, decode, state, count.

It knows of a silo what the silo has released (`Site`) and what its ledger has charged (`Charged`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import stamp, statement, topups, weights
from dpfedsyn.data import Synthetic
from dpfedsyn.domain import Encoder
from dpfedsyn.engine import Engine
from dpfedsyn.envelope import Spent
from dpfedsyn.folder import COMPLETE, PARTIAL, RunFolder
from dpfedsyn.marginals import MarginalQuery, corrected
from dpfedsyn.participants import took_part
from dpfedsyn.passes import PassPlan
from dpfedsyn.plan import Plan, rounds_that_fit
from dpfedsyn.progress import Progress
from dpfedsyn.released import Charged, Site
from dpfedsyn.rounds import sample
from dpfedsyn.server import PassResult
from dpfedsyn.statement import Outcome, ReleasedFile, released
from dpfedsyn.topups import TopUp
from dpfedsyn.weights import TargetMixture

Array = NDArray[np.float64]
Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Collaboration:
    """What all passes produced, and how the run ended."""

    tables: Mapping[str, Synthetic]
    mixed: TargetMixture
    outcome: Outcome
    files: tuple[ReleasedFile, ...]  # of rows, as they were written


@dataclass(frozen=True)
class RunResult:
    """How a run ended, and where it lies."""

    status: str  # "complete" | "partial"
    folder: Path
    reason: str | None
    foreseen: bool  # a partial run: whether the plan said that the caps hold no more rounds


def collaborate(
    plan: Plan,
    sites: Mapping[str, Site],
    engine: Engine,
    spent: Callable[[], Mapping[str, Spent]],
    folder: RunFolder,
    progress: Progress,
) -> Collaboration:
    """Take every pass and write the synthetic rows.

    Args:
        spent: what each silo's ledger has spent on answers; asked after every round.

    Guarantee:
        Post-processing: everything here is made of what silos released, and of public settings.
    """
    mixed = mixture(plan, sites)
    results = sample(plan, engine, spent, mixed, folder, progress)
    tables = decoded(plan.encoder, results, sites)
    files: list[ReleasedFile] = []
    for part in (part for part in plan.passes if part.name in tables):
        stem = "synthetic" if part is plan.passes[0] else f"synthetic-{part.name}"
        files += written(part, stem, tables[part.name], results[part.name], folder)
    return Collaboration(tables, mixed, _outcome(plan, results), tuple(files))


def written(
    part: PassPlan, stem: str, table: Synthetic, result: PassResult, folder: RunFolder
) -> tuple[ReleasedFile, ...]:
    """Write the rows of a pass into files STEM.*, and return those that hold rows."""
    contents = {
        suffix: content if folder.void is None else stamp.stamped(suffix, content, folder.void)
        for suffix, content in table.files.items()
    }
    for suffix, content in contents.items():
        folder.write_bytes(stem + suffix, content)
    return released(part, folder.file(stem).name, contents, len(table.y), result.state.round_number)


def conclude(
    plan: Plan,
    sites: Mapping[str, Site],
    charged: Mapping[str, Charged],
    done: Collaboration,
    folder: RunFolder,
    *,
    more: Sequence[TopUp],
    evaluated: bool = False,
    one_process: bool = False,
) -> None:
    """Write what is claimed, a registry's record of it, and who took part.

    Args:
        more: the top-ups of the run so far. evaluated: whether the rows will be compared
            with real records, which stays inside. one_process: whether it is all silos and the
            server.
    """
    files = [*done.files, *(ReleasedFile(**file) for one in more for file in one.files)]
    made = statement.make(
        plan,
        charged,
        done.outcome,
        files,
        top_ups=list(topups.told(plan, more)),
        evaluated=evaluated,
        one_process=one_process,
    )
    statement.keep(folder, made)
    parameters = {name: site.parameters for name, site in sites.items()}
    passes = (*plan.passes, *topups.passes(plan.config, more))
    folder.write_json("federation.json", took_part(plan, passes, parameters, done.mixed, folder))


def mixture(plan: Plan, sites: Mapping[str, Site]) -> TargetMixture:
    """Return the mixing weights: from the released noisy counts, or public."""
    config = plan.config
    if config.weights.source == "public":
        shares = config.weights.labels or (1.0,) * plan.classes
        return weights.public(np.array([s.weight for s in config.silos]), np.array(shares))
    counts = np.stack([_counts(site) for site in sites.values()])
    return weights.from_counts(counts, np.array([site.counts_std for site in sites.values()]))


def _counts(site: Site) -> Array:
    if site.counts is None:
        raise AssertionError("weights from counts need released counts")
    return site.counts


def decoded(
    encoder: Encoder, results: Mapping[str, PassResult], sites: Mapping[str, Site]
) -> dict[str, Synthetic]:
    """Decode what every pass produced; a pass that was refused its first round produced nothing.

    Where silos released histograms of numbers, the columns are brought to them first.
    """
    marginals = [site.marginals for site in sites.values() if site.marginals is not None]

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


def _outcome(plan: Plan, results: Mapping[str, PassResult]) -> Outcome:
    taken = sum(result.state.round_number for result in results.values())
    planned = plan.rounds
    refusals = [result.refusal for result in results.values() if result.refusal is not None]
    if refusals:
        reason = f"stopped at the cap after {taken} of {planned} rounds: {refusals[0]}"
        return Outcome(PARTIAL, reason, taken, planned)
    return Outcome(COMPLETE, None, taken, planned)


def foreseen(plan: Plan, outcome: Outcome) -> bool:
    """Whether a run took all the rounds that its caps were planned to hold."""
    return outcome.taken >= min(rounds_that_fit(plan, name) for name in plan.budgets)
