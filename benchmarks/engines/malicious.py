"""A server that plays foul, beside what a silo's process does about it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.engines import stub
from dpfedsyn import envelope, frames, messages, reach
from dpfedsyn.envelope import Answered, Ask, Refused, Reply
from dpfedsyn.messages import Packed, ScoreQuery

D = 8


def attacks(path: Path) -> dict[str, Callable[[], bool]]:
    """Return attacks by name; each says whether it got nothing.

    Args:
        path: socket of a stub of dimension `D` whose budget is nearly spent.
    """
    good = stub.query(1, 4, D)
    crafted: Mapping[str, ScoreQuery] = {
        "another run": replace(good, run="other"),
        "a round below zero": replace(good, round_number=-1),
        "a time outside": replace(good, t=1000),
        "labels outside": replace(good, labels=np.full(4, 7)),
        "another dimension": replace(good, x=np.zeros((4, D + 1), np.float32)),
        "no rows": replace(good, x=np.zeros((0, D), np.float32), labels=np.zeros(0, np.int64)),
        "NaN": replace(good, x=np.full((4, D), np.nan, np.float32)),
        "infinity": replace(good, x=np.full((4, D), np.inf, np.float32)),
        "no noise": replace(good, score_std=0.0),
        "negative noise": replace(good, score_std=-1.0),
        "noise that is no number": replace(good, score_std=float("nan")),
        "vanishing noise": replace(good, score_std=1e-300),
        "more than the budget": replace(good, score_std=1e-3),
        "float64 samples": replace(good, x=np.zeros((4, D))),  # type: ignore[arg-type]
    }
    requests = {
        name: envelope.encode(Ask(messages.encode_query(query))) for name, query in crafted.items()
    }
    found: dict[str, Callable[[], bool]] = {
        name: partial(_refused, path, data) for name, data in (requests | _bytes(good)).items()
    }
    found["a frame without end"] = lambda: _closed(path, b"\xff\xff\xff\xff")
    found["a frame that is larger than any question"] = lambda: _closed(
        path, (stub.MOST + 1).to_bytes(frames.HEADER, "big")
    )
    return found


def _bytes(good: ScoreQuery) -> dict[str, bytes]:
    """Bytes that are no request, or one for something that a silo does not do."""
    pack: Callable[[Any], bytes] = msgspec.msgpack.encode
    query = messages.encode_query(good)
    shaped = {"type": messages.QUERY, "run": stub.RUN, "round_number": 1, "t": 1}
    shaped |= {"score_std": 1.0, "energy_std": None, "labels": Packed.of(good.labels)}
    huge = Packed("<f4", (2**40, 2**20), b"")
    return {
        "nothing": b"",
        "noise": bytes(range(256)),
        "half a request": envelope.encode(Ask(query))[:-7],
        "a request and more": envelope.encode(Ask(query)) + b"\0",
        "another request": pack({"type": "train/1"}),
        "records asked for": pack({"type": "records/1", "rows": 10}),
        "a reply as a request": envelope.encode(Refused("fault", "")),
        "a pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
        "an array that is larger than memory": envelope.encode(Ask(pack({**shaped, "x": huge}))),
        "nesting without end": b"\x91" * 100_000,
    }


def _refused(path: Path, request: bytes) -> bool:
    try:
        reply: Reply = envelope.reply(reach.call(path, request, 30.0))
    except ConnectionError:
        return True
    return isinstance(reply, Refused)


def _closed(path: Path, start: bytes) -> bool:
    """Whether the silo closes a connection that starts so, without a byte."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(30.0)
        connection.connect(str(path))
        connection.sendall(start)
        return connection.recv(1) == b""


def answered(path: Path, query: ScoreQuery) -> bytes | None:
    """Return an honest question's answer, or None where it is refused."""
    request = envelope.encode(Ask(messages.encode_query(query)))
    reply = envelope.reply(reach.call(path, request, 30.0))
    return reply.answer if isinstance(reply, Answered) else None
