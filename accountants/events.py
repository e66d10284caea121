"""What was released, as values: everything that privacy depends on and nothing else.

An event says how noisy a release was *in units of its own sensitivity*. That sensitivity belongs
to one adjacency, which therefore travels with every question asked about an event. `Composed` is
adaptive composition: each part reads the data and what earlier parts *released*.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias, get_args

from accountants.errors import AccountingError


class Adjacency(StrEnum):
    """Which two data sets count as neighbours."""

    ADD_OR_REMOVE = "add-or-remove"
    REPLACE = "replace"
    ZERO_OUT = "zero-out"


class Unit(StrEnum):
    """Whose contribution is protected."""

    RECORD = "record"
    PERSON = "person"
    SILO = "silo"


@dataclass(frozen=True)
class Gaussian:
    """One Gaussian mechanism; `noise_multiplier` = standard deviation / L2 sensitivity."""

    noise_multiplier: float

    def __post_init__(self) -> None:
        value = _real("Gaussian.noise_multiplier", self.noise_multiplier)
        # Keeps sums of mu^2 inside the floats: a sum of 0 or infinity would be a false claim.
        if not 1e-100 <= value <= 1e100:
            raise AccountingError(
                f"Gaussian.noise_multiplier={value} lies outside [1e-100, 1e100], so no privacy "
                "loss can be computed. Pass a positive, finite multiplier; a release without "
                "noise is Unbounded(reason)."
            )
        object.__setattr__(self, "noise_multiplier", value)

    @property
    def mu(self) -> float:
        """The mechanism is mu-GDP (Dong, Roth & Su 2022, Theorem 2.7)."""
        return 1.0 / self.noise_multiplier


@dataclass(frozen=True)
class Laplace:
    """One Laplace mechanism; `noise_multiplier` = scale / L1 sensitivity."""

    noise_multiplier: float

    def __post_init__(self) -> None:
        value = _real("Laplace.noise_multiplier", self.noise_multiplier)
        if not 1e-100 <= value <= 1e100:
            raise AccountingError(
                f"Laplace.noise_multiplier={value} lies outside [1e-100, 1e100], so no privacy "
                "loss can be computed. Pass a positive, finite multiplier; a release without "
                "noise is Unbounded(reason)."
            )
        object.__setattr__(self, "noise_multiplier", value)


@dataclass(frozen=True)
class ApproximateDP:
    """A mechanism of which nothing is known but that it is (epsilon, delta)-DP."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        value = _real("ApproximateDP.epsilon", self.epsilon)
        chance = _real("ApproximateDP.delta", self.delta)
        if not (value >= 0.0 and 0.0 <= chance < 1.0):
            raise AccountingError(
                f"ApproximateDP(epsilon={value}, delta={chance}) is no claim: epsilon must be >= 0 "
                "and delta in [0, 1). Pass the claim's numbers; a release without a finite "
                "epsilon is Unbounded(reason)."
            )
        object.__setattr__(self, "epsilon", value)
        object.__setattr__(self, "delta", chance)


@dataclass(frozen=True)
class PoissonSampled:
    """`event` run on a secret Poisson sample: each unit joins with probability `sampling_rate`.

    Under `replace` the event's sensitivity must cover what one unit adds as well as what exchanging
    it moves: for sums of clipped terms it does (C against 2 C).
    """

    event: "Event"
    sampling_rate: float

    def __post_init__(self) -> None:
        _event("PoissonSampled.event", self.event)
        object.__setattr__(self, "sampling_rate", _rate("PoissonSampled", self.sampling_rate))


@dataclass(frozen=True)
class GroupSampled:
    """`PoissonSampled` for `size` units that come or go together: each joins on its own.

    `event` states its noise for one unit; a sample moves it by as many units as joined.
    """

    event: "Event"
    sampling_rate: float
    size: int

    def __post_init__(self) -> None:
        _event("GroupSampled.event", self.event)
        object.__setattr__(self, "sampling_rate", _rate("GroupSampled", self.sampling_rate))
        object.__setattr__(self, "size", _whole("GroupSampled.size", self.size, 1))


@dataclass(frozen=True)
class SampledWithoutReplacement:
    """`event` run on a secret batch of exactly `batch_size` of the `population` units.

    It is stated under `replace`, where the population's size is the same on both sides.
    """

    event: "Event"
    batch_size: int
    population: int

    def __post_init__(self) -> None:
        _event("SampledWithoutReplacement.event", self.event)
        batch = _whole("SampledWithoutReplacement.batch_size", self.batch_size, 1)
        population = _whole("SampledWithoutReplacement.population", self.population, 1)
        if batch > population:
            raise AccountingError(
                f"SampledWithoutReplacement draws batch_size={batch} out of population="
                f"{population}, which cannot be. Pass a batch no larger than the population."
            )
        object.__setattr__(self, "batch_size", batch)
        object.__setattr__(self, "population", population)


