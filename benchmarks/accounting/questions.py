"""What every accountant is asked, and the exact answers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Made by `python -m tests.accountants.make_exact`; each row says how.
EXACT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "tests" / "accountants" / "exact.json").read_text(encoding="utf-8")
)

EPSILON, ODOMETER, CALIBRATE = "epsilon", "odometer", "calibrate"


@dataclass(frozen=True)
class Question:
    """DP-SGD of this rate, noise multiplier and number of steps, then Gaussian rounds.

    Attributes:
        kind: one epsilon; epsilon after each round; or the noise multiplier for `budget`.
        rate, sigma, steps: steps is 0 where nothing is sampled. rounds: noise multipliers.
        exact: the exact answer, of an odometer after the last round.
    """

    name: str
    kind: str
    rate: float
    sigma: float
    steps: int
    rounds: tuple[float, ...]
    delta: float
    exact: float
    budget: float = math.nan

    def to_json(self) -> str:
        """Return one line that `from_json` reads back."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Question:
        """Read what `to_json` wrote."""
        plain = json.loads(text)
        return Question(**{**plain, "rounds": tuple(plain["rounds"])})


# Asked before the clock starts, so that nothing is measured but the question itself.
WARM_UP = Question("warm-up", EPSILON, 0.02, 2.0, 100, (9.0,), 1e-6, math.nan)


def rounds(count: int) -> tuple[float, ...]:
    """The first `count` of 1,000 noise multipliers from 20 to 200, in a geometric series."""
    import numpy as np

    return tuple(float(sigma) for sigma in np.geomspace(20.0, 200.0, 1000)[:count])


def tasks() -> dict[str, Question]:
    """T1 to T4: DP-SGD twice, 1,000 Gaussians, both together."""
    return {name: question for name, question in _stored() if name in ("T1", "T2", "T3", "T4")}


def extremes() -> dict[str, Question]:
    """All questions about epsilon with an exact answer, the tasks among them."""
    return dict(_stored())


def odometer() -> Question:
    """Epsilon after each of T4's rounds."""
    return Question(**{**vars(tasks()["T4"]), "name": "odometer", "kind": ODOMETER})


def calibrations() -> dict[str, Question]:
    """T1's noise multiplier for a budget."""
    of = vars(tasks()["T1"])
    found = {}
    for row in EXACT["calibrations"]:
        name = f"calibrate to {row['epsilon']:g}"
        sigma, budget = float(row["noise_multiplier"]), row["epsilon"]
        new = {"name": name, "kind": CALIBRATE, "exact": sigma, "budget": budget}
        found[name] = Question(**{**of, **new})
    return found


def _stored() -> Iterator[tuple[str, Question]]:
    for row in EXACT["epsilons"]:
        yield row["name"], Question(
            row["name"], EPSILON, row["rate"], row["noise_multiplier"], row["steps"],
            rounds(row["rounds"]), row["delta"], float(row["epsilon"]),
        )  # fmt: skip
