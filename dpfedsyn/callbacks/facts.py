"""What a callback is told of a run, and what is public of it.

Told by default are public settings, how far the run is, who answered, and what the ledgers say was
spent. Measured on records without noise, and so private, are utility on held-out rows, distances
to real rows and the seconds that a round took: see `private_figures`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dpfedsyn.settings import Config

SPENT = "spent, not a guarantee; the guarantee is the epsilon of the statement, at the caps"
"""What stands beside every figure of what was spent."""

NOT_COVERED = (
    "Measured on real records without noise. The claim does not cover publishing it: it stays with "
    "the owners of the records."
)
"""What stands beside every figure that was measured on records."""

RESULTS = "results.json"

Setting = str | int | float | bool

# Where things lie on this machine, and what a test may set, is nobody else's business.
_OWN = ("path", "folder", "schema", "test", "anchors", "unsafe_noise_seed")


@dataclass(frozen=True)
class Started:
    """A run has begun.

    Attributes:
        name: of the run.
        silos: their names.
        settings: public ones, by "section.key", without paths.
    """

    name: str
    silos: tuple[str, ...]
    settings: Mapping[str, Setting]


@dataclass(frozen=True)
class Spent:
    """What a silo's ledger has spent so far: see `SPENT`.

    Attributes:
        epsilon_upper: at record level, with `delta`, `unit` and `adjacency`; infinity: nothing is
            claimed.
        answers_mu: of the answers so far, as one Gaussian mechanism.
    """

    epsilon_upper: float
    delta: float
    unit: str
    adjacency: str
    answers_mu: float


@dataclass(frozen=True)
class Round:
    """A round is over: its answers are charged and used.

    Attributes:
        step: from 1 over all passes.
        sampling: the pass.
        number: in this pass.
        of: in this pass.
        asked: rows that each silo was asked about.
        answered: silos that answered in time.
        spent: of each silo.
    """

    step: int
    sampling: str
    number: int
    of: int
    asked: Mapping[str, int]
    answered: tuple[str, ...]
    spent: Mapping[str, Spent]


@dataclass(frozen=True)
class Ended:
    """A run has come to its end.

    Attributes:
        status: "complete", "partial", or "stopped" where it was cut off.
        statement: what is promised, as statement.json has it; None where it was cut off.
    """

    status: str
    statement: Mapping[str, Any] | None


def started(config: Config) -> Started:
    """Return what is public of a configuration."""
    silos = tuple(silo.name for silo in config.silos)
    return Started(config.name, silos, dict(_settings(config)))


def round_of(record: Mapping[str, Any], step: int) -> Round:
    """Return what is public of a line of rounds.jsonl."""
    return Round(
        step=step,
        sampling=record["pass"],
        number=record["round"],
        of=record["of"],
        asked=dict(record["asked"]),
        answered=tuple(record["answered"]),
        spent={name: _spent(readings) for name, readings in record["silos"].items()},
    )


def private_figures(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of results.json by their place in it, "utility/default/logistic/auc"."""
    return dict(_numbers(results, ""))


def _spent(readings: Mapping[str, Any]) -> Spent:
    record = readings["record"]
    upper = record["upper"]
    return Spent(
        epsilon_upper=math.inf if upper is None else float(upper),
        delta=record["delta"],
        unit=record["unit"],
        adjacency=record["adjacency"],
        answers_mu=float(readings["answers_mu"]),
    )


def _settings(config: Config) -> Iterator[tuple[str, Setting]]:
    yield "preset", config.preset
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        sections = {f"silos.{silo.name}": silo for silo in value} if field.name == "silos" else {}
        if dataclasses.is_dataclass(value):
            sections = {field.name: value}
        for section, settings in sections.items():
            for key in dataclasses.fields(settings):
                own = getattr(settings, key.name)
                if key.name not in _OWN and own is not None:
                    yield f"{section}.{key.name}", own if _is_plain(own) else str(list(own))


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    """Every finite number below a value, named by keys, by names of rows, else by positions."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _numbers(below, f"{place}/{key}".lstrip("/"))
    elif isinstance(value, list):
        for position, below in enumerate(value):
            named = isinstance(below, Mapping) and isinstance(below.get("name"), str)
            yield from _numbers(below, f"{place}/{below['name'] if named else position}")
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield place, float(value)
