"""One silo's process from its configuration to its last reply."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dpfedsyn import folder as folders
from dpfedsyn import plan as planning
from dpfedsyn import resolved
from dpfedsyn.bases import lengths
from dpfedsyn.brought import BroughtModel
from dpfedsyn.daemon.combining import FILE, Combining
from dpfedsyn.daemon.listener import Listener
from dpfedsyn.daemon.resident import Resident, Stopped
from dpfedsyn.data import Records
from dpfedsyn.device import pick_device
from dpfedsyn.errors import ConfigError
from dpfedsyn.federation import Member, opened, read_models, trained, training_steps
from dpfedsyn.folder import RunFolder
from dpfedsyn.moments import query_of
from dpfedsyn.plan import Plan
from dpfedsyn.records import read_records
from dpfedsyn.settings import Config, SiloSettings
from dpfedsyn.threads import one_per_silo

_LOG = logging.getLogger(__name__)

OVERHEAD = 4096  # bytes of a question beside its arrays


@dataclass(frozen=True)
class Home:
    """A silo's own place: what it is to do, and the folder in which it keeps key and ledger."""

    plan: Plan
    silo: SiloSettings
    folder: RunFolder
    records: Records
    model: BroughtModel | None = None  # that it brings

    @property
    def most(self) -> int:
        """Bytes of the largest request that the run's public settings have."""
        config, d = self.plan.config, self.plan.dimension
        question = config.answers.rows * (4 * d + 8)
        if config.base.combine == "none":
            return question + OVERHEAD
        sums = sum(lengths(query_of(d, self.plan.classes, config.base), config.base))
        numbers = len(config.silos) * (sums + config.base.questions)  # and a noise for each
        return max(question, 8 * numbers) + OVERHEAD

    def resident(self) -> Resident:
        """Return who answers here, before it is trained."""
        config = self.plan.config
        agreed = resolved.agreed(config, self.plan.encoder.digest)
        return Resident(self.silo.name, config.name, agreed, training_steps(config, self.silo))


def open_home(config: Config, name: str, path: Path) -> Home:
    """Check the plan, and open the silo's folder: a new one, or one of the same configuration.

    Raises:
        ConfigError: the configuration has no such silo. BudgetExhausted: the plan does not fit.
        RunError: the folder belongs to another configuration. DataError: the silo's records.
        ModelError: the model that it brings.
    """
    known = {silo.name: silo for silo in config.silos}
    if name not in known:
        raise ConfigError(
            f"--name {name}: the configuration has no such silo, so nothing was started; it has "
            f"{', '.join(known)}."
        )
    plan = planning.make(config)
    plan.require()
    # Records first: a folder is bound to where they lie.
    read = read_records(config, plan.encoder, silos=[known[name]], may_be_empty=True)
    records = read.silos[name].train
    model = read_models(plan, pick_device(config), [known[name]]).get(name)
    folder = folders.start(path, config, resume=(path / "config.toml").is_file())
    return Home(plan, known[name], folder, records, model)


@contextmanager
def _made(home: Home, resident: Resident) -> Iterator[Member]:
    """Train the silo, or read back what it trained, and hold its ledger open.

    Where all silos' sums make the base, it is waited for.
    """
    config, plan = home.plan.config, home.plan
    device = pick_device(config)
    with opened(plan, home.silo, home.records, home.folder, device, home.model) as preparation:
        base = None
        if config.base.combine != "none":
            place, silos = config.silos.index(home.silo), len(config.silos)
            combining = Combining(preparation, place, silos, home.folder.path)
            resident.combining = combining
            base = combining.base(lambda: resident.stopping)
            if base is None:
                raise Stopped
        resident.waiting = False
        yield trained(plan, preparation, base, home.folder, resident.advance)


def train(home: Home, resident: Resident) -> None:
    """Train the silo and leave.

    Raises:
        ConfigError: its base waits for all silos' sums, which only `serve` can be shown.
    """
    config = home.plan.config
    if config.base.combine != "none" and not (home.folder.path / FILE).exists():
        raise ConfigError(
            f"base.combine = {config.base.combine!r}: the base is made of all silos' sums, so "
            "nothing was trained. Start `dpfedsyn silo serve` on every side, and the run."
        )
    with one_per_silo(), _made(home, resident) as member:
        resident.member = member


def serve(
    home: Home, resident: Resident, socket: Path, allowed: Collection[int], group: int | None
) -> None:
    """Train in the background and answer until the process is told to end.

    Raises:
        RunError: the socket cannot be made. Whatever training raised, once the socket is closed.
    """
    listener = Listener(socket, resident.handle, most=home.most, allowed=allowed, group=group)
    faults: list[BaseException] = []
    with one_per_silo(), ExitStack() as stack:

        def make() -> None:
            try:
                resident.member = stack.enter_context(_made(home, resident))
                _LOG.info("%s: ready", resident.name)
            except Stopped:
                return
            except BaseException as fault:
                resident.failed = True
                faults.append(fault)
                listener.stop()

        with _ended_by_signals(listener, resident):
            thread = threading.Thread(target=make, name="training")
            thread.start()
            _LOG.info("%s: process %d listens at %s", resident.name, os.getpid(), socket)
            listener.serve()
            resident.stopping = True
            thread.join()
    if faults:
        raise faults[0]


@contextmanager
def _ended_by_signals(listener: Listener, resident: Resident) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the process after the reply that is being made."""

    def end(number: int, frame: FrameType | None) -> None:
        resident.stopping = True
        listener.stop()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
