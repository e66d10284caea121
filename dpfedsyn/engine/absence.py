"""Silos that miss rounds: an engine around an engine, for trying out what a run does then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from dpfedsyn.absences import aways
from dpfedsyn.engine import Engine
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.round_settings import ParticipationSettings


class WithAbsences:
    """An engine whose silos are away, do not get a question, or answer it too late.

    Who misses what is a function of the public seed, the round, the silo and the attempt; so a
    round that is taken again after an interruption is the same. A late answer was computed and
    charged, and is dropped.
    """

    def __init__(self, engine: Engine, settings: ParticipationSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._away = aways(settings.away, engine.members())
        self._why: dict[str, str] = {}
        self._attempts: Counter[tuple[str, int]] = Counter()

    def members(self) -> tuple[str, ...]:
        """Names of the silos, in a fixed order."""
        return self._engine.members()

    def ask(self, queries: Mapping[str, ScoreQuery]) -> dict[str, PrivateAnswer]:
        """Deliver what is delivered, and return what comes back in time."""
        chances = {name: self._chances(name, query) for name, query in queries.items()}
        absent = {name for name, (chance, _) in chances.items() if chance < self._settings.absence}
        late = {name for name, (_, chance) in chances.items() if chance < self._settings.lateness}
        absent |= {
            name
            for name, query in queries.items()
            if any(away.covers(name, query.round_number) for away in self._away)
        }
        answers = self._engine.ask({n: query for n, query in queries.items() if n not in absent})
        self._why = {
            **self._engine.why(),
            **dict.fromkeys(late & answers.keys(), "its answer came too late, as settings have it"),
            **dict.fromkeys(absent, "it is away, as settings have it"),
        }
        return {name: answer for name, answer in answers.items() if name not in late}

    def why(self) -> Mapping[str, str]:
        """Why silos gave no answer when they were asked last, by silo."""
        return self._why

    def _chances(self, name: str, query: ScoreQuery) -> tuple[float, float]:
        attempt = self._attempts[name, query.round_number]
        self._attempts[name, query.round_number] += 1
        place = self.members().index(name)
        words = [self._settings.seed, query.round_number, place, attempt]
        first, second = np.random.Generator(np.random.Philox(np.random.SeedSequence(words))).random(
            2
        )
        return float(first), float(second)
