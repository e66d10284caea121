"""One run whose silos are processes elsewhere: the server's part, over any transport.

It holds no records and no models. It asks the silos who they are, waits while they train, takes the
rounds, and states what the silos' ledgers say was charged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from dpfedsyn import __version__
from dpfedsyn import config as configuration
from dpfedsyn import folder as folders
from dpfedsyn import plan as planning
from dpfedsyn.collaboration import RunResult, collaborate, conclude, foreseen
from dpfedsyn.engine import Transport
from dpfedsyn.engine.asking import Asking, exchange
from dpfedsyn.envelope import (
    Combine,
    Describe,
    Description,
    Healthy,
    Refused,
    Released,
    Reply,
    Request,
    Spent,
    Summed,
)
from dpfedsyn.errors import ProtocolMismatch, SiloUnavailable
from dpfedsyn.events import EventLog
from dpfedsyn.marginals import MarginalQuery
from dpfedsyn.messages import Packed
from dpfedsyn.plan import Plan
from dpfedsyn.progress import Progress, Several
from dpfedsyn.released import Array, Charged, Site
from dpfedsyn.settings import Config

Wanted = TypeVar("Wanted", Summed, Healthy, Description)

POLL = 1.0  # seconds between two questions whether a silo has trained
PAUSE = 5.0  # seconds before a round is asked again
PATIENCE = 60.0  # seconds in which a silo has to say who it is
TRIES = 60  # times that a silo which is not there is looked for before it counts as missing


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

    Raises:
        BudgetExhausted: the plan does not fit. SiloUnavailable: a silo is not there, or too few
            answer. ProtocolMismatch: a silo has other settings, another schema or version.
        RunError: the folder cannot be used.
    """
    plan = planning.make(config)
    plan.require()
    _require_members(plan, transport)
    if config.base.combine != "none":
        progress.stage("add up the silos' sums", config.base.questions)
        combined(plan, transport, progress.advance, sleep)
    progress.stage("wait until every silo has trained", len(config.silos))
    found = described(plan, transport, progress.advance, sleep)
    folder = folders.start(out, config, resume=resume)
    folder.write_json("plan.json", plan.to_dict())
    events = EventLog(folder.path)
    progress = Several(progress, events)
    timeout = config.participation.timeout or None
    names = [silo.name for silo in config.silos]
    engine = Asking(transport, timeout, members=names, pause=PAUSE, sleep=sleep)

    def spent() -> Mapping[str, Spent]:
        return {name: engine.spent.get(name, silo.spent) for name, silo in found.items()}

    sites = {name: _site(silo) for name, silo in found.items()}
    done = collaborate(plan, sites, engine, spent, folder, progress)
    last = described(plan, transport, lambda name: None, sleep)
    for name, silo in last.items():
        _require_one_ledger(name, found[name], silo)
    conclude(plan, sites, {name: _charged(silo) for name, silo in last.items()}, done, folder)
    progress.note("Nothing was evaluated: the records are elsewhere.")
    folder.state(done.outcome.status, done.outcome.reason)
    events.finish()
    return RunResult(done.outcome.status, out, done.outcome.reason, foreseen(plan, done.outcome))


