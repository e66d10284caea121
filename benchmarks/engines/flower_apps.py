"""Apps that time rounds inside of a ServerApp: bare, as Flower comes, and through the product."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

POLL = 0.05  # seconds, as in the product's own loop

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Take rounds as `mode` says, and write their seconds to `out`."""
    settings = context.run_config
    rows, rounds = int(settings["rows"]), int(settings["rounds"])
    silos = str(settings["silos"]).split(",")
    while len(list(grid.get_node_ids())) < len(silos):
        time.sleep(0.5)
    step = MODES[str(settings["mode"])](grid, silos, rows)
    seconds = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - began)
    Path(str(settings["out"])).write_text(json.dumps(seconds[1:]))  # the first finds the nodes


def bare(grid: Grid, silos: list[str], rows: int) -> Callable[[int], None]:
    """Push and pull by ourselves, as the product does."""

    def step(number: int) -> None:
        waiting = set(grid.push_messages(_messages(grid, number, rows)))
        while waiting:
            for reply in grid.pull_messages(list(waiting)):
                assert not reply.has_error(), reply.error
                waiting.discard(reply.metadata.reply_to_message_id)
            if waiting:
                time.sleep(POLL)

    return step


def defaults(grid: Grid, silos: list[str], rows: int) -> Callable[[int], None]:
    """Use Flower's own loop."""

    def step(number: int) -> None:
        replies = list(grid.send_and_receive(_messages(grid, number, rows)))
        assert len(replies) == len(silos)

    return step


def ours(grid: Grid, silos: list[str], rows: int) -> Callable[[int], None]:
    """Ask the product's silos, which charge their ledgers."""
    from benchmarks.engines import stub
    from dpfedsyn.engine.asking import Asking
    from dpfedsyn.flower.transport import FlowerTransport

    engine = Asking(FlowerTransport(grid, silos))

    def step(number: int) -> None:
        queries = dict.fromkeys(silos, stub.query(number, rows, rows))
        assert len(engine.ask(queries)) == len(silos)

    return step


MODES: dict[str, Callable[[Grid, list[str], int], Callable[[int], None]]] = {
    "bare": bare,
    "defaults": defaults,
    "ours": ours,
}


def _messages(grid: Grid, number: int, rows: int) -> list[Message]:
    x = np.random.default_rng(number).standard_normal((rows, rows)).astype(np.float32)
    return [
        Message(_record(x), dst_node_id=node, message_type="query.bare", group_id=str(number))
        for node in grid.get_node_ids()
    ]


def _record(x: Any) -> RecordDict:
    return RecordDict({"x": ArrayRecord({"x": Array(x)})})
