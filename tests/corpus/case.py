"""A real bug as a small program, beside the same program without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

PATTERN = "a pattern; no single incident was found to cite"


class Layer(StrEnum):
    """Which kind of check it is."""

    STATISTICAL = "statistical"  # black box: outputs on two neighbours against the claim
    PROPERTY = "property"  # declared sensitivities on generated neighbours, contracts
    REPLAY = "replay"  # the same noise on the neighbour: what else differs
    CANARY = "canary"  # white box: a crafted gradient through real optimizer steps
    LEDGER = "ledger"  # a state machine: charge, commit, crash, retry
    CALIBRATION = "calibration"  # of auditors: alarms on mechanisms that are correct


class Check(Protocol):
    """A general check with its settings: nothing in it knows of the bug."""

    @property
    def layer(self) -> Layer:
        """The layer that it belongs to."""
        ...

    def finding(self, subject: Any) -> str | None:
        """Return what is wrong with a program, a query, an accountant; None where nothing is."""
        ...


@dataclass(frozen=True)
class Trial:
    """One check on the bug and on its corrected twin, in the form that this check can take."""

    check: Check
    broken: Any
    fixed: Any

    @property
    def slow(self) -> bool:
        """Whether the check takes seconds, and other checks of the row do not."""
        return bool(getattr(self.check, "slow", False))


@dataclass(frozen=True)
class Passed:
    """A trial that lets the bug pass, and why it does."""

    trial: Trial
    why: str


@dataclass(frozen=True)
class Case:
    """A row of the corpus.

    Attributes:
        number: of the row. source: where the bug was reported, or PATTERN. trials: checks that
            must catch it. passed: checks that apply and do not. missed: why nothing catches it.
    """

    number: int
    title: str
    source: str
    trials: tuple[Trial, ...] = ()
    passed: tuple[Passed, ...] = ()
    missed: str = ""

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that catch it, in the order of `Layer`."""
        found = {trial.check.layer for trial in self.trials}
        return tuple(str(layer) for layer in Layer if layer in found)

    def and_(self, trials: tuple[Trial, ...], passed: tuple[Passed, ...]) -> Case:
        """Return the case with more trials, of other layers."""
        return replace(self, trials=self.trials + trials, passed=self.passed + passed)


def case(
    number: int, title: str, source: str, broken: Any, fixed: Any, *checks: Check | Trial
) -> Case:
    """Make a case; a check without subjects of its own gets `broken` and `fixed`."""
    trials = tuple(c if isinstance(c, Trial) else Trial(c, broken, fixed) for c in checks)
    return Case(number, title, source, trials)
