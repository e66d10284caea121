"""Ask an ended run's silos for further rows: the same models, keys and ledgers, within their caps.

here  silos of this process: their models are read back from their folders
over  silos that are processes, over the transport that reaches them

Killed at any point, a top-up goes on from its checkpoint with `resume`: a round that was asked but
not kept is asked again, bit for bit, and silos send the same bytes at no cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from accountants import verify
from accountants.anchor import FileAnchor
from dpfedsyn import folder as folders
from dpfedsyn import keys, plan_table, remote, topups
from dpfedsyn import run as running
from dpfedsyn.collaboration import Collaboration, conclude, decoded, mixture, written
from dpfedsyn.device import pick_device
from dpfedsyn.engine import Engine, Transport
from dpfedsyn.envelope import Spent
from dpfedsyn.errors import ConfigError, RunError
from dpfedsyn.event_log import EventLog
from dpfedsyn.federation import federation, read_models
from dpfedsyn.folder import COMPLETE, PARTIAL, RunFolder
from dpfedsyn.gathering import Connected, looked_for
from dpfedsyn.plan import Plan
from dpfedsyn.progress import Progress, Several, Silent
from dpfedsyn.records import read_records
from dpfedsyn.released import Charged, Site, charged
from dpfedsyn.roster import DESCRIBED, Roster
from dpfedsyn.rounds import take
from dpfedsyn.statement import Outcome, ReleasedFile
from dpfedsyn.threads import one_per_silo
from dpfedsyn.topup_start import Begun, Wanted, begin
from dpfedsyn.topups import Left, TopUp
from dpfedsyn.weights import TargetMixture


def here(run: Path, wanted: Wanted, progress: Progress | None = None) -> TopUp:
    """Top up a run whose silos are in its own folder.

    Guarantee:
        No ledger's cap is exceeded, whatever is asked: the caps are those that the ledgers were
        opened with, so the run's claim stays as it is. Where the caps hold too little nothing is
        asked, charged, released or written.

    Raises:
        BudgetExhausted: too little is left. RunError: no ended run, or silos elsewhere.
        ConfigError, DataError: bad input. LedgerError: a ledger is damaged or held.
    """
    folders.require_ended(run)
    if not (run / "silos").is_dir():
        raise RunError(
            f"{run}: its silos are elsewhere, so nothing was asked. Name the socket of each that "
            "`dpfedsyn silo serve` opened, with --silo NAME=SOCKET."
        )
    with folders.locked(run):
        begun = begin(run, wanted)
        if begun.fresh:
            topups.require_room(begun.plan, begun.one, begun.part, _left(run, begun.plan))
        with one_per_silo():
            return _here(run, begun, progress or Silent())


def _here(run: Path, begun: Begun, progress: Progress) -> TopUp:
    plan, folder = begun.plan, folders.opened(run)
    progress.stage("read records", len(plan.config.silos))
    records = read_records(plan.config, plan.encoder, progress.advance)
    device = pick_device(plan.config)
    brought = read_models(plan, device)
    silos = records.silos
    with federation(plan, plan.encoder, silos, folder, device, progress, brought) as members:
        topups.keep(folder, (*begun.before, begun.one), plan_table.behind(plan))
        events = EventLog(folder.path)
        progress = Several(progress, events)
        sites = {name: member.site for name, member in members.items()}
        mixed, spent = mixture(plan, sites), partial(running.spent, members)
        with running.engine_over(plan, members) as engine:
            one = _taken(begun, sites, engine, spent, mixed, folder, progress)
        charges = {name: charged(member.silo.ledger) for name, member in members.items()}
        _conclude(begun, one, sites, charges, mixed, folder)
    events.finish()
    return one


def over(
    run: Path,
    transport: Transport,
    wanted: Wanted,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> TopUp:
    """Top up a run whose silos are processes; `run` is the server's folder.

    Guarantee:
        As of `here`: each silo's ledger enforces its own caps, whatever this server asks.

    Raises:
        BudgetExhausted: too little is left. SiloUnavailable: too few answer. ProtocolMismatch: a
            silo came back as another. RunError: no ended run of silos elsewhere.
    """
    folders.require_ended(run)
    if not (run / DESCRIBED).is_file():
        raise RunError(
            f"{run}: this run's silos are in its own folder, so no process was asked. Drop --silo."
        )
    with folders.locked(run):
        begun = begin(run, wanted, records=False)
        most = begun.plan.config.answers.rows
        if begun.one.rows > most:
            raise ConfigError(
                f"--rows {begun.one.rows}: a silo's process reads no question of more rows than "
                f"the run's {most}, so nothing was asked. Ask for at most {most} rows at once."
            )
        return _over(run, begun, transport, progress or Silent(), sleep)


def _over(
    run: Path,
    begun: Begun,
    transport: Transport,
    progress: Progress,
    sleep: Callable[[float], None],
) -> TopUp:
    plan, folder = begun.plan, folders.opened(run)
    names = [silo.name for silo in plan.config.silos]
    reached = Connected(transport, names)
    progress.stage("look for the silos", None)
    last = looked_for(names, reached, sleep)
    roster = Roster(plan, folder)
    if begun.fresh:
        so_far = {n: last[n].spent if n in last else roster.charged(n, None) for n in names}
        left = {name: _left_of(plan, name, held) for name, held in so_far.items()}
        topups.require_room(plan, begun.one, begun.part, left)
    for name, silo in last.items():
        roster.met(name, silo)
    topups.keep(folder, (*begun.before, begun.one), plan_table.behind(plan))
    roster = Roster(plan, folder)  # which knows now what this top-up's rounds cost
    events = EventLog(folder.path)
    progress = Several(progress, events)
    sites = remote.sites_of(roster)
    mixed, engine = mixture(plan, sites), remote.engine_over(plan, roster, reached, sleep)
    one = _taken(begun, sites, engine, roster.spent, mixed, folder, progress)
    charges = remote.settled(roster, names, reached, progress, sleep)
    _conclude(begun, one, sites, charges, mixed, folder)
    events.finish()
    return one


def _taken(
    begun: Begun,
    sites: Mapping[str, Site],
    engine: Engine,
    spent: Callable[[], Mapping[str, Spent]],
    mixed: TargetMixture,
    folder: RunFolder,
    progress: Progress,
) -> TopUp:
    """Take all rounds, write the rows, and return how the top-up ended."""
    part = begun.part
    result = take(begun.plan, part, engine, spent, mixed, folder, progress)
    files: Sequence[ReleasedFile] = ()
    for table in decoded(begun.plan.encoder, {part.name: result}, sites).values():
        files = written(part, f"synthetic-{part.name}", table, result, folder)
    return replace(
        begun.one,
        status=COMPLETE if result.refusal is None else PARTIAL,
        reason=result.refusal,
        taken=result.state.round_number,
        files=tuple(vars(file) for file in files),
    )


def _conclude(
    begun: Begun,
    one: TopUp,
    sites: Mapping[str, Site],
    charges: Mapping[str, Charged],
    mixed: TargetMixture,
    folder: RunFolder,
) -> None:
    """State what the run has cost with this top-up; only then has it ended."""
    told = begun.told
    ended = Outcome(told["status"], told["reason"], **told["rounds"])
    own = {part.name for part in begun.plan.passes}
    files = (ReleasedFile(**file) for file in told["release"]["files"] if file["made_by"] in own)
    done = Collaboration({}, mixed, ended, tuple(files))
    more, settings = (*begun.before, one), told["settings"]
    kept = {key: bool(settings[key]) for key in ("evaluated", "one_process")}
    conclude(begun.plan, sites, charges, done, folder, more=more, **kept)
    topups.keep(folder, more, plan_table.behind(begun.plan))


def _left(run: Path, plan: Plan) -> dict[str, Left]:
    """What the ledgers of a run folder still hold; they are read, not opened."""
    found, folder = {}, RunFolder(run)
    for name in plan.budgets:
        path = folder.silo(name) / "ledger.sqlite"
        key = keys.load(path.with_name("key"))
        kept = folders.anchor_of(path, key.ledger_id)
        anchor = None if kept is None else FileAnchor(kept, key=key.chain)
        verified = verify(path, key=key.chain, anchor=anchor)
        left, cap = _left_of(plan, name, verified.totals), verified.header.draws_cap
        draws = None if cap is None else cap - verified.totals.draws
        found[name] = replace(left, draws=draws)
    return found


def _left_of(plan: Plan, name: str, spent: Any) -> Left:
    """What a silo's caps leave beside what it has spent, mu^2."""
    budget, record = plan.budgets[name], None
    if budget.record_mu is not None:
        record = budget.record_mu**2 - (spent.record_mu2 or 0.0)
    return Left(budget.answers_mu**2 - spent.answers_mu2, record)
