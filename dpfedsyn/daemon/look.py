"""What a silo's process says of itself, as lines for a terminal."""

from __future__ import annotations

import math
from pathlib import Path

from dpfedsyn import envelope, reach
from dpfedsyn.envelope import Describe, Description, Health, Healthy, Request
from dpfedsyn.errors import ProtocolMismatch, SiloUnavailable

TIMEOUT = 10.0  # seconds


def lines(path: Path) -> list[str]:
    """Ask the process that listens at `path`.

    Raises:
        SiloUnavailable: nobody answers there. ProtocolMismatch: somebody else does.
    """
    health = _asked(path, Health())
    if not isinstance(health, Healthy):
        raise ProtocolMismatch(f"{path}: whoever listens there is no silo of this version.")
    told = f"{health.silo} of run {health.run}: {health.state}, version {health.version}"
    if health.state != "ready":
        return [f"{told}; {health.done} of {health.steps} training steps"]
    description = _asked(path, Describe())
    if not isinstance(description, Description):
        raise ProtocolMismatch(f"{path}: whoever listens there is no silo of this version.")
    return [told, *_described(description)]


def _described(silo: Description) -> list[str]:
    spent = math.sqrt(silo.spent.answers_mu2)
    return [
        f"released: {', '.join(silo.released) or 'nothing'}; kept inside: "
        f"{', '.join(silo.inside) or 'nothing'}",
        f"answers: {silo.answers}, mu {spent:.4g} together",
        f"ledger {silo.ledger_id}, head {silo.ledger_head}",
        f"agreed settings and schema: {silo.agreed}",
    ]


def _asked(path: Path, request: Request) -> envelope.Reply:
    try:
        return envelope.reply(reach.call(path, envelope.encode(request), TIMEOUT))
    except OSError as error:
        raise SiloUnavailable(
            f"{error}. Start it with `dpfedsyn silo serve`, or mend --socket."
        ) from None
