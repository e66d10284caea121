"""One run whose silos are processes elsewhere: the server's part, over any transport.

It holds no records and no models. It asks the silos who they are, waits while they train, takes the
rounds, and states what the silos' ledgers say was charged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dpfedsyn import folder as folders
from dpfedsyn import plan as planning
from dpfedsyn import topups
from dpfedsyn.collaboration import RunResult, collaborate, conclude, foreseen
from dpfedsyn.engine import Transport
from dpfedsyn.engine.asking import Asking
from dpfedsyn.envelope import Description
from dpfedsyn.errors import SiloUnavailable
from dpfedsyn.event_log import EventLog
from dpfedsyn.folder import RunFolder
from dpfedsyn.gathering import Connected, combined, described, introduced, looked_for
from dpfedsyn.messages import Packed
from dpfedsyn.plan import Plan
from dpfedsyn.progress import Progress, Several
from dpfedsyn.released import Array, Charged, LastHeard, Site
from dpfedsyn.roster import Recorded, Roster
from dpfedsyn.settings import Config

PAUSE = 5.0  # seconds before a round is asked again


def run(
    config: Config,
    transport: Transport,
    out: Path,
    *,
    resume: bool,
    progress: Progress,
    sleep: Callable[[float], None] = time.sleep,
) -> RunResult:
    """Run the collaboration over a transport and leave the server's folder at `out`.

    The folder is there before any silo is asked anything, so that the run can be resumed from then
    on. All silos have to be there until each has trained; afterwards the quorum of the rounds.

    Raises:
        BudgetExhausted: the plan does not fit. SiloUnavailable: a silo is not there, or too few
            answer. ProtocolMismatch: a silo has other settings, another schema or version, or came
            back as another. RunError: the folder cannot be used, or another process uses it.
    """
    plan = planning.make(config)
    plan.require()
    if not resume:
        _require_members(plan, transport)
    with folders.held(out, config, resume=resume) as folder:
        folder.write_json("plan.json", plan.to_dict())
        events = EventLog(folder.path)
        result = _run(plan, transport, folder, Several(progress, events), sleep)
        events.finish()
    return result


def _run(
    plan: Plan,
    transport: Transport,
    folder: RunFolder,
    progress: Progress,
    sleep: Callable[[float], None],
) -> RunResult:
    names = [silo.name for silo in plan.config.silos]
    roster, reached = Roster(plan, folder), Connected(transport, names)
    if roster.described:
        progress.stage("look for the silos", None)
        _met_again(roster, names, reached, sleep)
    else:
        _require_members(plan, transport)  # until all have said what they released
        roster.keep(_met(plan, reached, progress, sleep))
    engine, sites = engine_over(plan, roster, reached, sleep), sites_of(roster)
    done = collaborate(plan, sites, engine, roster.spent, folder, progress)
    charged = settled(roster, names, reached, progress, sleep)
    conclude(plan, sites, charged, done, folder, more=topups.read(folder.path))
    progress.note("Nothing was evaluated: the records are elsewhere.")
    outcome = done.outcome
    folder.state(outcome.status, outcome.reason)
    return RunResult(outcome.status, folder.path, outcome.reason, foreseen(plan, outcome))


def engine_over(
    plan: Plan, roster: Roster, reached: Connected, sleep: Callable[[float], None]
) -> Recorded:
    """Return an engine over the silos, whose questions are kept before they are sent."""
    timeout = plan.config.participation.timeout or None
    asking = Asking(
        reached,
        timeout,
        members=reached.members(),
        pause=PAUSE,
        sleep=sleep,
        on_spent=roster.heard,
    )
    return Recorded(asking, roster)


def sites_of(roster: Roster) -> dict[str, Site]:
    """Return what every silo has released, as it was described before the first round."""
    return {name: _site(silo) for name, silo in roster.described.items()}


def settled(
    roster: Roster,
    names: Sequence[str],
    reached: Connected,
    progress: Progress,
    sleep: Callable[[float], None],
) -> dict[str, Charged]:
    """Ask every silo for its ledger's sums, and say of whom they are upper bounds."""
    progress.stage("ask for the ledgers' sums", None)
    last = _met_again(roster, names, reached, sleep)
    charged = {name: roster.charged(name, last.get(name)) for name in names}
    for name in names:
        if (heard := charged[name].last_heard) is not None:
            progress.note(_gone(name, heard))
    return charged


def _met_again(
    roster: Roster, names: Sequence[str], reached: Connected, sleep: Callable[[float], None]
) -> dict[str, Description]:
    """Return what every silo that is there says now; each must be the one that was met before."""
    last = looked_for(names, reached, sleep)
    for name, silo in last.items():
        roster.met(name, silo)
    return last


def _met(
    plan: Plan, transport: Transport, progress: Progress, sleep: Callable[[float], None]
) -> dict[str, Description]:
    """Hear of every silo who it is, then its sums where they make the base, then what it released.

    Guarantee:
        No silo is asked for anything that is charged before all have said that they mean this run.
    """
    progress.stage("ask the silos who they are", None)
    introduced(plan, transport, sleep)
    base = ""
    if plan.config.base.combine != "none":
        progress.stage("add up the silos' sums", plan.config.base.questions)
        base = combined(plan, transport, progress.advance, sleep)
    progress.stage("wait until every silo has trained", len(plan.config.silos))
    return described(plan, transport, base, progress.advance, sleep)


def _gone(name: str, heard: LastHeard) -> str:
    return (
        f"{name}: was last heard in round {heard.round}. The statement counts {heard.unheard} "
        "questions that it did not answer as charged; with the silo there again, --resume writes "
        "its ledger's own sums."
    )


def _require_members(plan: Plan, transport: Transport) -> None:
    wanted, there = [silo.name for silo in plan.config.silos], transport.members()
    missing = [name for name in wanted if name not in there]
    if missing:
        raise SiloUnavailable(
            f"{', '.join(missing)}: not connected, so nothing was asked; connected are "
            f"{', '.join(there) or 'none'}. Start what connects them, each under its silo's name."
        )


def _site(silo: Description) -> Site:
    marginals = None
    if silo.marginals is not None:
        marginals = (_unpacked(silo.marginals), silo.marginals_std)
    counts = None if silo.counts is None else _unpacked(silo.counts)
    return Site(counts, silo.counts_std, marginals, silo.parameters)


def _unpacked(packed: Packed) -> Array:
    return packed.array(("<f8",))
