"""Set up every silo of a run in this process: records, key, ledger, training, answering role."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from accountants.anchor import FileAnchor
from accountants.ledger import Header, Ledger, Planned
from dpfedsyn import __version__, brought, keys, partition, scarce, signed_claim
from dpfedsyn import plan as planning
from dpfedsyn.base import Base
from dpfedsyn.bases import Asked, bases
from dpfedsyn.brought import BroughtModel
from dpfedsyn.budget import Budget
from dpfedsyn.config import absolute, digest
from dpfedsyn.data import Records, split
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import ConfigError, LedgerMismatch
from dpfedsyn.folder import RunFolder
from dpfedsyn.keys import SiloKey
from dpfedsyn.plan import Plan
from dpfedsyn.preparation import Preparation, steps
from dpfedsyn.progress import Progress
from dpfedsyn.released import Site
from dpfedsyn.releases import sums_of
from dpfedsyn.sections import nearest
from dpfedsyn.settings import Config, SiloSettings
from dpfedsyn.silo import Public, Silo
from dpfedsyn.start import kept, pretrained
from dpfedsyn.train import Trained, prepare, require_tunable

WAIT = 2.0  # seconds for another process to leave a ledger: longer than a look into it takes


@dataclass(frozen=True)
class Parts:
    """One silo's records: what training may read, and the held-out part."""

    train: Records
    test: Records


@dataclass(frozen=True)
class Member:
    """One silo of the run: its answering role and what `prepare` trained."""

    silo: Silo
    trained: Trained

    @property
    def site(self) -> Site:
        """What the server knows of it."""
        trained = self.trained
        parameters = trained.models[0].parameters
        return Site(trained.counts, trained.counts_std, trained.marginals, parameters)


@dataclass(frozen=True)
class Gathered:
    """All records of a run: every silo's parts, and how one file was divided, if one was.

    Attributes:
        test: a public test set instead of held-out parts, or None.
        owner: (n,) each record's silo in the divided file, or None.
    """

    silos: dict[str, Parts]
    test: Records | None
    owner: NDArray[np.int64] | None


def read_records(
    config: Config,
    encoder: Encoder,
    on_silo: Callable[[str], None] = lambda name: None,
    silos: Sequence[SiloSettings] | None = None,
    *,
    may_be_empty: bool = False,
) -> Gathered:
    """Load and split silos' records, all silos' by default.

    All files are checked before anything is charged.

    Args:
        may_be_empty: as of `scarce.read`; of a silo that answers somebody else.
    """
    test = encoder.read(config.records_path(config.data.test)) if config.data.test else None
    whole, owner = _divided(config, encoder)
    parts = {}
    for silo in config.silos if silos is None else silos:
        place = config.silos.index(silo)
        if whole is None or owner is None:
            records = _own(config, encoder, silo, may_be_empty=may_be_empty)
        else:
            records = whole.take(np.flatnonzero(owner == place), silo.name)
        if silos is None:
            _require_groups(config, records)
        fraction = 0.0 if test is not None else config.data.test_fraction
        train, held_out = split(records, key=config.data.split_key, fraction=fraction)
        parts[silo.name] = Parts(train, held_out)
        on_silo(silo.name)
    return Gathered(parts, test, owner)


def _own(config: Config, encoder: Encoder, silo: SiloSettings, *, may_be_empty: bool) -> Records:
    """A silo's own file; no records of one that brings a model and has none here."""
    if silo.path:
        path = config.records_path(silo.path)
        return scarce.read(encoder, path, silo.name, may_be_empty=may_be_empty)
    nothing = np.zeros((0, encoder.dimension), dtype=np.float32)
    return Records(nothing, np.zeros(0, dtype=np.int64), (), silo.name)


def read_models(
    plan: Plan, device: torch.device, silos: Sequence[SiloSettings] | None = None
) -> dict[str, BroughtModel]:
    """Read the models that silos bring, all silos' by default; before anything is charged.

    Raises:
        ModelError: a model that cannot answer for records of the schema, or is not the one that
            was claimed.
    """
    config, models = plan.config, {}
    for silo in config.silos if silos is None else silos:
        if silo.brings:
            model = brought.read(config.path(silo.model), plan.encoder, device)
            if (claim := plan.claims.get(silo.name)) is not None:
                signed_claim.require_model(claim, config.path(silo.claim), model.digest)
            if silo.tunes:
                require_tunable(silo, model)
            models[silo.name] = model
    return models


def _require_groups(config: Config, records: Records) -> None:
    """Refuse columns for a table per group that no record has; their names are public."""
    settings = config.evaluate
    absent = [name for name in settings.groups if records.groups and name not in records.groups]
    if settings.enabled and absent:
        raise ConfigError(
            f"evaluate.groups: the records have no column {absent[0]!r}, so nothing was run; "
            f"{nearest(absent[0], tuple(records.groups))}"
        )


def _divided(config: Config, encoder: Encoder) -> tuple[Records | None, NDArray[np.int64] | None]:
    """Read the one file that a partition divides, and each record's silo."""
    settings = config.partition
    if settings is None:
        return None, None
    whole = encoder.read(config.records_path(config.data.path))
    if settings.kind != "column":
        return whole, _of_persons(whole, partition.divide(_labels(whole), settings))
    if settings.column not in whole.groups:
        raise ConfigError(
            f"partition.column = {settings.column!r}: the file has no such column, so nothing was "
            f"divided; it has {', '.join(whole.groups)}."
        )
    owner = partition.divide(whole.y, settings, whole.groups[settings.column].tolist())
    if whole.units is not None and not np.array_equal(
        owner, owner[whole.units.first_rows][whole.units.of_row]
    ):
        raise ConfigError(
            f"partition.column = {settings.column!r}: some person has rows with several of its "
            "values, so that silo by silo they would be hidden and all together not. Nothing was "
            "run. Divide by a column that is the same in all rows of a person."
        )
    return whole, owner


