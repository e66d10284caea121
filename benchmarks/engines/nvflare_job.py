"""Both parts of a job that times rounds over NVFlare: bare Collab calls, and the product's own.

Sites import this: whatever only the server's part needs is imported where it is used.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvflare.collab import collab

from dpfedsyn.nvflare.site import Forwarder

BLOCK = 5  # rounds of one mode in a row

Step = Callable[[int], None]


class Site(Forwarder):
    """The product's forwarder, and beside it the cheapest answers that a site can give."""

    @collab.publish
    def arrays(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return an array like the one that came, and a number for each of its rows."""
        return 0.5 * x, x[:, 0].copy()

    @collab.publish
    def raw(self, x: bytes) -> bytes:
        """Return the same numbers as bytes, of bytes."""
        answer, numbers = self.arrays(np.frombuffer(x, np.float32).reshape(_square(x)))
        return bytes(answer.tobytes() + numbers.tobytes())


class Server:
    """Takes rounds of every mode in turns, and writes their seconds by mode.

    Args:
        out: JSON file. rounds: of each mode. rows: of a question, which has as many columns.
    """

    def __init__(self, out: str, rounds: int, rows: int) -> None:
        self.out = out
        self.rounds = rounds
        self.rows = rows

    @collab.main
    def run(self) -> None:
        """Take one round of each mode that does not count, then blocks that do."""
        numbers = count()  # no question comes twice, or a silo would look its reply up
        seconds: dict[str, list[float]] = {}
        with ours(self.rows) as asking:
            modes = {
                "bare, arrays": arrays(self.rows),
                "bare, bytes": raw(self.rows),
                "ours": asking,
            }
            for step in modes.values():
                step(next(numbers))
            for name in _turns(list(modes), self.rounds):
                began = time.perf_counter()
                modes[name](next(numbers))
                seconds.setdefault(name, []).append(time.perf_counter() - began)
        Path(self.out).write_text(json.dumps(seconds), encoding="utf-8")


def _turns(modes: list[str], rounds: int) -> Iterator[str]:
    """Blocks of all modes forwards, then backwards: what slows the machine down meets all alike."""
    for done in range(0, rounds, BLOCK):
        for mode in modes:
            yield from [mode] * min(BLOCK, rounds - done)
        modes = modes[::-1]


def arrays(rows: int) -> Step:
    """A plain Collab call of all sites: NVFlare takes arrays to bytes and back."""

    def step(number: int) -> None:
        _require_all(collab.clients.arrays(_question(number, rows)))

    return step


def raw(rows: int) -> Step:
    """A plain Collab call of all sites with bytes, as the product's messages are."""

    def step(number: int) -> None:
        _require_all(collab.clients.raw(_question(number, rows).tobytes()))

    return step


@contextmanager
def ours(rows: int) -> Iterator[Step]:
    """Ask the product's silos, which charge their ledgers."""
    from benchmarks.engines import stub
    from dpfedsyn.engine.asking import Asking
    from dpfedsyn.nvflare.transport import NVFlareTransport

    sites = {site.name: site for site in collab.clients}
    with NVFlareTransport(sites, collab.context.is_aborted) as transport:
        engine = Asking(transport)

        def step(number: int) -> None:
            queries = dict.fromkeys(sites, stub.query(number, rows, rows))
            assert len(engine.ask(queries)) == len(sites)

        yield step


def _require_all(replies: Any) -> None:
    assert not replies.failures, replies.failures
    assert len(list(replies)) == len(collab.clients)


def _question(number: int, rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(number).standard_normal((rows, rows)).astype(np.float32)


def _square(x: bytes) -> tuple[int, int]:
    rows = round((len(x) // np.dtype(np.float32).itemsize) ** 0.5)
    return rows, rows
