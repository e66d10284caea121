"""Events as plain JSON values, and back: what ledgers and statements keep."""

from dataclasses import fields
from typing import Any

from accountants.errors import AccountingError
from accountants.events import (
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

_SHAPES: dict[str, type[Any]] = {
    "gaussian": Gaussian,
    "laplace": Laplace,
    "approximate-dp": ApproximateDP,
    "poisson-sampled": PoissonSampled,
    "group-sampled": GroupSampled,
    "sampled-without-replacement": SampledWithoutReplacement,
    "shuffled": Shuffled,
    "repeated": Repeated,
    "composed": Composed,
    "cascade": Cascade,
    "unbounded": Unbounded,
}


_KIND_OF = {shape: kind for kind, shape in _SHAPES.items()}


def to_json(event: Event) -> dict[str, Any]:
    """The event as plain JSON values; `from_json` gives the same event back."""
    kind = _KIND_OF.get(type(event))
    if kind is None:
        raise AccountingError(
            f"{event!r} is no event; pass one of {', '.join(kind.__name__ for kind in _KIND_OF)}."
        )
    values = {
        field.name: _plain(getattr(event, field.name)) for field in fields(event) if field.init
    }
    return {"kind": kind, **values}


def from_json(value: Any) -> Event:
    """The event that `to_json` wrote.

    Raises:
        AccountingError: unknown kind, or fields that are missing, extra or out of range.
    """
    given = dict(value) if isinstance(value, dict) else {}
    kind = given.pop("kind", None)
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None or set(given) != {field.name for field in fields(shape) if field.init}:
        raise AccountingError(
            f"{value!r} is not an event's JSON, so its privacy cannot be accounted for. "
            f"Expected a kind among {sorted(_SHAPES)} and exactly that kind's fields."
        )
    for name in ("event", "model", "answers"):
        if name in given:
            given[name] = from_json(given[name])
    if "events" in given:
        if not isinstance(given["events"], list):
            raise AccountingError(f"composed.events={given['events']!r} is not a list of events.")
        given["events"] = tuple(from_json(part) for part in given["events"])
    event: Event = shape(**given)
    return event


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [to_json(part) for part in value]
    return to_json(value) if type(value) in _KIND_OF else value
