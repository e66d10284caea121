"""What was released, as values: everything that privacy depends on and nothing else.

An event says how noisy a release was *in units of its own sensitivity*. That sensitivity belongs
to one adjacency, which therefore travels with every question asked about an event. `Composed` is
adaptive composition: each part reads the data and what earlier parts *released*.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

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
class PoissonSampled:
    """`event` run on a secret Poisson sample: each unit joins with probability `sampling_rate`."""

    event: "Event"
    sampling_rate: float

    def __post_init__(self) -> None:
        _event("PoissonSampled.event", self.event)
        rate = _real("PoissonSampled.sampling_rate", self.sampling_rate)
        if not 0.0 < rate <= 1.0:
            raise AccountingError(
                f"PoissonSampled.sampling_rate={rate} is no probability above 0, so nothing "
                "follows from it. Pass a rate in (0, 1]: expected batch size / public size."
            )
        object.__setattr__(self, "sampling_rate", rate)


@dataclass(frozen=True)
class Repeated:
    """`event` run `count` times, each with fresh noise and fresh sampling."""

    event: "Event"
    count: int

    def __post_init__(self) -> None:
        _event("Repeated.event", self.event)
        count = self.count
        if isinstance(count, bool) or not hasattr(count, "__index__") or count.__index__() < 0:
            raise AccountingError(
                f"Repeated.count={count!r} is not a whole number >= 0, so the number of releases "
                "is unknown. Pass the number of times that the event runs."
            )
        object.__setattr__(self, "count", count.__index__())


@dataclass(frozen=True)
class Composed:
    """All of `events` released; empty means that nothing was."""

    events: tuple["Event", ...]

    def __post_init__(self) -> None:
        events = tuple(self.events)
        for k, part in enumerate(events):
            _event(f"Composed.events[{k}]", part)
        object.__setattr__(self, "events", events)


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


Event: TypeAlias = Gaussian | PoissonSampled | Repeated | Composed | Cascade | Unbounded
_KINDS = (Gaussian, PoissonSampled, Repeated, Composed, Cascade, Unbounded)


def to_json(event: Event) -> dict[str, Any]:
    """The event as plain JSON values; `from_json` gives the same event back."""
    match event:
        case Gaussian(noise_multiplier):
            return {"kind": "gaussian", "noise_multiplier": noise_multiplier}
        case PoissonSampled(inner, rate):
            return {"kind": "poisson-sampled", "event": to_json(inner), "sampling_rate": rate}
        case Repeated(inner, count):
            return {"kind": "repeated", "event": to_json(inner), "count": count}
        case Composed(parts):
            return {"kind": "composed", "events": [to_json(part) for part in parts]}
        case Cascade(model, answers):
            return {"kind": "cascade", "model": to_json(model), "answers": to_json(answers)}
        case Unbounded(reason):
            return {"kind": "unbounded", "reason": reason}
    raise AccountingError(f"{event!r} is no event; pass one of {_names()}.")


def from_json(value: Any) -> Event:
    """The event that `to_json` wrote.

    Raises:
        AccountingError: unknown kind, or fields that are missing, extra or out of range.
    """
    fields = dict(value) if isinstance(value, dict) else {}
    kind = fields.pop("kind", None)
    shapes: dict[Any, tuple[type[Any], frozenset[str]]] = {
        "gaussian": (Gaussian, frozenset({"noise_multiplier"})),
        "poisson-sampled": (PoissonSampled, frozenset({"event", "sampling_rate"})),
        "repeated": (Repeated, frozenset({"event", "count"})),
        "composed": (Composed, frozenset({"events"})),
        "cascade": (Cascade, frozenset({"model", "answers"})),
        "unbounded": (Unbounded, frozenset({"reason"})),
    }
    if not isinstance(kind, str) or kind not in shapes or set(fields) != shapes[kind][1]:
        raise AccountingError(
            f"{value!r} is not an event's JSON, so its privacy cannot be accounted for. "
            f"Expected a kind among {sorted(shapes)} and exactly that kind's fields."
        )
    for name in ("event", "model", "answers"):
        if name in fields:
            fields[name] = from_json(fields[name])
    if "events" in fields:
        if not isinstance(fields["events"], list):
            raise AccountingError(f"composed.events={fields['events']!r} is not a list of events.")
        fields["events"] = tuple(from_json(part) for part in fields["events"])
    event: Event = shapes[kind][0](**fields)
    return event


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
