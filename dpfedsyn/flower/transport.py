"""The transport over a Flower grid: one message per silo and step, pushed and pulled by ourselves.

Flower's own loop looks for replies every three seconds; ours does every `POLL`. A message is
executed at most once by Flower, a question that is asked again is a new message, and the silo's
ledger answers both with the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from flwr.app import Message

from dpfedsyn import envelope
from dpfedsyn.engine import Failure
from dpfedsyn.envelope import Health, Healthy
from dpfedsyn.errors import ProtocolMismatch, SiloUnavailable
from dpfedsyn.flower.client import FAILED, MESSAGE_TYPE, packed, unpacked

POLL = 0.05  # seconds between two looks for replies
HELLO = 90.0  # seconds for nodes to say which silo they stand for


class Grid(Protocol):
    """What is used of `flwr.serverapp.Grid`."""

    def get_node_ids(self) -> Iterable[int]:
        """Nodes that are connected."""
        ...

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; their ids."""
        ...

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that are there."""
        ...


class FlowerTransport:
    """Deliver over a grid to nodes that stand for silos.

    Args:
        silos: names of the silos, in the run's order.
    """

    def __init__(self, grid: Grid, silos: Iterable[str]) -> None:
        self._grid = grid
        self._silos = tuple(silos)
        self._nodes: dict[str, int] = {}  # by silo

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order; those that are not connected too."""
        return self._silos

    def query(
        self, step: str, payloads: Mapping[str, bytes], timeout: float | None
    ) -> dict[str, bytes | Failure]:
        """Deliver each silo's payload and return its reply, or why there is none.

        A silo whose node is unknown, or has gone, is looked for first.

        Raises:
            ProtocolMismatch: two nodes say that they stand for one silo.
        """
        self._find(payloads)
        known = {name: self._nodes[name] for name in payloads if name in self._nodes}
        found = self._deliver(step, {known[name]: payloads[name] for name in known}, timeout)
        replies: dict[str, bytes | Failure] = {
            name: Failure("no connected node stands for this silo") for name in payloads
        }
        replies |= {name: found[node] for name, node in known.items()}
        for name, reply in replies.items():
            if isinstance(reply, Failure):
                self._nodes.pop(name, None)  # it may come back as another node
        return replies

    def wait(self, seconds: float) -> None:
        """Wait until a node stands for every silo.

        Raises:
            SiloUnavailable: some silo has none in time.
        """
        end = time.monotonic() + seconds
        while True:
            self._find(self._silos)
            missing = [name for name in self._silos if name not in self._nodes]
            if not missing:
                return
            if time.monotonic() > end:
                raise SiloUnavailable(
                    f"{', '.join(missing)}: no connected node stands for this silo after "
                    f"{seconds:g} s, so nothing was asked. Start its SuperNode with "
                    "--node-config 'socket=\"PATH\"', and its `dpfedsyn silo serve`."
                )
            time.sleep(20 * POLL)

    def _find(self, wanted: Iterable[str]) -> None:
        """Ask nodes that stand for nobody yet who they are, where somebody wanted is missing."""
        connected = set(self._grid.get_node_ids())
        self._nodes = {name: node for name, node in self._nodes.items() if node in connected}
        strangers = connected - set(self._nodes.values())
        if not strangers or all(name in self._nodes for name in wanted):
            return
        hello = envelope.encode(Health())
        for node, reply in self._deliver("hello", dict.fromkeys(strangers, hello), HELLO).items():
            if isinstance(reply, Failure):
                continue
            told = envelope.reply(reply)
            if not isinstance(told, Healthy) or told.silo not in self._silos:
                continue
            if told.silo in self._nodes:
                raise ProtocolMismatch(
                    f"{told.silo}: two nodes stand for this silo ({self._nodes[told.silo]} and "
                    f"{node}), so neither was asked. Stop one of them."
                )
            self._nodes[told.silo] = node

    def _deliver(
        self, step: str, payloads: Mapping[int, bytes], timeout: float | None
    ) -> dict[int, bytes | Failure]:
        """Push one message to each node, and pull until all have replied or time is up."""
        end = None if timeout is None else time.monotonic() + timeout
        messages = [
            Message(packed(data), dst_node_id=node, message_type=MESSAGE_TYPE, group_id=step)
            for node, data in payloads.items()
        ]
        ids = list(self._grid.push_messages(messages))
        waiting = {
            message_id: node
            for message_id, node in zip(ids, payloads, strict=False)
            if message_id is not None
        }
        replies: dict[int, bytes | Failure] = dict.fromkeys(
            payloads, Failure(f"no reply within {timeout or 0.0:g} s, or it could not be sent")
        )
        while waiting and (end is None or time.monotonic() < end):
            for message in self._grid.pull_messages(list(waiting)):
                node = waiting.pop(message.metadata.reply_to_message_id, None)
                if node is not None:
                    replies[node] = _reply(message)
            if waiting:
                time.sleep(POLL)
        return replies


def _reply(message: Message) -> bytes | Failure:
    if message.has_error():
        return Failure(f"Flower error {message.error.code}: {message.error.reason}")
    content = message.content
    if FAILED in content.config_records:
        return Failure(str(content.config_records[FAILED].get("reason", "")))
    try:
        return unpacked(content)
    except ConnectionError as error:
        return Failure(str(error))