def _labels(records: Records) -> NDArray[np.int64]:
    """The label of each record, or of each person's first."""
    return records.y if records.units is None else records.y[records.units.first_rows]


def _of_persons(records: Records, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give all rows of a person to the silo of the person."""
    return owner if records.units is None else owner[records.units.of_row]


@contextmanager
def federation(
    plan: Plan,
    encoder: Encoder,
    records: Mapping[str, Parts],
    folder: RunFolder,
    device: torch.device,
    progress: Progress,
    models: Mapping[str, BroughtModel] | None = None,
) -> Iterator[dict[str, Member]]:
    """Train all silos (or read back what they trained) and hold their ledgers open.

    Args:
        models: that silos bring, by name.
    """
    config, models = plan.config, models or {}
    with ExitStack() as stack:
        members = {}
        preparations = [
            replace(
                _preparation(plan, encoder, silo, records[silo.name].train, folder, device, stack),
                brought=models.get(silo.name),
            )
            for silo in config.silos
        ]
        together: Sequence[Base | None] = [None] * len(preparations)
        if config.base.combine != "none":
            progress.stage("add up the silos' sums", config.base.questions)
            asked = Asked([sums_of(silo) for silo in preparations], progress.advance)
            together = bases(asked, preparations[0].query, encoder, config.base)
        if config.pretrain.steps:
            progress.stage("pretrain on released samples", config.pretrain.steps)
            preparations = _started(preparations, together[0], folder, progress.advance)
        for preparation, base in zip(preparations, together, strict=True):
            name = preparation.silo.name
            silo = preparation.silo
            progress.stage(f"{'load' if silo.brings else 'train'} {name}", steps(config, silo))
            members[name] = _member(plan, preparation, base, progress.advance)
        yield members


@contextmanager
def opened(
    plan: Plan,
    silo: SiloSettings,
    records: Records,
    folder: RunFolder,
    device: torch.device,
    model: BroughtModel | None = None,
) -> Iterator[Preparation]:
    """Hold open the ledger of one silo that has the others elsewhere, before it is trained.

    Args:
        model: that the silo brings instead.
    """
    with ExitStack() as stack:
        made = _preparation(plan, plan.encoder, silo, records, folder, device, stack)
        yield replace(made, brought=model)


def trained(
    plan: Plan,
    preparation: Preparation,
    base: Base | None,
    folder: RunFolder,
    on_step: Callable[[], None],
) -> Member:
    """Train one silo, or read back what it trained.

    Args:
        base: that all silos' sums made; None: the silo makes its own.
    """
    if preparation.config.pretrain.steps:
        (preparation,) = _started([preparation], base, folder, on_step)
    return _member(plan, preparation, base, on_step)


def _member(
    plan: Plan, preparation: Preparation, base: Base | None, on_step: Callable[[], None]
) -> Member:
    found = prepare(preparation, on_step, base)
    public = _public(plan, preparation.encoder, preparation.silo)
    silo = Silo(public, found.models, preparation.ledger, preparation.key)
    return Member(silo, found)


def _started(
    preparations: Sequence[Preparation],
    base: Base | None,
    folder: RunFolder,
    on_step: Callable[[], None],
) -> list[Preparation]:
    """Let every silo start from the network that the released base pretrains."""
    first = preparations[0]
    assert base is not None
    make = partial(pretrained, first.config, first.encoder, base, first.device, on_step)
    weights = kept(folder.path, make)
    return [replace(preparation, start=weights) for preparation in preparations]


def _preparation(
    plan: Plan,
    encoder: Encoder,
    silo: SiloSettings,
    records: Records,
    folder: RunFolder,
    device: torch.device,
    stack: ExitStack,
) -> Preparation:
    """Open a silo's ledger for as long as the stack, beside its records and its key."""
    key = silo_key(plan.config, folder, silo)
    return Preparation(
        config=plan.config,
        silo=silo,
        records=records,
        encoder=encoder,
        classes=plan.classes,
        budget=plan.budgets[silo.name],
        ledger=stack.enter_context(_ledger(plan, encoder, silo, folder, key)),
        key=key,
        folder=folder.silo(silo.name),
        device=device,
    )


def pick_device(config: Config) -> torch.device:
    """Return the device of the models: `auto` is CUDA where there is one."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ConfigError("device = 'cuda': no CUDA device is there. Use device = 'auto' or 'cpu'.")
    return torch.device("cuda" if available and config.device != "cpu" else "cpu")


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


def _ledger(
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
        planned=_planned(budget),
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


def _planned(budget: Budget) -> tuple[Planned, ...]:
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


def _public(plan: Plan, encoder: Encoder, silo: SiloSettings) -> Public:
    return Public(
        name=silo.name,
        run=plan.config.name,
        dimension=plan.dimension,
        classes=plan.classes,
        mechanism=planning.mechanism(plan.config),
        record_parts=planning.moved_parts(plan.config, plan.budgets[silo.name]),
        version=f"{encoder.digest}/{__version__}".encode(),
    )


def training_steps(config: Config, silo: SiloSettings) -> int:
    """Return how many steps of progress `trained` makes, those that pretrain its start included."""
    return config.pretrain.steps + steps(config, silo)
