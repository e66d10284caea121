"""The stored exact values, as questions and answers."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp
import numpy as np

from accountants import Composed, Gaussian, PoissonSampled, Repeated

FILE = Path(__file__).with_name("exact.json")
ROUNDS = tuple(Gaussian(float(sigma)) for sigma in np.geomspace(20, 200, 1000))


@dataclass(frozen=True)
class Exact:
    """One line: `epsilon` is the larger direction's, with 18 digits."""

    name: str
    training: Repeated
    rounds: tuple[Gaussian, ...]
    delta: float
    epsilon: mp.mpf

    @property
    def event(self):
        """Training and rounds, composed."""
        return Composed((self.training, *self.rounds))


def dp_sgd(rate, sigma, steps):
    """A run of DP-SGD."""
    return Repeated(PoissonSampled(Gaussian(sigma), rate), steps)


def epsilons():
    """Every stored epsilon by its name."""
    found = {}
    for row in json.loads(FILE.read_text())["epsilons"]:
        training = dp_sgd(row["rate"], row["noise_multiplier"], row["steps"])
        with mp.workdps(30):
            value = mp.mpf(row["epsilon"])
        rounds = ROUNDS[: row["rounds"]]
        found[row["name"]] = Exact(row["name"], training, rounds, row["delta"], value)
    return found


def noise_multipliers():
    """T1's noise multiplier for each budget, rounded down in its 14th digit."""
    rows = json.loads(FILE.read_text())["calibrations"]
    return {row["epsilon"]: math.nextafter(float(row["noise_multiplier"]), 0.0) for row in rows}
