"""What the private step costs, where the module that measures it is there."""

from __future__ import annotations

import importlib

from benchmarks.record import Table, Target

STEP = "benchmarks.utility.step"
RATIO = 2.0  # private step, noise apart, to plain forward and backward


def step(*, smoke: bool) -> tuple[Target, Table]:
    """Return the target of the private step, and its table."""
    try:
        module = importlib.import_module(STEP)
    except ModuleNotFoundError as missing:
        if missing.name != STEP:
            raise
        reason = f"{STEP.replace('.', '/')}.py is not there"
        return Target(None, RATIO, at_least=False, reason=reason), []
    found: tuple[Target, Table] = module.target(smoke=smoke)
    return found
