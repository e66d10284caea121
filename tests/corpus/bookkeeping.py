"""Rows about accountants and ledgers: what is charged, when, and to what."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from opacus.accountants.analysis import rdp

from accountants import Adjacency, Repeated
from dpfedsyn.testing import of_history
from tests.corpus.case import Case, Passed, Trial, case
from tests.corpus.checks import Audited, Contract, Machine
from tests.corpus.sampled_steps import SAMPLED, STEPS, ZEROED, local_steps

SDK = "https://github.com/opendp/smartnoise-sdk"
SYFT = "https://github.com/OpenMined/PySyft"
OPACUS = "https://github.com/meta-pytorch/opacus"
ORDERS = np.array([2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256])


@lru_cache(maxsize=4096)
def renyi(sigma: float, rate: float) -> Any:
    """Return Renyi divergences of one step at `ORDERS`."""
    return rdp.compute_rdp(q=rate, noise_multiplier=sigma, steps=1, orders=ORDERS.tolist())


def epsilon_of(history: Any, delta: float) -> float:
    """Return epsilon by Renyi divergences: valid, and not tight."""
    total = np.zeros(len(ORDERS))
    for sigma, rate, steps in history:
        total += steps * renyi(sigma, rate)
    return float(max(0.0, np.min(total + math.log(1 / delta) / (ORDERS - 1))))


# 22: a logarithm is missing in one of three bounds on composed (epsilon, delta)


def odometer(history: Any, delta: float, *, logarithm: bool) -> float:
    """Return epsilon by Kairouz, Oh & Viswanath (2017), Theorem 3.4, of the costliest step."""
    count = sum(steps for *_, steps in history)
    each, slack = delta / (2 * count), delta / 2
    cost = max(epsilon_of([(sigma, rate, 1)], each) for sigma, rate, _ in history)
    drift = count * cost * math.expm1(cost) / (math.exp(cost) + 1)
    second = math.log(math.e + math.sqrt(count) * cost / slack)
    third = math.log(1 / slack) if logarithm else 1 / slack
    return min(count * cost, *(drift + cost * math.sqrt(2 * count * x) for x in (second, third)))


# 24, 25: what is too dear is filtered out, and not charged

_MOST = 3.0  # epsilon that one step may cost


def with_filter(history: Any, delta: float) -> float:
    """Return epsilon of the steps that pass a filter; the others were answered as well."""
    return epsilon_of([s for s in history if epsilon_of([s], delta) <= _MOST], delta)


def by_last(history: Any, delta: float) -> float:
    """Return epsilon by a bound that takes all steps for steps like the last one."""
    sigma, rate, _ = history[-1]
    return epsilon_of([(sigma, rate, sum(steps for *_, steps in history))], delta)


# 27: one charge an epoch


class PerEpoch:
    """Counts a step as one of ten in an epoch, which it charges as one step."""

    def __init__(self, batches: int) -> None:
        self.batches, self.taken = batches, dict[tuple[float, float], int]()

    def step(self, *, noise_multiplier: float, sample_rate: float) -> None:
        """Note a step."""
        key = (noise_multiplier, sample_rate)
        self.taken[key] = self.taken.get(key, 0) + 1

    def get_epsilon(self, delta: float) -> float:
        """Return epsilon of the epochs so far."""
        epochs = [(*key, math.ceil(n / self.batches)) for key, n in self.taken.items()]
        return epsilon_of(epochs, delta)


# 44: a search that ends on the wrong side


def calibrated(
    target: float, delta: float, rate: float, steps: int, *, end: int, width: float = 0.01
) -> float:
    """Return a noise multiplier for a target, the `end` (0 or 1) of a bracket it lies in."""
    bracket = [0.3, 1000.0]
    while bracket[1] / bracket[0] > 1.0 + width:
        middle = math.sqrt(bracket[0] * bracket[1])
        bracket[epsilon_of([(middle, rate, steps)], delta) <= target] = middle
    return bracket[end]


# 45: asking empties the history


class Accounted:
    """Keeps a history and answers from it."""

    def __init__(self) -> None:
        self.history: list[Any] = []

    def get_epsilon(self, delta: float) -> float:
        """Return epsilon of all steps."""
        return epsilon_of(self.history, delta)


class Popping(Accounted):
    """Takes the last entry out of the history to compute with it."""

    def get_epsilon(self, delta: float) -> float:
        """Return epsilon of what is left."""
        if not self.history:
            return 0.0
        last = self.history.pop()
        return epsilon_of([*self.history, last], delta)


# 23, 26: ledgers


class RefusedError(Exception):
    """The budget does not allow it."""


class FileLedger:
    """Charges in one file, each written before its reply is computed: the corrected twin."""

    refusals = (RefusedError,)

    def __init__(self) -> None:
        self.path: Path | None = None

    def create(self, folder: Path, cap: float) -> None:
        """Begin a ledger."""
        self.path = folder / "ledger.jsonl"
        self._append({"cap": cap})

    def open(self, folder: Path) -> None:
        """Open a ledger."""
        self.path = folder / "ledger.jsonl"

    def close(self) -> None:
        """Let go of the file."""
        self.path = None

    def request(self, query: bytes, cost: float, draw: Callable[[], bytes]) -> bytes:
        """Charge, then reply; a query that was answered gets the same reply."""
        for row in self._rows():
            if row.get("query") == query.hex() and "reply" in row:
                return bytes.fromhex(row["reply"])
        if not (math.isfinite(cost) and cost > 0 and self.allows(cost)):
            raise RefusedError
        self.charge(cost)
        reply = draw()
        self._append({"query": query.hex(), "reply": reply.hex()})
        return reply

    def allows(self, cost: float) -> bool:
        """Whether the sum with this charge keeps within the cap."""
        return self.spent() + Fraction(cost) <= Fraction(self._rows()[0]["cap"])

    def charge(self, cost: float) -> None:
        """Write a charge."""
        self._append({"cost": cost})

    def spent(self) -> Fraction:
        """Return the exact sum of charges."""
        return sum((Fraction(row["cost"]) for row in self._rows() if "cost" in row), Fraction(0))

    def _rows(self) -> list[dict[str, Any]]:
        assert self.path is not None
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def _append(self, row: dict[str, Any]) -> None:
        assert self.path is not None
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


class ChecksAfterwards(FileLedger):
    """Looks whether the budget is used up already, and not whether this query exceeds it."""

    def allows(self, cost: float) -> bool:
        """Whether something is left."""
        return self.spent() < Fraction(self._rows()[0]["cap"])


class Bucketed(FileLedger):
    """Charges the buckets, k / 300, of an interval of users.

    All queries are about users in (7 / 300 + 0.0001, 8 / 300 - 0.0001), within one bucket.
    """

    interval = (7 / 300 + 1e-4, 8 / 300 - 1e-4)

    def buckets(self) -> list[int]:
        """Return the buckets that the interval overlaps."""
        start, end = self.interval
        return [k for k in range(300) if k / 300 < end and start < (k + 1) / 300]

    def charge(self, cost: float) -> None:
        """Charge each bucket."""
        for k in self.buckets():
            self._append({"bucket": k, "cost": cost})


class SkipsFirst(Bucketed):
    """Charges the buckets that start within the interval: not the one in which it starts."""

    def buckets(self) -> list[int]:
        """Return the buckets whose start lies in the interval."""
        start, end = self.interval
        return [k for k in range(300) if start <= k / 300 <= end]


SOUND = {"make": of_history(epsilon_of)}

MISSED: tuple[Case, ...] = (
    Case(
        22, "A logarithm is missing in the odometer",
        f"{SDK}/issues/621",
        passed=(
            Passed(
                Trial(
                    Contract(),
                    {"make": of_history(partial(odometer, logarithm=False))},
                    {"make": of_history(partial(odometer, logarithm=True))},
                ),
                "no claim becomes false, and what is merely not tight keeps the contract",
            ),
        ),
        missed="the formula without the logarithm is larger, and the least of three is taken",
    ),
)  # fmt: skip

CASES: tuple[Case, ...] = (
    case(
        23, "The budget is checked after the step",
        f"{SDK}/issues/424",
        ChecksAfterwards, FileLedger,
        Machine(),
    ),
    case(
        24, "Less noise, less charged",
        f"{SYFT}/issues/6914",
        {"make": of_history(with_filter)}, SOUND,
        Contract(),
    ),
    case(
        25, "The order of queries changes what is spent",
        f"{SYFT}/issues/6917",
        {"make": of_history(by_last)}, SOUND,
        Contract(),
    ),
    case(
        26, "A bucket that is cut by the interval is not charged",
        "https://github.com/world-federation-of-advertisers/cross-media-measurement/issues/2209",
        SkipsFirst, Bucketed,
        Machine(),
    ),
    case(
        27, "Epochs are charged, steps are taken",
        "https://github.com/xiyuanyang45/DynamicPFL/issues/4",
        partial(local_steps, batches=10), partial(local_steps, batches=1),
        Audited(ZEROED, Repeated(SAMPLED, STEPS), Adjacency.ZERO_OUT),
        Trial(Contract(), {"make": partial(PerEpoch, 10)}, {"make": partial(PerEpoch, 1)}),
    ),
    case(
        44, "Calibration returns noise that exceeds the budget",
        f"{OPACUS}/issues/346",
        SOUND | {"calibrate": partial(calibrated, end=0)},
        SOUND | {"calibrate": partial(calibrated, end=1)},
        Contract(),
    ),
    case(
        45, "Asking for epsilon takes a step out of the history",
        f"{OPACUS}/issues/535",
        {"make": Popping}, {"make": Accounted},
        Contract(),
    ),
)  # fmt: skip
