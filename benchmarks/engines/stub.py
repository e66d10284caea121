"""A silo of any size behind a socket: the product's silo, ledger and listener, and a toy model.

`python -m benchmarks.engines.stub NAME SOCKET DIMENSION [CAP [FOLDER]]`; key and ledger stay in
FOLDER, so that one that was killed comes back as what it was.
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
from dpfedsyn.keys import SiloKey, fresh, load, store
from dpfedsyn.messages import ScoreQuery
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.silo import Public, Silo

RUN = "stub"
CLIP = 6.0
MOST = 2**28
UNLIMITED = 1e18  # on mu^2


class Toy:
    """Predicts half of what it sees: as cheap as a model can be."""

    def predict_noise(
        self, x: NDArray[np.float64], signal: float, labels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return x / 2."""
        return 0.5 * x


@contextmanager
def silo(name: str, dimension: int, folder: Path, cap: float = UNLIMITED) -> Iterator[Silo]:
    """A silo with a ledger of this cap on mu^2; the one whose ledger lies in the folder, if any."""
    path = folder / "ledger.sqlite"
    if not path.exists():
        store(fresh(), folder / "key")
        _begin(path, name, cap, load(folder / "key"))
    key = load(folder / "key")
    public = Public(name, RUN, dimension, 1, AnswerMechanism(CLIP, 18.0), None, b"stub")
    with Ledger.open(path, key=key.chain) as ledger:
        yield Silo(public, [Toy()], ledger, key)


def _begin(path: Path, name: str, cap: float, key: SiloKey) -> None:
    header = Header(
        key.ledger_id, name, RUN, "record", "add-or-remove", 1e-5, (), cap, None, 3, "1",
        draws_cap=2**62,
    )  # fmt: skip
    Ledger.create(path, header, key=key.chain).close()


def query(number: int, rows: int, dimension: int) -> ScoreQuery:
    """Return the question of a round."""
    x = np.random.default_rng(number).standard_normal((rows, dimension)).astype(np.float32)
    return ScoreQuery(RUN, number, 100, x, np.zeros(rows, dtype=np.int64), 1.0, None)


def replying(one: Silo) -> service.Handler:
    """Return the way from bytes to bytes, health included."""

    def reply(request: Request) -> Reply:
        if isinstance(request, Health):
            return Healthy(one.public.name, RUN, __version__, "ready", 0, 0, "")
        if isinstance(request, Ask):
            return service.answered(request, one.answer, lambda: service.spent(one.ledger))
        raise ProtocolMismatch("a stub describes nothing.")

    return lambda data: service.handled(data, reply)


def main() -> None:
    """Serve until killed."""
    name, path, dimension, *rest = sys.argv[1:]
    cap, kept = float(rest[0]) if rest else UNLIMITED, rest[1] if rest[1:] else None
    with (
        tempfile.TemporaryDirectory(prefix="stub-") as scratch,
        silo(name, int(dimension), Path(kept or scratch), cap) as one,
    ):
        handle = replying(one)
        Listener(Path(path), handle, most=MOST, allowed={os.getuid()}).serve()


if __name__ == "__main__":
    main()
