"""The tape of a run: what noise was drawn, and what it was added to.

A first run records. A second one, on the neighbour, is given what the first one *released*: where
noise is added to a value, the recorded sum is returned. Whatever is computed from released values
alone is then the same on both sides, and every difference that is left is a leak.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_OURS = str(Path(__file__).parent)


@dataclass(frozen=True)
class Noise:
    """What is known of an array of noise: its law and the draws that it was made from."""

    law: str
    scale: Any  # a float, or an array of the noise's shape
    draws: tuple[int, ...]

    def scaled(self, factor: Any) -> Noise:
        """Return the same noise times a factor."""
        return Noise(self.law, self.scale * np.abs(factor), self.draws)

    def plus(self, other: Noise) -> Noise:
        """Return the sum of two independent noises."""
        law = "gaussian" if self.law == other.law == "gaussian" else "sum"
        return Noise(law, np.hypot(self.scale, other.scale), self.draws + other.draws)


@dataclass(frozen=True)
class Sum:
    """A value, the noise that was added to it, and the sum as it was released."""

    noise: Noise
    noise_shape: tuple[int, ...]
    value: Array
    released: Array
    where: str


@dataclass
class Tape:
    """Draws and sums of one run, in order.

    Attributes:
        located: draws that are made around a value. Around 0 they look like noise that waits to be
            added, so that it takes the runs on both neighbours to know them: `centred` collects.
        earlier: the sums of the run that is replayed.
    """

    seed: int
    located: frozenset[int] = frozenset()
    earlier: tuple[Sum, ...] = ()
    draws: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)  # law and shape
    sums: list[Sum] = field(default_factory=list)
    centred: set[int] = field(default_factory=set)
    used: dict[int, int] = field(default_factory=dict)  # draw -> numbers of it that were added
    reused: list[str] = field(default_factory=list)
    _others: int = 0

    def drawn(
        self, law: str, shape: tuple[int, ...], *, located: bool
    ) -> tuple[int, np.random.Generator]:
        """Return the number of the next draw of noise, and a generator of its own."""
        self.draws.append((law, shape))
        number = len(self.draws) - 1
        if located:
            self.centred.add(number)
        return number, _generator(self.seed, 0, number)

    def other(self) -> np.random.Generator:
        """Return a generator for the next draw that is not noise: a sample, a permutation.

        Longer draws begin like shorter ones, so that rows at the same place share their draw.
        """
        self._others += 1
        return _generator(self.seed, 1, self._others)

    def add(self, noise: Noise, size: int, shape: tuple[int, ...], value: Array, sum_: Array) -> Any:
        """Note value + noise; return the sum, or on the neighbour the recorded one."""
        where = caller()
        for draw in set(noise.draws):
            self.used[draw] = self.used.get(draw, 0) + size
            if self.used[draw] > max(1, int(np.prod(self.draws[draw][1]))):
                self.reused.append(where)
        value = np.broadcast_to(np.asarray(value), sum_.shape).copy()
        number = len(self.sums)
        if number < len(self.earlier) and self.earlier[number].released.shape == sum_.shape:
            sum_ = self.earlier[number].released.astype(sum_.dtype)
        self.sums.append(Sum(noise, shape, value, sum_.copy(), where))
        return sum_


@dataclass(frozen=True)
class Run:
    """What a run returned or raised, and its tape."""

    output: Any
    error: Exception | None
    tape: Tape


def _generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def caller() -> str:
    """Return file and line of the innermost frame that is the program's own."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_OURS) and not _is_library(name):
            break
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _is_library(name: str) -> bool:
    return any(part in ("torch", "numpy") for part in Path(name).parts)