def combined(
    plan: Plan,
    transport: Transport,
    on_question: Callable[[], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show every silo what all have answered, question by question, until all have their base.

    Raises:
        SiloUnavailable: a silo did not reply. ProtocolMismatch: it does not fit this run.
    """
    transcript: list[tuple[Released, ...]] = []
    for _ in range(plan.config.base.questions):
        asked = Combine(tuple(transcript))
        found = _from_all(plan, transport, "combine", asked, Summed, sleep)
        transcript.append(tuple(Released(sums.values, sums.std) for sums in found.values()))
        on_question()
    _from_all(plan, transport, "combine", Combine(tuple(transcript)), Healthy, sleep)


def described(
    plan: Plan,
    transport: Transport,
    on_silo: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Description]:
    """Ask every silo what it has released, until all of them have trained.

    Raises:
        SiloUnavailable: a silo did not reply. ProtocolMismatch: it does not fit this run.
    """

    def same(name: str, silo: Description) -> None:
        _require_same(plan, name, silo)
        on_silo(name)

    return _from_all(plan, transport, "describe", Describe(), Description, sleep, same)


def _from_all(
    plan: Plan,
    transport: Transport,
    step: str,
    request: Request,
    kind: type[Wanted],
    sleep: Callable[[float], None],
    on_reply: Callable[[str, Wanted], None] = lambda name, reply: None,
) -> dict[str, Wanted]:
    """Ask until every silo has given a reply of this kind; by silo, in the run's order."""
    found: dict[str, Wanted] = {}
    names, silent = [silo.name for silo in plan.config.silos], dict[str, int]()
    while missing := [name for name in names if name not in found]:
        replies = exchange(transport, step, dict.fromkeys(missing, request), PATIENCE)
        for name in missing:
            reply = replies.get(name)
            silent[name] = 0 if reply is not None else silent.get(name, 0) + 1
            if isinstance(reply, kind):
                on_reply(name, reply)
                found[name] = reply
            elif reply is not None:
                _require_training(name, reply)
        _require_replies(silent)
        if len(found) < len(names):
            sleep(POLL)
    return {name: found[name] for name in names}


def _require_training(name: str, reply: Reply) -> None:
    if isinstance(reply, Refused) and reply.kind == "not ready":
        return
    told = reply.reason if isinstance(reply, Refused) else type(reply).__name__
    raise ProtocolMismatch(f"{name}: did not say what it has released, but: {told}")


def _require_replies(silent: Mapping[str, int]) -> None:
    gone = [name for name, times in silent.items() if times >= TRIES]
    if gone:
        raise SiloUnavailable(
            f"{', '.join(gone)}: no reply, asked {TRIES} times, so the run does not go on. Start "
            "the silos with `dpfedsyn silo serve`, and continue with --resume."
        )


def _require_members(plan: Plan, transport: Transport) -> None:
    wanted, there = [silo.name for silo in plan.config.silos], transport.members()
    missing = [name for name in wanted if name not in there]
    if missing:
        raise SiloUnavailable(
            f"{', '.join(missing)}: not connected, so nothing was asked; connected are "
            f"{', '.join(there) or 'none'}. Start what connects them, each under its silo's name."
        )


def _require_same(plan: Plan, name: str, silo: Description) -> None:
    """Refuse a silo that means another run; nothing of it is used."""
    agreed = configuration.agreed(plan.config, plan.encoder.digest)
    mine = {"silo": name, "run": plan.config.name, "version": __version__, "agreed": agreed}
    other = [key for key, value in mine.items() if getattr(silo, key) != value]
    if other:
        told = "; ".join(f"{key}: {getattr(silo, key)[:64]!r}, here {mine[key]!r}" for key in other)
        raise ProtocolMismatch(
            f"{name}: does not take part in this run as the server knows it ({told}). Nothing was "
            "asked of it. Give both sides the same configuration, schema and version."
        )
    fault = _senseless(plan, silo)
    if fault is not None:
        raise ProtocolMismatch(
            f"{name}: says that it has released or spent what no silo can ({fault}); nothing of it "
            "was used. Let it run the server's version."
        )


def _senseless(plan: Plan, silo: Description) -> str | None:
    """Say what in a description cannot be, before anything of it is used."""
    counts, wanted = silo.counts, plan.config.weights.source == "counts"
    if wanted and counts is None:
        return "no counts"
    if counts is not None and not _finite(counts, plan.classes):
        return f"counts that are not {plan.classes} finite numbers"
    marginals, length = silo.marginals, MarginalQuery(plan.encoder.numbers).length
    if (marginals is None) == bool(plan.config.base.marginals_share):
        return "histograms, or none, against the plan"
    if marginals is not None and not _finite(marginals, length):
        return f"histograms that are not {length} finite numbers"
    record = silo.spent.record_mu2
    numbers = [silo.counts_std, silo.marginals_std, silo.spent.answers_mu2, float(silo.answers)]
    numbers += [float(silo.parameters)] + ([] if record is None else [record])
    return (
        None if all(0.0 <= n < math.inf for n in numbers) else "a number below zero or without end"
    )


def _finite(packed: Packed, length: int) -> bool:
    values = packed.array(("<f8",))
    return values.shape == (length,) and bool(np.isfinite(values).all())


def _require_one_ledger(name: str, before: Description, after: Description) -> None:
    """The claims are those of the ledgers that paid for the answers."""
    kept = ("ledger_id", "counts", "counts_std", "marginals", "released", "parameters")
    changed = [key for key in kept if getattr(before, key) != getattr(after, key)]
    if changed or after.answers < before.answers:
        raise ProtocolMismatch(
            f"{name}: came back as another silo during the run "
            f"({', '.join(changed) or 'answers'}), so nothing was stated. Bring back the silo that "
            "answered, with its home, and continue with --resume."
        )


def _site(silo: Description) -> Site:
    marginals = None
    if silo.marginals is not None:
        marginals = (_unpacked(silo.marginals), silo.marginals_std)
    counts = None if silo.counts is None else _unpacked(silo.counts)
    return Site(counts, silo.counts_std, marginals, silo.parameters)


def _unpacked(packed: Packed) -> Array:
    return packed.array(("<f8",))


def _charged(silo: Description) -> Charged:
    return Charged(
        silo.ledger_id,
        silo.ledger_head,
        silo.released,
        silo.inside,
        silo.answers,
        silo.spent.answers_mu2,
        silo.spent.record_mu2,
    )
