"""One silo's part of a base that all silos' sums make, where the others are elsewhere.

Every question follows from earlier answers and public settings alone, so nobody has to ask it: a
silo that is shown what all have answered so far finds the next question by itself, and answers it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.base import Base
from dpfedsyn.bases import bases
from dpfedsyn.clusters import ClusterQuery
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.moments import MomentQuery
from dpfedsyn.releases import SiloSums, Sum
from dpfedsyn.settings import BaseSettings

Array = NDArray[np.float64]
Transcript = Sequence[Sequence[Sum]]
"""What all silos answered: by question, then by silo in the run's order."""


class _Next(Exception):  # noqa: N818
    """The first question that is not in the transcript, answered."""

    def __init__(self, own: Sum) -> None:
        super().__init__()
        self.own = own


@dataclass
class _Replayed:
    """`bases.Answers`: those of the transcript, then this silo's own."""

    own: SiloSums
    given: SiloSums
    place: int
    transcript: Transcript
    asked: int = field(default=0)

    def counts(self) -> Sequence[Sum]:
        return self._answered(lambda silo: silo.counts())

    def origin(self) -> Sequence[Sum]:
        return self._answered(lambda silo: silo.origin())

    def means(self, origin: Array | None) -> Sequence[Sum]:
        return self._answered(lambda silo: silo.means(origin))

    def moments(self, means: Array | None) -> Sequence[Sum]:
        about = None if means is None else means[self.place]
        return self._answered(lambda silo: silo.moments(about))

    def cells(self, query: ClusterQuery, number: int) -> Sequence[Sum]:
        return self._answered(lambda silo: silo.cells(query, number))

    def _answered(self, ask: Callable[[SiloSums], Sum]) -> Sequence[Sum]:
        number, self.asked = self.asked, self.asked + 1
        if number >= len(self.transcript):
            raise _Next(ask(self.own))
        (values, std), (shown, claimed) = ask(self.given), self.transcript[number][self.place]
        # Exact sums, of a run that promises nothing, need not be the same bits a second time.
        same = np.array_equal(shown, values) if std else np.allclose(shown, values)
        if claimed != std or not same:
            raise ProtocolMismatch(
                f"a transcript that shows another answer to question {number + 1} than this silo "
                "has given; nothing was answered or charged."
            )
        return self.transcript[number]


def continued(
    transcript: Transcript,
    own: SiloSums,
    given: SiloSums,
    place: int,
    silos: int,
    query: MomentQuery,
    encoder: Encoder,
    settings: BaseSettings,
) -> Base | Sum:
    """Return this silo's answer to the next question, or its base where all are answered.

    Args:
        own: asks the silo, at a cost. given: `releases.given_by` the silo. place: of this silo in
            the run's order. silos: how many there are.

    Guarantee:
        The silo takes part in the budget's mechanisms, each once, whatever the transcript says:
        an answer that was given before is given again, at no cost, also to another question.
        A transcript that shows anything of this silo but what it has released is refused before
        anything is asked of it, so that no base is made before the silo has answered every
        question.

    Raises:
        ProtocolMismatch: the transcript is not one of this run's.
    """
    if any(len(answers) != silos or not all(map(_sound, answers)) for answers in transcript):
        raise ProtocolMismatch(
            f"a transcript of sums that are not {silos} finite vectors a question; nothing was "
            "answered or charged."
        )
    replayed = _Replayed(own, given, place, transcript)
    try:
        found = bases(replayed, query, encoder, settings)
    except _Next as asked:
        return asked.own
    except (ValueError, IndexError, np.linalg.LinAlgError):
        raise ProtocolMismatch(
            "a transcript whose sums do not fit this run's questions; nothing was fitted to them."
        ) from None
    if replayed.asked < len(transcript):
        raise ProtocolMismatch(f"a transcript of more than {replayed.asked} questions.")
    return found[place]


def _sound(answer: Sum) -> bool:
    values, std = answer
    return values.ndim == 1 and bool(np.isfinite(values).all()) and 0.0 <= std < np.inf
