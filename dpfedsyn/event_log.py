"""What a run tells, as lines of JSON in its folder, for programs that watch it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = "events.jsonl"


class EventLog:
    """A progress that appends one line per event: time (seconds since 1970), event, what it says.

    Args:
        folder: of the run, which is there.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE
        self._now = now

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins."""
        self._append("stage", name=name, steps=total)

    def advance(self, text: str = "") -> None:
        """Steps of a stage are not events."""

    def round(self, record: dict[str, Any]) -> None:
        """A round is over; all that it did stands in rounds.jsonl."""
        names = ("pass", "round", "of", "seconds", "left")
        missing = sorted(set(record.get("asked", {})) - set(record.get("answered", ())))
        why = record.get("missing", {})
        self._append(
            "round", missing=missing, why=why, **{name: record.get(name) for name in names}
        )

    def note(self, text: str) -> None:
        """Something that outlives its stage."""
        self._append("note", text=text)

    def finish(self) -> None:
        """The run has come to its end."""
        self._append("end")

    def _append(self, event: str, **said: Any) -> None:
        line = json.dumps({"time": self._now(), "event": event, **said})
        self._path.touch(mode=0o600)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
