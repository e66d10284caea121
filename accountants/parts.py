"""An event sorted into what the accountant knows: Gaussians, sampled Gaussians, cascades."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from accountants.errors import UnsupportedEvent
from accountants.events import (
    Adjacency,
    Cascade,
    Composed,
    Event,
    Gaussian,
    PoissonSampled,
    Repeated,
    Unbounded,
)

Sampled = tuple[tuple[tuple[float, float], int], ...]


@dataclass(frozen=True)
class Parts:
    """The content of an event in an order of its own, so that equal contents compare equal.

    mu2: sum of mu^2 over the plain Gaussians, exactly rounded (hence free of order).
    sampled: (((sampling rate, noise multiplier), count), ...) with rates below 1.
    cascades: ((model, answers), ...), one entry for each time it runs.
    unbounded: reasons of releases without a finite epsilon.
    """

    mu2: float = 0.0
    sampled: Sampled = ()
    cascades: tuple[tuple["Parts", "Parts"], ...] = ()
    unbounded: tuple[str, ...] = ()

    def with_parts(self, *others: "Parts") -> "Parts":
        """All of them composed."""
        every = (self, *others)
        counts: Counter[tuple[float, float]] = Counter()
        for parts in every:
            counts.update(dict(parts.sampled))
        return Parts(
            math.fsum(parts.mu2 for parts in every),
            tuple(sorted(counts.items())),
            tuple(sorted((c for parts in every for c in parts.cascades), key=repr)),
            tuple(sorted({reason for parts in every for reason in parts.unbounded})),
        )

    def without_cascades(self) -> "Parts":
        """Everything that stands beside the cascades."""
        return Parts(self.mu2, self.sampled, (), self.unbounded)


@lru_cache(maxsize=4096)
def parts_of(event: Event, adjacency: Adjacency) -> Parts:
    """Sort an event.

    Raises:
        UnsupportedEvent: naming the part for which no valid bound is known.
    """
    mu2: list[float] = []
    sampled: Counter[tuple[float, float]] = Counter()
    cascades: list[tuple[Parts, Parts]] = []
    unbounded: set[str] = set()
    for leaf, count in _leaves(event, 1):
        match leaf:
            case Gaussian():
                mu2.append(count * leaf.mu**2)
            case PoissonSampled():
                sampled[_sampled(leaf, adjacency)] += count
            case Cascade():
                # A second run is already read without the product, whatever their number.
                inner = (parts_of(leaf.model, adjacency), parts_of(leaf.answers, adjacency))
                cascades += cascaded(*inner).cascades * count
            case Unbounded(reason):
                unbounded.add(reason)
    return Parts(
        math.fsum(mu2),
        tuple(sorted(sampled.items())),
        tuple(sorted(cascades, key=repr)),
        tuple(sorted(unbounded)),
    )


def _leaves(event: Event, count: int) -> Iterator[tuple[Event, int]]:
    if count == 0:
        return
    match event:
        case Repeated(inner, times):
            yield from _leaves(inner, count * times)
        case Composed(parts):
            for part in parts:
                yield from _leaves(part, count)
        case PoissonSampled(inner, 1.0):  # every unit joins: nothing is sampled
            yield from _leaves(inner, count)
        case _:
            yield event, count


def _sampled(event: PoissonSampled, adjacency: Adjacency) -> tuple[float, float]:
    """(rate, noise multiplier); Gaussians on one sample are one Gaussian on that sample."""
    if adjacency is Adjacency.REPLACE:
        raise UnsupportedEvent(
            f"{event} under 'replace' has no bound here: the known one is for 'add-or-remove' and "
            "'zero-out'. No epsilon is claimed. State the training under 'add-or-remove'."
        )
    inner = parts_of(event.event, adjacency)
    if inner.sampled or inner.cascades or inner.unbounded or inner.mu2 <= 0:
        raise UnsupportedEvent(
            f"{event} samples something other than Gaussians, for which no bound is known here. "
            "No epsilon is claimed. Sample a Gaussian, or put the rest outside the sample."
        )
    return event.sampling_rate, 1 / math.sqrt(inner.mu2)


def cascaded(model: Parts, answers: Parts) -> Parts:
    """Answers of a model that stays inside.

    Raises:
        UnsupportedEvent: cascades are nested, or the answers are sampled.
    """
    if model.cascades or answers.cascades or answers.sampled:
        raise UnsupportedEvent(
            f"A cascade of {model} and {answers} nests another or samples its answers; the theorem "
            "needs a model with a known profile and answers that hold for any two models. No "
            "epsilon is claimed. Put all models and all answers into one Cascade of Gaussians."
        )
    return Parts(cascades=((model, answers),))
