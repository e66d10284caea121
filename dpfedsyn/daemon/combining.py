"""A silo's process while all silos' sums make the base: shown those so far, it adds its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dpfedsyn import checkpoint
from dpfedsyn.base import Base
from dpfedsyn.envelope import Combine, Summed
from dpfedsyn.messages import Packed
from dpfedsyn.preparation import Preparation
from dpfedsyn.releases import sums_of
from dpfedsyn.replayed import Transcript, continued

FILE = "combined.npz"
WAIT = 0.2  # seconds between two looks whether the process is to end


class Combining:
    """The questions of one silo, and the base at their end.

    Args:
        place: of this silo in the run's order. silos: how many there are.
        folder: where the whole transcript is kept; it is public.
    """

    def __init__(self, preparation: Preparation, place: int, silos: int, folder: Path) -> None:
        self._preparation = preparation
        self._place, self._silos = place, silos
        self._path = folder / FILE
        self._one_at_a_time = threading.Lock()
        self._base: Base | None = None
        self._done = threading.Event()
        if (known := checkpoint.load(self._path)) is not None:
            self._continue(_read(known, silos))

    def reply(self, request: Combine) -> Summed | None:
        """Answer the next question; None: all are answered, and the base is there."""
        transcript = [
            [(sums.values.array(("<f8",)).astype(np.float64), sums.std) for sums in answers]
            for answers in request.transcript
        ]
        found = self._continue(transcript)
        if found is None and not self._path.exists():
            checkpoint.save(self._path, _written(transcript))
        return found

    def base(self, ended: Callable[[], bool]) -> Base | None:
        """Wait for the base; None where the process is to end first."""
        while not self._done.wait(WAIT):
            if ended():
                return None
        return self._base

    def _continue(self, transcript: Transcript) -> Summed | None:
        own, query = sums_of(self._preparation), self._preparation.query
        encoder, settings = self._preparation.encoder, self._preparation.config.base
        with self._one_at_a_time:
            found = continued(transcript, own, self._place, self._silos, query, encoder, settings)
            if isinstance(found, tuple):
                values, std = found
                return Summed(Packed.of(np.ascontiguousarray(values)), float(std))
            if self._base is None:  # later ones are of a server that asks again
                self._base = found
                self._done.set()
            return None


def _written(transcript: Transcript) -> dict[str, np.ndarray]:
    arrays = {}
    for number, answers in enumerate(transcript):
        for place, (values, std) in enumerate(answers):
            arrays[f"{number:03d}-{place:05d}"] = np.append(values, std)
    return arrays


def _read(arrays: dict[str, np.ndarray], silos: int) -> Transcript:
    ordered = [(arrays[name][:-1], float(arrays[name][-1])) for name in sorted(arrays)]
    return [ordered[first : first + silos] for first in range(0, len(ordered), silos)]
