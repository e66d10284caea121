"""A silo of any size behind a socket: the product's silo, ledger and listener, and a toy model.

`python -m benchmarks.engines.stub NAME SOCKET DIMENSION [CAP]`
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accountants.ledger import Header, Ledger
from dpfedsyn import __version__, service
from dpfedsyn.daemon.listener import Listener
from dpfedsyn.envelope import Ask, Health, Healthy, Reply, Request
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.keys import fresh
from dpfedsyn.messages import ScoreQuery
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.silo import Public, Silo

RUN = "stub"
CLIP = 6.0
MOST = 2**28


class Toy:
    """Predicts half of what it sees: as cheap as a model can be."""

    def predict_noise(
        self, x: NDArray[np.float64], signal: float, labels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return x / 2."""
        return 0.5 * x


@contextmanager
def silo(name: str, dimension: int, folder: Path, cap: float = 1e18) -> Iterator[Silo]:
    """A silo with a ledger of this cap on mu^2."""
    key = fresh()
    header = Header(
        key.ledger_id, name, RUN, "record", "add-or-remove", 1e-5, (), cap, None, 3, "1",
        draws_cap=2**62,
    )  # fmt: skip
    public = Public(name, RUN, dimension, 1, AnswerMechanism(CLIP, 18.0), None, b"stub")
    with Ledger.create(folder / "ledger.sqlite", header, key=key.chain) as ledger:
        yield Silo(public, [Toy()], ledger, key)


def query(number: int, rows: int, dimension: int) -> ScoreQuery:
    """Return the question of a round."""
    x = np.random.default_rng(number).standard_normal((rows, dimension)).astype(np.float32)
    return ScoreQuery(RUN, number, 100, x, np.zeros(rows, dtype=np.int64), 1.0, None)


def replying(one: Silo) -> service.Handler:
    """Return the way from bytes to bytes, health included."""

    def reply(request: Request) -> Reply:
        if isinstance(request, Health):
            return Healthy(one.public.name, RUN, __version__, "ready", 0, 0)
        if isinstance(request, Ask):
            return service.answered(request, one.answer, lambda: service.spent(one.ledger))
        raise ProtocolMismatch("a stub describes nothing.")

    return lambda data: service.handled(data, reply)


def main() -> None:
    """Serve until killed."""
    name, path, dimension, *cap = sys.argv[1:]
    with (
        tempfile.TemporaryDirectory(prefix="stub-") as folder,
        silo(name, int(dimension), Path(folder), *map(float, cap)) as one,
    ):
        handle = replying(one)
        Listener(Path(path), handle, most=MOST, allowed={os.getuid()}).serve()


if __name__ == "__main__":
    main()
