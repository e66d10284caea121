"""An event sorted into what the accountant knows: Gaussians, sampled ones, others, cascades."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from accountants.errors import UnsupportedEvent
from accountants.events import (
    Adjacency,
    ApproximateDP,
    Cascade,
    Composed,
    Event,
    Gaussian,
    GroupSampled,
    Laplace,
    PoissonSampled,
    Repeated,
    SampledWithoutReplacement,
    Shuffled,
    Unbounded,
)
from accountants.steps import Binomial, Counted, Glued, Step

Sampled = tuple[tuple[tuple[float, float], int], ...]


@dataclass(frozen=True)
class Parts:
    """The content of an event in an order of its own, so that equal contents compare equal.

    mu2: sum of mu^2 over the plain Gaussians, exactly rounded (hence free of order).
    sampled: (((sampling rate, noise multiplier), count), ...) with rates below 1.
    cascades: ((model, answers), ...), one entry for each time it runs.
    unbounded: reasons of releases without a finite epsilon.
    others: ((step, count), ...), every step that is neither a plain Gaussian nor in `sampled`.
    """

    mu2: float = 0.0
    sampled: Sampled = ()
    cascades: tuple[tuple["Parts", "Parts"], ...] = ()
    unbounded: tuple[str, ...] = ()
    others: Counted = ()

    def with_parts(self, *others: "Parts") -> "Parts":
        """All of them composed."""
        every = (self, *others)
        counts: Counter[tuple[float, float]] = Counter()
        steps: Counter[Step] = Counter()
        for parts in every:
            counts.update(dict(parts.sampled))
            steps.update(dict(parts.others))
        return Parts(
            math.fsum(parts.mu2 for parts in every),
            tuple(sorted(counts.items())),
            tuple(sorted((c for parts in every for c in parts.cascades), key=repr)),
            tuple(sorted({reason for parts in every for reason in parts.unbounded})),
            _sorted(steps),
        )

    def without_cascades(self) -> "Parts":
        """Everything that stands beside the cascades."""
        return Parts(self.mu2, self.sampled, (), self.unbounded, self.others)


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
    others: Counter[Step] = Counter()
    for leaf, count in _leaves(event, 1):
        match leaf:
            case Gaussian():
                mu2.append(count * leaf.mu**2)
            case Composed(_):
                mu2.extend(count * part for part in leaf.squares)
            case PoissonSampled() if adjacency is not Adjacency.REPLACE:
                sampled[leaf.sampling_rate, _noise_multiplier(leaf, leaf.event)] += count
            case Cascade():
                # A second run is already read without the product, whatever their number.
                inner = (parts_of(leaf.model, adjacency), parts_of(leaf.answers, adjacency))
                cascades += cascaded(*inner).cascades * count
            case Unbounded(reason):
                unbounded.add(reason)
            case _:
                others[_step(leaf, adjacency)] += count
    return Parts(
        math.fsum(mu2),
        tuple(sorted(sampled.items())),
        tuple(sorted(cascades, key=repr)),
        tuple(sorted(unbounded)),
        _sorted(others),
    )


def mu(event: Event) -> float:
    """mu of a composition of Gaussians, the same under every adjacency.

    Raises:
        UnsupportedEvent: something else is in it.
    """
    found = parts_of(event, Adjacency.ADD_OR_REMOVE)
    if found != Parts(found.mu2):
        raise UnsupportedEvent(
            f"{event} holds more than plain Gaussians, so it has no mu. Nothing is claimed. Ask "
            "for its epsilon."
        )
    return math.sqrt(found.mu2)


def _leaves(event: Event, count: int) -> Iterator[tuple[Event, int]]:
    if count == 0:
        return
    match event:
        case Repeated(inner, times):
            yield from _leaves(inner, count * times)
        case Composed(_):  # its plain Gaussians stay together
            yield event, count
            for part in event.rest:
                yield from _leaves(part, count)
        case PoissonSampled(inner, 1.0):  # every unit joins: nothing is sampled
            yield from _leaves(inner, count)
        case SampledWithoutReplacement(inner, batch_size, population) if batch_size == population:
            yield from _leaves(inner, count)
        case GroupSampled(inner, 1.0, size):
            yield Gaussian(_noise_multiplier(event, inner) / size), count
        case GroupSampled(inner, rate, 1):
            yield PoissonSampled(inner, rate), count
        case _:
            yield event, count


def _step(event: Event, adjacency: Adjacency) -> Step:
    """The dominating pair of a leaf under an adjacency, by name."""
    replace = adjacency is Adjacency.REPLACE
    match event:
        case Laplace() | ApproximateDP():
            return event
        case PoissonSampled(inner, rate):
            return Glued(rate, _noise_multiplier(event, inner))
        case SampledWithoutReplacement(inner, batch_size, population) if replace:
            return Glued(batch_size / population, _noise_multiplier(event, inner))
        case GroupSampled(inner, rate, size) if not replace:
            return Binomial(rate, _noise_multiplier(event, inner), size)
        case Shuffled():
            raise UnsupportedEvent(
                f"{event} runs on shuffled batches, for which no tight bound is known; Poisson "
                "samples can cost far less, so their number would be false. No epsilon is claimed. "
                "Draw Poisson samples, or batches without replacement, afresh for each step."
            )
    known = "'replace'" if not replace else "'add-or-remove' and 'zero-out'"
    raise UnsupportedEvent(
        f"{event} under '{adjacency}' has no bound here: the known one is for {known}. No epsilon "
        "is claimed. State the training under an adjacency with a known bound, or draw Poisson "
        "samples."
    )


def _noise_multiplier(event: Event, inner: Event) -> float:
    """Of a sampled event: Gaussians on one sample are one Gaussian on that sample."""
    try:
        value = mu(inner)
    except UnsupportedEvent:
        value = 0.0
    if value <= 0:
        raise UnsupportedEvent(
            f"{event} samples something other than Gaussians, for which no bound is known here. "
            "No epsilon is claimed. Sample a Gaussian, or put the rest outside the sample."
        )
    return 1 / value


def _sorted(steps: Counter[Step]) -> Counted:
    return tuple(sorted(steps.items(), key=repr))


def cascaded(model: Parts, answers: Parts) -> Parts:
    """Answers of a model that stays inside.

    Raises:
        UnsupportedEvent: cascades are nested, or the answers are not Gaussian.
    """
    if model.cascades or answers.cascades or answers.sampled or answers.others:
        raise UnsupportedEvent(
            f"A cascade of {model} and {answers} nests another or has answers that are no plain "
            "Gaussians; the theorem needs a model with a known profile and answers that hold for "
            "any two models. No epsilon is claimed. Put all models and all answers into one "
            "Cascade with Gaussian answers, or compose both plainly."
        )
    return Parts(cascades=((model, answers),))
