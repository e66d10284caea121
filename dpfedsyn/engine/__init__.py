"""Engines carry queries to silos and answers back; they decide nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dpfedsyn.messages import PrivateAnswer, ScoreQuery


class Engine(Protocol):
    """What carries messages between the server and the silos."""

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        ...

    def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
        """Deliver each silo's query and return the answers; whoever gave none is not among them.

        A query may be asked again in the same round: then an answer that was late may come in.
        """
        ...
