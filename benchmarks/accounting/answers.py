"""What an accountant says to a question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.accounting.questions import Question


@dataclass(frozen=True)
class Answer:
    """Lower and upper end as far as an accountant states them; `estimate` where it claims neither.

    Attributes:
        curve: (lower, upper) after each round, of an odometer; `rounds` is how many it managed.
    """

    lower: float | None = None
    estimate: float | None = None
    upper: float | None = None
    curve: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    rounds: int | None = None


Ask = Callable[[], Answer]


class NotAnsweredError(Exception):
    """The accountant has no such question; the message says what it lacks."""


@dataclass(frozen=True)
class Accountant:
    """A way to answer: `prepare` builds the event, which is not timed, and returns what is.

    Attributes:
        package: what must be installed, None for our own.
    """

    name: str
    package: str | None
    prepare: Callable[[Question], Ask]
