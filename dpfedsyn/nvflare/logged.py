"""What a run tells, as lines of the job's log."""

from __future__ import annotations

import logging
from typing import Any

from dpfedsyn.progress import aside
from dpfedsyn.report.wording import plain

_LOG = logging.getLogger(__name__)


class Logged:
    """A run's progress in the log of the server's job."""

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage of `total` steps (None where the number is unknown)."""
        _LOG.info("%s%s", name, "" if total is None else f" ({total} steps)")

    def advance(self, text: str = "") -> None:
        """One step of the stage is done; only rounds are worth a line."""

    def round(self, record: dict[str, Any]) -> None:
        """One round is charged, committed and over."""
        told = record["pass"], record["round"], record["of"], plain(aside(record))
        _LOG.info("%s: round %d of %d%s", *told)

    def note(self, text: str) -> None:
        """Say something that outlives the stage."""
        _LOG.info("%s", text)

    def finish(self) -> None:
        """The run is over; its state is in the run's folder."""
