"""Set up every silo of a run in this process: records, key, ledger, training, answering role."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch

from dpfedsyn import __version__, brought, passes, signed_claim
from dpfedsyn.base import Base
from dpfedsyn.bases import Asked, bases
from dpfedsyn.brought import BroughtModel
from dpfedsyn.data import Records
from dpfedsyn.domain import Encoder
from dpfedsyn.folder import RunFolder
from dpfedsyn.plan import Plan
from dpfedsyn.preparation import Preparation, steps
from dpfedsyn.progress import Progress
from dpfedsyn.records import SiloRecords
from dpfedsyn.released import Site
from dpfedsyn.releases import sums_of
from dpfedsyn.settings import Config, SiloSettings
from dpfedsyn.silo import Public, Silo
from dpfedsyn.silo_ledger import open_ledger, silo_key
from dpfedsyn.start import kept, pretrained
from dpfedsyn.train import Trained, prepare, require_tunable


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


@contextmanager
def federation(
    plan: Plan,
    encoder: Encoder,
    records: Mapping[str, SiloRecords],
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
        ledger=stack.enter_context(open_ledger(plan, encoder, silo, folder, key)),
        key=key,
        folder=folder.silo(silo.name),
        device=device,
    )


def _public(plan: Plan, encoder: Encoder, silo: SiloSettings) -> Public:
    return Public(
        name=silo.name,
        run=plan.config.name,
        dimension=plan.dimension,
        classes=plan.classes,
        mechanism=passes.mechanism(plan.config),
        record_parts=passes.moved_parts(plan.config, plan.budgets[silo.name]),
        version=f"{encoder.digest}/{__version__}".encode(),
    )


def training_steps(config: Config, silo: SiloSettings) -> int:
    """Return how many steps of progress `trained` makes, those that pretrain its start included."""
    return config.pretrain.steps + steps(config, silo)
