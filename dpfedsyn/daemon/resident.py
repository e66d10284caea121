"""A silo inside its process: it trains, then answers; meanwhile it says how far it is."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np

from dpfedsyn import __version__, service
from dpfedsyn.daemon.combining import Combining
from dpfedsyn.envelope import (
    Ask,
    Combine,
    Describe,
    Description,
    Health,
    Healthy,
    Refused,
    Reply,
    Request,
)
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.federation import Member
from dpfedsyn.messages import Packed
from dpfedsyn.released import Site, charged

LARGE = 2**20  # bytes of a request, above which only one is read at a time


class Stopped(Exception):  # noqa: N818
    """The process was told to end while it trained."""


@dataclass(eq=False)
class Resident:
    """The one who answers in a silo's process.

    Attributes:
        name, run: of the silo and its run. agreed: digest of what all sides must have alike.
        steps: of training. member: the trained silo, once there is one. combining: what it adds to
            a base that all silos' sums make. waiting: whether training has not begun.
    """

    name: str
    run: str
    agreed: str
    steps: int
    member: Member | None = None
    combining: Combining | None = None
    waiting: bool = True
    done: int = 0
    failed: bool = False
    stopping: bool = False
    reading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def advance(self) -> None:
        """One step of training is done; where the process is to end, it ends here.

        Raises:
            Stopped: training goes on from its last block when the process is started again.
        """
        self.done += 1
        if self.stopping:
            raise Stopped

    def handle(self, data: bytes) -> bytes:
        """From a request's bytes to its reply's.

        Guarantee:
            Health and description hold public facts, released values and the ledger's sums; a
            question is answered by `Silo.answer` alone. Sums are those of the budget's mechanisms.
            There is no other request.
        """
        # Arrays are several times their bytes while they are unpacked: one set of them at a time.
        with self.reading if len(data) > LARGE else nullcontext():
            return service.handled(data, self._reply)

    def _reply(self, request: Request) -> Reply:
        if isinstance(request, Health):
            return self._health()
        if isinstance(request, Combine):
            return self._combined(request)
        member = self.member
        if member is None:
            return Refused("not ready", f"{self.name}: is {self._health().state}; ask again later.")
        if isinstance(request, Describe):
            return self._description(member)
        assert isinstance(request, Ask)
        silo = member.silo
        return service.answered(request, silo.answer, lambda: service.spent(silo.ledger))

    def _combined(self, request: Combine) -> Reply:
        if request.agreed != self.agreed:
            raise ProtocolMismatch(
                f"{self.name}: its sums were asked for under other settings or another schema; "
                "nothing was answered or charged. Give both sides the same configuration."
            )
        if self.combining is None:
            return Refused("not ready", f"{self.name}: makes no sums now; ask again later.")
        return self.combining.reply(request) or self._health()

    def _health(self) -> Healthy:
        making = "waiting" if self.waiting else "training"
        state = "failed" if self.failed else making if self.member is None else "ready"
        return Healthy(self.name, self.run, __version__, state, self.done, self.steps, self.agreed)

    def _description(self, member: Member) -> Description:
        ledger, site = member.silo.ledger, member.site
        spent = charged(ledger)
        counts, marginals = _packed(site)
        return Description(
            silo=self.name,
            run=self.run,
            version=__version__,
            agreed=self.agreed,
            counts=counts,
            counts_std=float(site.counts_std),
            marginals=marginals,
            marginals_std=0.0 if site.marginals is None else float(site.marginals[1]),
            parameters=site.parameters,
            released=spent.released,
            inside=spent.inside,
            answers=spent.answers,
            spent=service.spent(ledger),
            ledger_id=spent.ledger_id,
            ledger_head=spent.head,
            base="" if self.combining is None else self.combining.digest,
        )


def _packed(site: Site) -> tuple[Packed | None, Packed | None]:
    def pack(values: object) -> Packed:
        return Packed.of(np.ascontiguousarray(values, dtype=np.float64))

    counts = None if site.counts is None else pack(site.counts)
    return counts, None if site.marginals is None else pack(site.marginals[0])
