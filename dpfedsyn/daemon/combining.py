"""A silo's process while all silos' sums make the base: shown those so far, it adds its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dpfedsyn import checkpoint, envelope
from dpfedsyn.base import Base
from dpfedsyn.envelope import Combine, Released, Summed
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.messages import Packed
from dpfedsyn.preparation import Preparation
from dpfedsyn.releases import given_by, sums_of
from dpfedsyn.replayed import Transcript, continued

FILE = "combined.safetensors"
WAIT = 0.2  # seconds between two looks whether the process is to end


class Combining:
    """The questions of one silo, and the base at their end.

    Args:
        place: of this silo in the run's order. silos: how many there are.
        folder: where the whole transcript is kept; it is public.

    Guarantee:
        The first whole transcript that holds this silo's own answers makes the base, and is kept
        before the base is used. From then on nothing is drawn or charged here, and whoever shows
        another transcript is refused.
    """

    def __init__(self, preparation: Preparation, place: int, silos: int, folder: Path) -> None:
        self._preparation = preparation
        self._place, self._silos = place, silos
        self._path = folder / FILE
        self._one_at_a_time = threading.Lock()
        self._kept: tuple[Released, ...] = ()
        self._base: Base | None = None
        self._done = threading.Event()
        if (known := checkpoint.load(self._path)) is not None:
            self._continue(_read(known))

    @property
    def digest(self) -> str:
        """Of the transcript that made the base; empty before there is one."""
        return envelope.digest(self._kept) if self._done.is_set() else ""

    def reply(self, request: Combine) -> Summed | None:
        """Answer the next question; None: all are answered, and the base is there.

        Raises:
            ProtocolMismatch: what is shown is not what this silo, or its base, has heard before.
        """
        with self._one_at_a_time:
            if self._done.is_set():
                return self._replayed(request.transcript)
            return self._continue(request.transcript)

    def base(self, ended: Callable[[], bool]) -> Base | None:
        """Wait for the base; None where the process is to end first."""
        while not self._done.wait(WAIT):
            if ended():
                return None
        return self._base

    def _replayed(self, shown: tuple[Released, ...]) -> Summed | None:
        """Say again what was said on the way to the base, to a server that asks again."""
        if shown != self._kept[: len(shown)]:
            raise ProtocolMismatch(
                f"{self._preparation.silo.name}: its base was made of other sums than these, and "
                "is kept; nothing was answered or charged. Bring back the silos that took part "
                "then, with their homes, or begin anew with new homes and a budget that composes."
            )
        if len(shown) == len(self._kept):
            return None
        values, std = _answers(self._kept[len(shown)])[self._place]
        return Summed(Packed.of(np.ascontiguousarray(values)), float(std))

    def _continue(self, shown: tuple[Released, ...]) -> Summed | None:
        transcript: Transcript = [_answers(question) for question in shown]
        silo, place, silos = self._preparation, self._place, self._silos
        query, encoder, settings = silo.query, silo.encoder, silo.config.base
        own, given = sums_of(silo), given_by(silo)
        found = continued(transcript, own, given, place, silos, query, encoder, settings)
        if isinstance(found, tuple):
            values, std = found
            return Summed(Packed.of(np.ascontiguousarray(values)), float(std))
        if not self._path.exists():
            checkpoint.save(self._path, _written(shown))
        self._kept, self._base = shown, found
        self._done.set()
        return None


def _answers(question: Released) -> Sequence[tuple[np.ndarray, float]]:
    """Each silo's sums and the std of their noise."""
    values, stds = question.values.array(("<f8",)), question.stds.array(("<f8",))
    if values.ndim != 2 or stds.shape != values.shape[:1]:
        raise ProtocolMismatch("a transcript that is not a row of sums and a noise per silo.")
    return [(row, float(std)) for row, std in zip(values, stds, strict=True)]


def _written(transcript: tuple[Released, ...]) -> dict[str, np.ndarray]:
    arrays = {}
    for number, question in enumerate(transcript):
        arrays[f"{number:03d}-sums"] = question.values.array(("<f8",))
        arrays[f"{number:03d}-stds"] = question.stds.array(("<f8",))
    return arrays


def _read(arrays: dict[str, np.ndarray]) -> tuple[Released, ...]:
    return tuple(
        Released(Packed.of(arrays[f"{number:03d}-sums"]), Packed.of(arrays[f"{number:03d}-stds"]))
        for number in range(len(arrays) // 2)
    )
