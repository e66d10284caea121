"""Which node stands for which silo: by its key where keys are pinned, else by what it says.

A node that says nothing, or what cannot be read, is no fault of the silos': it is told apart, and
the run waits for it `HELLO` seconds altogether, not in every step.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping

from dpfedsyn import envelope
from dpfedsyn.engine import Failure
from dpfedsyn.envelope import Healthy
from dpfedsyn.errors import ProtocolMismatch

_LOG = logging.getLogger(__name__)

HELLO = 90.0  # seconds that a node's word on whom it stands for is waited for, in all


class Nodes:
    """The nodes of a federation, as far as they stand for silos.

    Args:
        silos: names of the run's silos. keys: by silo, the public key (PEM) that its node has
            proven to have; None: whoever says that it stands for a silo does.

    Guarantee:
        Where keys are pinned, only the node whose key is a silo's stands for it, whatever any node
        says: no answer is taken, and no question asked, of another in that silo's name.
    """

    def __init__(self, silos: Iterable[str], keys: Mapping[str, bytes] | None = None) -> None:
        self.silos = tuple(silos)
        self.keys = keys
        self._by_silo: dict[str, int] = {}
        self._failed: set[str] = set()  # silos whose node gave no reply when it was asked last
        self._foreign: set[int] = set()
        self._patience: dict[int, float] = {}

    def of(self, silo: str) -> int | None:
        """The node that stands for a silo; None: none is known."""
        return self._by_silo.get(silo)

    def connected(self, nodes: Mapping[int, bytes]) -> None:
        """Take note of the nodes that are connected, by the keys that they have proven to have."""
        if self.keys is not None:
            holders = {key: node for node, key in nodes.items()}
            found = {silo: holders.get(key) for silo, key in self.keys.items()}
            self._by_silo = {silo: node for silo, node in found.items() if node is not None}
            return
        self._by_silo = {silo: node for silo, node in self._by_silo.items() if node in nodes}
        self._foreign &= nodes.keys()

    def strangers(self, nodes: Collection[int], wanted: Iterable[str]) -> set[int]:
        """Nodes that are to be asked whom they stand for, since somebody wanted may be one of them.

        That is one who has no node, or whose node gave no reply: it may have come back as another.
        """
        if self.keys is not None:
            return set()
        if all(name in self._by_silo and name not in self._failed for name in wanted):
            return set()
        return set(nodes) - set(self._by_silo.values()) - self._foreign

    def said(self, node: int, reply: bytes | Failure) -> str | None:
        """Hear whom a node stands for; the silo, where it is one of the run's.

        Raises:
            ProtocolMismatch: another node, which replies, stands for the same silo.
        """
        if isinstance(reply, Failure):  # its silo may not listen yet: it is asked again
            _LOG.info("node %d: did not say whom it stands for: %s", node, reply.reason)
            return None
        try:
            told = envelope.reply(reply)
        except ProtocolMismatch as error:
            _LOG.warning("node %d: stands for no silo, and is not asked again: %s", node, error)
            self._foreign.add(node)
            return None
        if not isinstance(told, Healthy) or told.silo not in self.silos:
            self._foreign.add(node)
            return None
        before = self._by_silo.get(told.silo)
        if before is not None and before != node and told.silo not in self._failed:
            raise ProtocolMismatch(
                f"{told.silo}: two nodes stand for this silo ({before} and {node}), so the run "
                "does not go on. Stop one of them, or pin the silos' keys (`keys` of the app)."
            )
        if before is not None and before != node:
            _LOG.warning("%s: node %d stands for it in place of node %d", told.silo, node, before)
        self._by_silo[told.silo] = node
        return told.silo

    def replied(self, silo: str, in_time: bool) -> None:
        """Note whether a silo's node gave a reply."""
        (self._failed.discard if in_time else self._failed.add)(silo)

    def hoped_for(self, asked: Iterable[int]) -> set[int]:
        """Of nodes that were asked whom they stand for, those that are still waited for."""
        return {node for node in asked if self._patience.get(node, HELLO) > 0.0}

    def waited(self, asked: Iterable[int], seconds: float) -> None:
        """Note that nothing but these nodes was waited for."""
        for node in asked:
            self._patience[node] = self._patience.get(node, HELLO) - seconds
