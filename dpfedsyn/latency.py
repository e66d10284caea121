"""What it takes to carry a round's messages: measured on a loopback, so elsewhere it takes more.

Computing the answers comes on top; it is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SECONDS = {
    "one process": 0.0003,
    "processes on one machine": 0.004,
    "NVFlare": 0.02,
    "Flower": 5.5,
}
"""Seconds a round, 2 silos and 64 x 64 numbers on 2 cores: what `python -m benchmarks engines`
prints, kept in `benchmarks/results/engines.json`."""

DEAR = 600.0  # seconds of carrying from which fewer rounds are worth a word
FEW = 50  # rounds that ancestral steps need at most


def of(rounds: int) -> list[dict[str, Any]]:
    """Return per engine its seconds a round, and of all rounds."""
    return [
        {"engine": name, "seconds_per_round": each, "seconds": each * rounds}
        for name, each in SECONDS.items()
    ]


def advice(rounds: int, kernels: Sequence[str]) -> str | None:
    """Say which engines are too slow for so many rounds, and what helps; None: none is.

    Args:
        kernels: of the plan's passes.
    """
    slow = [name for name, each in SECONDS.items() if each * rounds > DEAR]
    if not slow or rounds <= FEW:
        return None
    steps = "" if set(kernels) == {"ancestral"} else " (preset = 'best')"
    return (
        f"{rounds} rounds take more than {DEAR / 60.0:.0f} minutes of carrying alone over "
        f"{', '.join(slow)}; 20 to {FEW} ancestral levels{steps} do with fewer."
    )
