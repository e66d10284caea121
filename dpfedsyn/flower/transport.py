"""The transport over a Flower grid: one message per silo and step, pushed and pulled by ourselves.

Flower's own loop looks for replies every three seconds; ours does every `POLL`. A message is
executed at most once by Flower, a question that is asked again is a new message, and the silo's
ledger answers both with the same bytes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from flwr.app import Message

from dpfedsyn import envelope
from dpfedsyn.engine import Failure
from dpfedsyn.envelope import Health
from dpfedsyn.errors import SiloUnavailable
from dpfedsyn.flower.client import FAILED, MESSAGE_TYPE, packed, unpacked
from dpfedsyn.flower.nodes import Nodes

_LOG = logging.getLogger(__name__)

POLL = 0.05  # seconds between two looks for replies


class Grid(Protocol):
    """What is used of `flwr.serverapp.Grid`."""

    def get_nodes(self) -> Iterable[Any]:
        """Nodes that are connected: `node_id`, and `public_key` as they have proven it."""
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
        silos: names of the silos, in the run's order. keys: as of `Nodes`.
    """

    def __init__(
        self, grid: Grid, silos: Iterable[str], keys: Mapping[str, bytes] | None = None
    ) -> None:
        self._grid = grid
        self._nodes = Nodes(silos, keys)
        self._looking = threading.Lock()  # one step looks for nodes; others go on beside it
        self._hellos: dict[str, int] = {}  # nodes by message
        self._late: dict[str, tuple[str, str]] = {}  # silo and step by message

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order; those that are not connected too."""
        return self._nodes.silos

    def query(
        self, step: str, payloads: Mapping[str, bytes], timeout: float | None
    ) -> dict[str, bytes | Failure]:
        """Deliver each silo's payload and return its reply, or why there is none.

        Nodes that nobody knows yet are asked whom they stand for where a silo has none, or gave no
        reply before; the others have their payloads meanwhile. Replies that come too late are
        dropped and logged.

        Raises:
            ProtocolMismatch: two nodes say that they stand for one silo.
        """
        began = time.monotonic()
        sent: dict[str, str] = {}  # silos by message
        found: dict[str, bytes | Failure] = {
            name: Failure("no connected node stands for this silo") for name in payloads
        }
        with self._search(payloads) as looking:
            self._send(step, payloads, payloads, sent, found)
            while True:
                before = time.monotonic()
                for name in self._pull(sent, found, looking):
                    if name in payloads and not isinstance(found[name], bytes):
                        self._leave(step, sent, name)
                        self._send(step, payloads, [name], sent, found)
                missing = any(isinstance(reply, Failure) for reply in found.values())
                hoped = self._nodes.hoped_for(self._hellos.values() if looking and missing else ())
                late = timeout is not None and time.monotonic() - began > timeout
                if late or not (sent or hoped):
                    break
                time.sleep(POLL)
                if not sent:
                    self._nodes.waited(hoped, time.monotonic() - before)
        for name in set(sent.values()):
            found[name] = Failure(f"no reply within {timeout or 0.0:g} s")
            self._leave(step, sent, name)
        for name, reply in found.items():
            self._nodes.replied(name, isinstance(reply, bytes))
        return found

    def wait(self, seconds: float) -> None:
        """Wait until a node stands for every silo.

        Raises:
            SiloUnavailable: some silo has none in time.
        """
        end = time.monotonic() + seconds
        while True:
            with self._search(self.members()) as looking:
                self._pull({}, {}, looking)
            missing = [name for name in self.members() if self._nodes.of(name) is None]
            if not missing:
                return
            if time.monotonic() > end:
                key = "" if self._nodes.keys is None else ", with the key that is pinned for it"
                raise SiloUnavailable(
                    f"{', '.join(missing)}: no connected node stands for this silo after "
                    f"{seconds:g} s, so nothing was asked. Start its SuperNode with "
                    f"--node-config 'socket=\"PATH\"'{key}, and its `dpfedsyn silo serve`."
                )
            time.sleep(20 * POLL)

    @contextmanager
    def _search(self, wanted: Iterable[str]) -> Iterator[bool]:
        """Ask nodes whom they stand for, where need be; False: another step does so just now."""
        looking = self._looking.acquire(blocking=False)
        try:
            if looking:
                nodes = {
                    int(node.node_id): bytes(node.public_key) for node in self._grid.get_nodes()
                }
                self._nodes.connected(nodes)
                self._hellos = {m: node for m, node in self._hellos.items() if node in nodes}
                strangers = self._nodes.strangers(nodes.keys(), wanted) - set(self._hellos.values())
                hello = envelope.encode(Health())
                self._hellos |= self._push("hello", dict.fromkeys(strangers, hello))
            yield looking
        finally:
            if looking:
                self._looking.release()

    def _send(
        self,
        step: str,
        payloads: Mapping[str, bytes],
        names: Iterable[str],
        sent: dict[str, str],
        found: dict[str, bytes | Failure],
    ) -> None:
        """Push the payloads of these silos, as far as they have nodes."""
        silos = {node: name for name in names if (node := self._nodes.of(name)) is not None}
        pushed = self._push(step, {node: payloads[name] for node, name in silos.items()})
        sent |= {message: silos[node] for message, node in pushed.items()}
        for node in silos.keys() - set(pushed.values()):
            found[silos[node]] = Failure("Flower did not take the message")

    def _push(self, step: str, payloads: Mapping[int, bytes]) -> dict[str, int]:
        """Push one message to each node; nodes by message, those that Flower took."""
        messages = [
            Message(packed(data), dst_node_id=node, message_type=MESSAGE_TYPE, group_id=step)
            for node, data in payloads.items()
        ]
        ids = list(self._grid.push_messages(messages)) if messages else []
        return {name: node for name, node in zip(ids, payloads, strict=False) if name is not None}

    def _pull(
        self, sent: dict[str, str], found: dict[str, bytes | Failure], looking: bool
    ) -> list[str]:
        """Take the replies that are there; the silos whose nodes have said so just now."""
        wanted = [*sent, *self._hellos, *self._late] if looking else list(sent)
        said = []
        for message in self._grid.pull_messages(wanted) if wanted else ():
            number, reply = message.metadata.reply_to_message_id, _reply(message)
            if number in sent:
                found[sent.pop(number)] = reply
            elif number in self._hellos:
                said.append(self._nodes.said(self._hellos.pop(number), reply))
            elif number in self._late:
                name, step = self._late.pop(number)
                if isinstance(reply, bytes):
                    _LOG.warning("%s: its reply in %s came too late, dropped", name, step)
        return [name for name in said if name is not None]

    def _leave(self, step: str, sent: dict[str, str], name: str) -> None:
        """Wait no longer for what this silo's node was sent."""
        for message in [m for m, silo in sent.items() if silo == name]:
            self._late[message] = (sent.pop(message), step)


def _reply(message: Message) -> bytes | Failure:
    if message.has_error():
        return Failure.told(f"Flower error {message.error.code}: {message.error.reason}")
    content = message.content
    if FAILED in content.config_records:
        return Failure.told(content.config_records[FAILED].get("reason", ""))
    try:
        return unpacked(content)
    except ConnectionError as error:
        return Failure(str(error))
