"""The kit's checks with their settings. None of them knows which bug it is tried on."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy
from torch import nn

from accountants import Adjacency, ApproximateDP, Event, Gaussian, Unit
from dpfedsyn.audit import Verdict, audit
from dpfedsyn.audit.canaries import audit_optimizer
from dpfedsyn.testing import LedgerMachine, accountant_contract, assert_sensitivity, replay
from tests.corpus.case import Layer, Trial

Pair = tuple[Any, Any]


@dataclass(frozen=True)
class Audited:
    """The black box: a violation of `claim` at alpha = 1e-6. Subject: a mechanism."""

    neighbours: Pair
    claim: Event
    adjacency: Adjacency = Adjacency.ADD_OR_REMOVE
    unit: Unit = Unit.RECORD
    max_calls: int = 4000
    low_bits: bool = False
    layer: Layer = field(default=Layer.STATISTICAL, init=False)

    def finding(self, subject: Any) -> str | None:
        """Return the audit's words where it finds a violation."""
        found = audit(
            subject,
            self.neighbours,
            claim=self.claim,
            adjacency=self.adjacency,
            unit=self.unit,
            max_calls=self.max_calls,
            low_bits=self.low_bits,
        )
        return str(found) if found.verdict is Verdict.VIOLATION else None


@dataclass(frozen=True)
class Replayed:
    """What depends on the data without noise. Subject: a program `(data, rng) -> output`."""

    neighbours: Pair
    sensitivity: float | None = None
    norm: float = 2
    mu: float | None = None
    tolerance: float = 1e-6
    layer: Layer = field(default=Layer.REPLAY, init=False)

    def finding(self, subject: Any) -> str | None:
        """Return the replay's findings."""
        found = replay(
            subject,
            self.neighbours,
            sensitivity=self.sensitivity,
            norm=self.norm,
            mu=self.mu,
            tolerance=self.tolerance,
        )
        return str(found) if found.findings else None


@dataclass(frozen=True)
class Sensitive:
    """A declared sensitivity on generated neighbours. Subject: a query `data -> array`."""

    neighbours: SearchStrategy[Any]
    bound: float
    norm: float = 2
    examples: int = 200
    layer: Layer = field(default=Layer.PROPERTY, init=False)

    def on(self, broken: Any, fixed: Any) -> Trial:
        """Return this check on queries, where the case's programs release them with noise."""
        return Trial(self, broken, fixed)

    def finding(self, subject: Any) -> str | None:
        """Return the smallest counterexample."""

        @settings(max_examples=self.examples, derandomize=True, database=None, deadline=None)
        @given(self.neighbours)
        def holds(pair: Pair) -> None:
            assert_sensitivity(subject, tuple(pair), self.bound, self.norm)

        return _failure(holds)


@dataclass(frozen=True)
class Contract:
    """The contract of accountants. Subject: keywords of `accountant_contract`."""

    examples: int = 8
    layer: Layer = field(default=Layer.PROPERTY, init=False)

    def finding(self, subject: dict[str, Any]) -> str | None:
        """Return the clauses that are broken."""
        return _failure(lambda: accountant_contract(max_examples=self.examples, **subject))


@dataclass(frozen=True)
class Machine:
    """The state machine of ledgers. Subject: makes a `LedgerAdapter`."""

    layer: Layer = field(default=Layer.LEDGER, init=False)

    def finding(self, subject: Callable[[], Any]) -> str | None:
        """Return what the machine shrank a failing run to."""
        machine = type("Machine", (LedgerMachine,), {"adapter": staticmethod(subject)})
        case = machine.TestCase
        case.settings = settings(
            max_examples=30, stateful_step_count=20, derandomize=True, database=None, deadline=None
        )
        return _failure(case().runTest)


@dataclass(frozen=True)
class Canary:
    """A crafted gradient through real steps. Subject: makes an optimizer over a network."""

    claim: Event = Gaussian(1.0)
    others: int = 0
    max_calls: int = 600
    layer: Layer = field(default=Layer.CANARY, init=False)

    def finding(self, subject: Callable[[nn.Module], Any]) -> str | None:
        """Return the audit's words where it finds a violation."""
        network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
        found = audit_optimizer(
            network, subject, claim=self.claim, others=self.others, max_calls=self.max_calls
        )
        return str(found) if found.verdict is Verdict.VIOLATION else None


@dataclass(frozen=True)
class Foretold:
    """Noise that whoever knows the state of the public generators knows as well.

    Python's, numpy's and torch's own generators are put into one state, and the program is run
    twice: what it draws from elsewhere (the operating system, a secret key) is not repeated.
    Subject: a program of the data alone.
    """

    data: Any
    layer: Layer = field(default=Layer.PROPERTY, init=False)

    def finding(self, subject: Callable[[Any], Any]) -> str | None:
        """Return a sentence where both runs are equal."""
        outputs = []
        for _ in range(2):
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 (the state in question)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                outputs.append(np.asarray(subject(copy.deepcopy(self.data))))
        if np.array_equal(*outputs):
            return "the noise is a function of a generator's state that is no secret"
        return None


@dataclass(frozen=True)
class Calibrated:
    """An auditor on mechanisms that keep their claim: it may be wrong as often as it says.

    Subject: an auditor `(scores without, scores with, alpha) -> lower bound on mu`. `runs` runs
    at `alpha`; more alarms than `allowed` have a chance below 1e-9 for a valid auditor.
    """

    mu: float
    calls: int = 400
    runs: int = 200
    alpha: float = 0.05
    allowed: int = 33
    layer: Layer = field(default=Layer.CALIBRATION, init=False)

    def finding(self, subject: Callable[..., float]) -> str | None:
        """Return how often the auditor claimed more than the truth."""
        rng = np.random.default_rng(0)
        alarms = 0
        for _ in range(self.runs):
            without, with_ = rng.standard_normal((2, self.calls // 2))
            alarms += subject(without, with_ + self.mu, self.alpha) > self.mu
        if alarms > self.allowed:
            return f"{alarms} of {self.runs} lower bounds lie above the true mu = {self.mu:g}"
        return None


PURE = ApproximateDP  # claims of pure epsilon read better so: PURE(1.0, 0.0)


def _failure(check: Callable[[], Any]) -> str | None:
    try:
        check()
    except AssertionError as error:
        return str(error) or repr(error)
    return None
