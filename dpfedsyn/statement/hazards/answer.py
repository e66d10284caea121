"""What an answer to a hazard is, and what several of them read from the statement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dpfedsyn.publication import NOT_STATED
from dpfedsyn.report import wording

ANSWERED, PARTLY, OPEN = "answered", "partly", "open"
Told = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """How far a hazard is met, in words, and where in the statement that is seen."""

    status: str
    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Hazard:
    """A hazard, and what answers it from a statement."""

    number: int
    name: str
    answer: Callable[[Told], Answer]


def claimed(told: Told) -> bool:
    """Whether every silo has an epsilon that is promised."""
    return bool(told["private"]) and all(silo["epsilon"] is not None for silo in told["silos"])


def worst(told: Told) -> Mapping[str, Any]:
    """The silo with the largest epsilon; some silo where nothing is claimed."""
    silos: list[Mapping[str, Any]] = told["silos"]
    return max(silos, key=lambda silo: wording.upper_of(silo["epsilon"]) or 0.0)


def largest(told: Told) -> float | None:
    """The largest epsilon that is claimed, across silos too; None where none is."""
    claims = [*(silo["epsilon"] for silo in told["silos"]), told["across_silos"]]
    uppers = [upper for claim in claims if (upper := wording.upper_of(claim)) is not None]
    return max(uppers, default=None)


def unit(told: Told) -> str:
    """Whose data is hidden."""
    return str(told["silos"][0]["unit"])


def owners_word(told: Told, key: str, silence: str, evidence: tuple[str, ...]) -> Answer:
    """Answer with what the owners say, which nothing here can check; open where they say nothing.

    Args:
        silence: what is wrong with saying nothing, and the mend.
    """
    stated = said(told, key)
    if stated is None:
        return Answer(OPEN, silence, evidence)
    text = f"The owners say, and nothing here can check: {stated.rstrip('.')}."
    return Answer(PARTLY, text, evidence)


def said(told: Told, key: str) -> str | None:
    """What the owners say of something, or None where they say nothing."""
    text = str(told["publication"][key])
    return None if text == NOT_STATED else wording.plain(text)
