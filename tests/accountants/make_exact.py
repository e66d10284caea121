"""`python -m tests.accountants.make_exact`: compute what `exact.json` lacks (all of it: minutes).

Every value is found on two contours (theta at and beside the saddle) that must agree to 16 digits;
where the steps are one, the closed form decides. A direction that cannot reach beyond
steps * -log(1 - rate), which is below the other one's epsilon, is not computed.
"""

import json
import math
from pathlib import Path

import mpmath as mp
import numpy as np

from tests.accountants import reference
from tests.accountants.reference import ADD, REMOVE, Mechanism

FILE = Path(__file__).with_name("exact.json")
METHOD = "contour integral, 40 digits (tests/accountants/reference.py), on two contours"

T1, T2 = (0.01, 1.0, 10_000), (64 / 300, 4.0, 2000)
ROUNDS = np.geomspace(20, 200, 1000)
CASES = [
    ("T1", T1, 0, 1e-5),
    ("T1 at delta 1e-12", T1, 0, 1e-12),
    ("T1 at delta 1e-15", T1, 0, 1e-15),
    ("T2", T2, 0, 1e-5),
    ("T3", None, 1000, 1e-5),
    ("T4 after 50 rounds", T2, 50, 1e-5),
    ("T4", T2, 1000, 1e-5),
    ("rare, a million steps", (1e-5, 1.0, 10**6), 0, 1e-5),
    ("rare, a million steps, small delta", (1e-5, 1.0, 10**6), 0, 1e-8),
    ("rarer, ten million steps", (1e-6, 1.0, 10**7), 0, 1e-6),
    ("heavy tails, ten steps", (0.01, 0.3, 10), 0, 1e-5),
    ("heavy tails, a thousand steps", (0.01, 0.3, 1000), 0, 1e-5),
    ("heavy tails, half sampled", (0.5, 0.3, 100), 0, 1e-5),
    ("tiny epsilon", (0.01, 20.0, 100), 0, 1e-6),
    ("epsilon a thousandth", (0.001, 20.0, 100), 0, 1e-6),
    ("one step", (1e-3, 0.5, 1), 0, 1e-6),
    ("three steps", (0.2, 0.5, 3), 0, 1e-10),
    ("epsilon near a thousand", (0.3, 0.5, 3000), 0, 1e-5),
]
CALIBRATIONS = [(1.0, 3.8), (10.0, 0.8)]  # epsilon, and where the noise multiplier is looked for


def mu2(rounds):
    """What that many of T3's Gaussians add up to."""
    with mp.workdps(reference.DIGITS):
        return mp.fsum(mp.mpf(float(sigma)) ** -2 for sigma in ROUNDS[:rounds])


def exact(mechanism, delta, direction):
    """Epsilon of one direction, or None where it cannot be the larger one."""
    if not mechanism.sampled:
        return reference.epsilon(mechanism, delta)
    ((rate, sigma, steps),) = mechanism.sampled
    reach = -steps * math.log1p(-rate)
    if direction == ADD and mechanism.mu2 == 0 and reach < 0.5 * exact(mechanism, delta, REMOVE):
        return None
    if steps == 1:
        return closed(rate, sigma, delta, direction)
    first, second = (reference.epsilon(mechanism, delta, direction, s) for s in (1.0, 0.85))
    if abs(first - second) > 1e-16 * first:
        raise ArithmeticError(
            f"{mechanism} at {delta}: {first} on one contour, {second} on another"
        )
    return first


def closed(rate, sigma, delta, direction):
    """Where the closed form of one step meets delta, by halving."""
    with mp.workdps(reference.DIGITS):
        low, high = mp.mpf(0), mp.mpf(100)
        for _ in range(110):
            middle = (low + high) / 2
            over = reference.one_step(rate, sigma, middle, direction) > delta
            low, high = (middle, high) if over else (low, middle)
        return high


def row(name, training, rounds, delta):
    """One line of the table; digits as text, for they are more than a float holds."""
    steps = training[2] if training else 0
    mechanism = Mechanism((training,) if training else (), mu2(rounds))
    sides = {"remove": exact(mechanism, delta, REMOVE), "add": exact(mechanism, delta, ADD)}
    text = {key: None if value is None else mp.nstr(value, 18) for key, value in sides.items()}
    largest = max(value for value in sides.values() if value is not None)
    return {
        **question(name, training, rounds, delta), "epsilon": mp.nstr(largest, 18), **text,
        "method": "closed form" if steps <= 1 else METHOD,
    }  # fmt: skip


def question(name, training, rounds, delta):
    """What a line answers."""
    rate, sigma, steps = training or (1.0, 1.0, 0)
    return {
        "name": name, "rate": rate, "noise_multiplier": sigma, "steps": steps, "rounds": rounds,
        "delta": delta,
    }  # fmt: skip


def calibrated(epsilon, start):
    """Noise multiplier with which T1's rate and steps cost just epsilon at delta 1e-5."""
    rate, _, steps = T1

    def over(sigma):
        return mp.log(reference.delta(Mechanism(((rate, float(sigma), steps),)), epsilon) / 1e-5)

    with mp.workdps(20):
        found = mp.findroot(over, (start, start * 1.01), tol=1e-24, maxsteps=12, verify=False)
    return {"epsilon": epsilon, "noise_multiplier": mp.nstr(found, 14)}


def main():
    """Write the file; lines that it has are kept."""
    known = json.loads(FILE.read_text())["epsilons"] if FILE.is_file() else []
    rows = []
    for case in CASES:
        kept = [old for old in known if question(*case).items() <= old.items()]
        rows.append(kept[0] if kept else row(*case))
        print(rows[-1]["name"], rows[-1]["epsilon"], flush=True)
    found = [calibrated(*case) for case in CALIBRATIONS]
    FILE.write_text(json.dumps({"epsilons": rows, "calibrations": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
