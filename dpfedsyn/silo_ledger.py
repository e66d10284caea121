"""A silo's key and ledger: found again, or made before anything is done, for one plan alone."""

from __future__ import annotations

from accountants.anchor import FileAnchor
from accountants.ledger import Header, Ledger, Planned
from dpfedsyn import __version__, keys
from dpfedsyn.budget import Budget
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import LedgerMismatch
from dpfedsyn.folder import RunFolder
from dpfedsyn.keys import SiloKey
from dpfedsyn.plan import Plan
from dpfedsyn.resolved import absolute, digest
from dpfedsyn.settings import Config, SiloSettings

WAIT = 2.0  # seconds for another process to leave a ledger: longer than a look into it takes


def silo_key(config: Config, folder: RunFolder, silo: SiloSettings) -> SiloKey:
    """Return the silo's secret: read back, or fresh from the operating system."""
    path = folder.silo(silo.name) / "key"
    path.with_name("key.part").unlink(missing_ok=True)  # a secret that a kill left half-stored
    if path.exists() or (folder.silo(silo.name) / "ledger.sqlite").exists():
        return keys.load(path)  # a ledger without its key: refused, never a new key beside it
    seed = config.privacy.unsafe_noise_seed
    key = keys.fresh() if seed is None else keys.repeatable(seed, silo.name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys.store(key, path)
    return key


def open_ledger(
    plan: Plan, encoder: Encoder, silo: SiloSettings, folder: RunFolder, key: SiloKey
) -> Ledger:
    """Open the silo's ledger, or create it before anything was done.

    Guarantee:
        A ledger serves one plan, one configuration and one schema, all bound into its first row:
        resumed with any other it is refused, and so is a run whose ledger is gone, or is an older
        copy than its anchor knows.
    """
    path, budget = folder.silo(silo.name) / "ledger.sqlite", plan.budgets[silo.name]
    privacy = plan.config.privacy
    header = Header(
        ledger_id=key.ledger_id,
        silo=silo.name,
        run=plan.config.name,
        unit=privacy.unit,
        adjacency=privacy.adjacency,
        delta=privacy.delta,
        planned=planned(budget),
        answers_cap=budget.answers_mu**2,
        record_cap=None if budget.record_mu is None else budget.record_mu**2,
        keep_replies=plan.config.answers.keep_replies,
        version=f"{__version__} {digest(plan.config)} {encoder.digest}",
        draws_cap=plan.draws(silo.name).total,
    )
    kept = folder.anchor(silo.name, key.ledger_id, absolute(plan.config).privacy.anchors)
    anchor = FileAnchor(kept, key=key.chain)
    if path.exists():
        ledger = Ledger.open(path, key=key.chain, anchor=anchor, wait=WAIT)
        if ledger.header == header:
            return ledger
        ledger.close()
        raise LedgerMismatch(
            f"{path}: this ledger was opened for another plan (configuration, schema, caps or "
            "version differ), so it does not enforce what this plan claims. Nothing was charged. "
            "Resume with the configuration, schema and version that the run was started with."
        )
    if path.with_name("model.safetensors").exists() or (folder.path / "checkpoint").exists():
        raise LedgerMismatch(
            f"{path}: the ledger is missing although the run has begun; what was spent is unknown, "
            "so the budget counts as exhausted. Nothing was charged. Put the file back, or start a "
            "new run, whose budget composes with this one."
        )
    return Ledger.create(path, header, key=key.chain, anchor=anchor)


def planned(budget: Budget) -> tuple[Planned, ...]:
    planned, group = [], "R" if budget.base_released else "A"
    if budget.counts is not None:
        planned.append(Planned("counts", "R" if budget.counts_released else "A", budget.counts, 1))
    if budget.marginals is not None:
        planned.append(Planned("marginals", "R", budget.marginals, 1))
    if budget.origin is not None:
        planned.append(Planned("origin", group, budget.origin, 1))
    if budget.means is not None:
        planned.append(Planned("means", group, budget.means, 1))
    if budget.moments is not None:
        planned.append(Planned("moments", group, budget.moments, 1))
    if budget.clusters:
        *moving, last = budget.clusters
        if moving:
            planned.append(Planned("centres", group, moving[0], len(moving)))
        planned.append(Planned("clusters", group, last, 1))
    if budget.training is not None:
        planned.append(Planned("dp-sgd", "A", budget.training.event, budget.training.count))
    if budget.claimed is not None:
        planned.append(Planned("claimed", "A", budget.claimed, 1))
    return tuple(planned)
