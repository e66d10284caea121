"""Engines carry questions to silos and answers back; they decide nothing.

A `Transport` carries bytes; which process, machine or framework lies between is its own affair.
`dpfedsyn.engine.asking` makes an `Engine` of it, which is what the server's loop asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from dpfedsyn.messages import PrivateAnswer, ScoreQuery

MOST_TOLD = 200  # characters of a reason that came from elsewhere


@dataclass(frozen=True)
class Failure:
    """Why a member's reply is not there; it may have been asked, and have charged."""

    reason: str

    @classmethod
    def told(cls, reason: object) -> Failure:
        """One whose reason came from elsewhere: made printable, and no longer than a line or two.

        It goes into logs and events, where no site may write what it likes.
        """
        return cls(ascii(str(reason)[:MOST_TOLD])[1:-1])


class Transport(Protocol):
    """What carries bytes between the server and its members."""

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        ...

    def query(
        self, step: str, payloads: Mapping[str, bytes], timeout: float | None
    ) -> dict[str, bytes | Failure]:
        """Deliver each member's payload and return its reply, or why there is none.

        Args:
            step: names the question in logs. payloads: by member. timeout: seconds for all of it;
                None: as long as it takes.

        A payload may be delivered more than once, and again after a failure: silos answer the same
        question with the same bytes, at no further cost.
        """
        ...


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

    def why(self) -> Mapping[str, str]:
        """Why silos gave no answer when they were asked last, by silo."""
        ...
