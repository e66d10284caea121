"""The kit's checks with their settings. None of them knows which bug it is tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from hypothesis import Phase, given, settings
from hypothesis.strategies import SearchStrategy
from torch import nn

from accountants import Adjacency, Event, Gaussian, Unit
from dpfedsyn.audit import Verdict, audit
from dpfedsyn.audit.battery import battery
from dpfedsyn.audit.binomial import upper_rate
from dpfedsyn.audit.canaries import audit_optimizer
from dpfedsyn.testing import LedgerMachine, accountant_contract, assert_sensitivity, replay
from dpfedsyn.testing.randomness import global_sources
from tests.corpus.case import Layer, Trial
from tests.corpus.silent import Silent, flat

Pair = tuple[Any, Any]
ONE = Gaussian(1.0)


@dataclass(frozen=True)
class Audited:
    """The black box: a violation of `claim` at alpha = 1e-6. Subject: a mechanism."""

    neighbours: Pair
    claim: Event
    adjacency: Adjacency = Adjacency.ADD_OR_REMOVE
    unit: Unit = Unit.RECORD
    max_calls: int = 4000
    low_bits: bool = False
    slow: bool = False
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

        with unshrunk():

            @settings(max_examples=self.examples)
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
        with unshrunk():
            return _failure(lambda: accountant_contract(max_examples=self.examples, **subject))


@dataclass(frozen=True)
class Machine:
    """The state machine of ledgers. Subject: makes a `LedgerAdapter`."""

    layer: Layer = field(default=Layer.LEDGER, init=False)

    def finding(self, subject: Callable[[], Any]) -> str | None:
        """Return what the machine shrank a failing run to."""
        machine = type("Machine", (LedgerMachine,), {"adapter": staticmethod(subject)})
        case = machine.TestCase
        with unshrunk():
            case.settings = settings(max_examples=30, stateful_step_count=20)
        return _failure(case().runTest)


@dataclass(frozen=True)
class Canary:
    """A crafted gradient through real steps. Subject: makes an optimizer over a network."""

    claim: Event = ONE
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
class Crafted:
    """A crafted record through real steps, seen along the way that it moves them.

    For steps that `audit_optimizer` cannot take: ghost clipping forms no gradients of records, and
    losses, batches and closures are not the optimizer's. Subject: a program `(data, rng) -> steps`.
    `way`: of the numbers of one step, repeated for all; None: the program's own without noise.
    """

    neighbours: Pair
    way: tuple[float, ...] | None = None
    claim: Event = ONE
    adjacency: Adjacency = Adjacency.ADD_OR_REMOVE
    max_calls: int = 400
    slow: bool = False
    layer: Layer = field(default=Layer.CANARY, init=False)

    def finding(self, subject: Any) -> str | None:
        """Return the audit's words where it finds a violation."""
        without, with_ = (flat(subject(data, Silent())) for data in self.neighbours)
        way = with_ - without if self.way is None else np.resize(self.way, with_.shape)
        unit = way / np.linalg.norm(way)
        found = audit(
            lambda data, rng: flat(subject(data, rng)) @ unit,
            self.neighbours,
            claim=self.claim,
            adjacency=self.adjacency,
            max_calls=self.max_calls,
        )
        return str(found) if found.verdict is Verdict.VIOLATION else None


@dataclass(frozen=True)
class Secret:
    """Randomness that is no secret: Python's, numpy's or torch's own. Subject: a mechanism."""

    data: Any
    layer: Layer = field(default=Layer.PROPERTY, init=False)

    def finding(self, subject: Any) -> str | None:
        """Return the generators that were drawn from."""
        with torch.random.fork_rng(devices=[]):
            sources = global_sources(subject, self.data, vectorised=False)
        return " and ".join(sorted(sources)) or None


@dataclass(frozen=True)
class Calibrated:
    """An auditor on correct mechanisms: its bounds may exceed the truth as often as it says.

    Those of the kit's own calibration whose mu is known. Subject: an auditor `(outputs without,
    outputs with, alpha) -> lower bound on mu`, which sees the first number of each output. The
    count of an auditor that keeps its `alpha` is told from its level with an error of 1e-6, as
    `Calibration.trustworthy` does.
    """

    calls: int = 400
    runs: int = 100
    alpha: float = 0.05
    layer: Layer = field(default=Layer.CALIBRATION, init=False)

    def finding(self, subject: Callable[..., float]) -> str | None:
        """Return where and how often the auditor claimed more than the truth."""
        rng = np.random.default_rng(0)
        for correct in battery():
            mu = getattr(correct.claim, "mu", None)
            if mu is None:
                continue
            mechanism = correct.with_noise(1.0)
            above = 0
            for _ in range(self.runs):
                pair = (mechanism(d, self.calls // 2, rng)[:, 0] for d in correct.neighbours)
                above += subject(*pair, self.alpha) > mu
            if 1.0 - upper_rate(self.runs - above, self.runs, 1e-6) > self.alpha:
                return f"{correct.name}: {above} of {self.runs} bounds lie above mu = {mu:g}"
        return None


@contextmanager
def unshrunk() -> Iterator[None]:
    """Make properties that are defined within repeatable, and quick to fail: without shrinking."""
    before = settings.default
    settings.register_profile(
        "corpus",
        phases=(Phase.explicit, Phase.generate),
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
    )
    settings.load_profile("corpus")
    try:
        yield
    finally:
        settings.register_profile("before the corpus", before)
        settings.load_profile("before the corpus")


def _failure(check: Callable[[], Any]) -> str | None:
    try:
        check()
    except AssertionError as error:
        return str(error) or repr(error)
    return None