@dataclass(frozen=True)
class Shuffled:
    """`event` run on each of `batches` batches of one shuffled pass over the data.

    It can be stated so that it can be refused: no tight bound is known, and its cost can be far
    above that of Poisson samples of the same size (Chua et al. 2024).
    """

    event: "Event"
    batches: int

    def __post_init__(self) -> None:
        _event("Shuffled.event", self.event)
        object.__setattr__(self, "batches", _whole("Shuffled.batches", self.batches, 1))


@dataclass(frozen=True)
class Repeated:
    """`event` run `count` times, each with fresh noise and fresh sampling."""

    event: "Event"
    count: int

    def __post_init__(self) -> None:
        _event("Repeated.event", self.event)
        object.__setattr__(self, "count", _whole("Repeated.count", self.count, 0))


@dataclass(frozen=True)
class Composed:
    """All of `events` released; empty means that nothing was.

    Thousands of Gaussians are common, and are asked about often: their squares and the hash of the
    whole are kept. `squares`: the sum of mu^2 over its plain Gaussians, and what rounding it left.
    `rest`: the other events.
    """

    events: tuple["Event", ...]
    squares: tuple[float, float] = field(init=False, repr=False, compare=False)
    rest: tuple["Event", ...] = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        events = tuple(self.events)
        for k, part in enumerate(events):
            _event(f"Composed.events[{k}]", part)
        plain = [part.mu**2 for part in events if isinstance(part, Gaussian)]
        total = math.fsum(plain)
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "squares", (total, math.fsum([*plain, -total])))
        object.__setattr__(self, "rest", tuple(e for e in events if not isinstance(e, Gaussian)))
        object.__setattr__(self, "_hash", hash((Composed, events)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Cascade:
    """`answers` computed from a model that `model` trained and that never leaves the silo.

    `answers` is charged against *any two* models (the two-point bound); `model` holds only what
    trains and stays inside. What else leaves the silo composes outside: `Composed((counts,
    Cascade(model, answers)))`. A model that was itself trained from an unreleased earlier model
    belongs into the same cascade: `Cascade(Composed((first, second)), all_answers)`.
    """

    model: "Event"
    answers: "Event"

    def __post_init__(self) -> None:
        _event("Cascade.model", self.model)
        _event("Cascade.answers", self.answers)


@dataclass(frozen=True)
class Unbounded:
    """A release without a finite epsilon, and why."""

    reason: str

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise AccountingError(
                "Unbounded.reason is empty, so the claim could not say why it is infinite. "
                "Pass one sentence."
            )


Event: TypeAlias = (
    Gaussian
    | Laplace
    | ApproximateDP
    | PoissonSampled
    | GroupSampled
    | SampledWithoutReplacement
    | Shuffled
    | Repeated
    | Composed
    | Cascade
    | Unbounded
)
"""Anything that was released, as accounting sees it: one mechanism, or several composed."""
_KINDS = get_args(Event)


def _names() -> str:
    return ", ".join(kind.__name__ for kind in _KINDS)


def _event(name: str, value: object) -> None:
    if not isinstance(value, _KINDS):
        raise AccountingError(
            f"{name}={value!r} is no event, so its privacy is unknown. Pass one of {_names()}."
        )


def _real(name: str, value: object) -> float:
    """A finite float from any real number that is not a bool; strings are refused."""
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise AccountingError(f"{name}={value!r} is not a number. Pass a positive, finite one.")
    number = float(value)
    if not math.isfinite(number):
        raise AccountingError(f"{name}={number} is not finite. Pass a positive, finite number.")
    return number


def _rate(name: str, value: object) -> float:
    rate = _real(f"{name}.sampling_rate", value)
    if not 0.0 < rate <= 1.0:
        raise AccountingError(
            f"{name}.sampling_rate={rate} is no probability above 0, so nothing follows from it. "
            "Pass a rate in (0, 1]: expected batch size / public size."
        )
    return rate


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < least:
        raise AccountingError(
            f"{name}={value!r} is not a whole number >= {least}, so it is unknown what was "
            "released. Pass the number that was really used."
        )
    return int(value.__index__())
