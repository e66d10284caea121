"""The engine of a run in one process: plain calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dpfedsyn.messages import PrivateAnswer, ScoreQuery


class LocalEngine:
    """Deliver queries to silos that live in this process.

    Args:
        answers: each member's `answer`; the engine sees nothing else of a silo.
    """

    def __init__(self, answers: Mapping[str, Callable[[ScoreQuery], PrivateAnswer]]) -> None:
        self._answers = dict(answers)

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        return tuple(self._answers)

    def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
        """Deliver each silo's query and return the answers; a silo's refusal is raised as it is."""
        return {name: self._answers[name](query) for name, query in queries.items()}
