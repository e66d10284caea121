"""Callbacks: programs that are told how a run goes, such as a tracker of experiments.

    Callback                     what such a program has
    Relay                        a run's progress, which tells callbacks
    callbacks.mlflow.MLflow      extra `mlflow`
    callbacks.tensorboard.TensorBoard   extra `tensorboard`

`simulation.fit` takes callbacks; a run over silos elsewhere takes a `Relay` for its progress.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable as Function
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from dpfedsyn.callbacks import facts
from dpfedsyn.callbacks.facts import NOT_COVERED, SPENT, Ended, Round, Spent, Started
from dpfedsyn.errors import ConfigError
from dpfedsyn.folder import COMPLETE, PARTIAL
from dpfedsyn.settings import Config

__all__ = ["NOT_COVERED", "SPENT", "Callback", "Ended", "Relay", "Round", "Spent", "Started"]

_LOG = logging.getLogger(__name__)


@runtime_checkable
class Callback(Protocol):
    """A program that is told how a run goes.

    Attributes:
        private_metrics: whether it is told, too, what was measured on records without noise. What
            it does with that, no claim covers.
    """

    private_metrics: bool = False

    def on_start(self, started: Started) -> None:
        """The run has begun: all that could be refused is past."""

    def on_round(self, done: Round) -> None:
        """A round is over."""

    def on_private(self, step: int, figures: Mapping[str, float]) -> None:
        """Something was measured on records: called where `private_metrics` is true, else never."""

    def on_end(self, ended: Ended) -> None:
        """The run has come to its end, well or not."""


class Relay:
    """A run's progress, which tells callbacks what is public, and the rest to those who ask for it.

    Args:
        folder: of the run. Nothing is told before it is there: until then a run may be refused.

    Guarantee:
        A callback without `private_metrics` is called with public settings, released values and
        what ledgers say was spent; nothing that was measured on records reaches it.

    Raises:
        ConfigError: something among the callbacks is none.
    """

    def __init__(self, callbacks: Sequence[Callback], config: Config, folder: Path) -> None:
        for one in callbacks:
            if not isinstance(one, Callback):
                raise ConfigError(
                    f"callbacks: {type(one).__name__} is no callback, so nothing was run. Give it "
                    "on_start, on_round, on_private, on_end and private_metrics (False)."
                )
        self._told, self._config, self._folder = list(callbacks), config, folder
        self._step, self._begun, self._over = 0, False, False

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins; with the first after the folder was made, the run has begun."""
        if not self._begun and (self._folder / "config.toml").is_file():
            self._begun = True
            self._step = len(self._lines("rounds.jsonl"))  # of a run that is resumed
            self._tell(lambda one: one.on_start(facts.started(self._config)))

    def advance(self, text: str = "") -> None:
        """Steps of a stage are told to nobody."""

    def round(self, record: dict[str, Any]) -> None:
        """A round is over."""
        self._step += 1
        self._tell(lambda one: one.on_round(facts.round_of(record, self._step)))
        self._private({"round/seconds": float(record["seconds"])})

    def note(self, text: str) -> None:
        """Notes are told to nobody."""

    def finish(self) -> None:
        """The run has come to its end; may be said twice, also where it was cut off."""
        if self._over or not self._begun:
            return
        self._over = True
        statement = self._read("statement.json")
        state = (self._read("state.json") or {}).get("status")
        status = state if statement is not None and state in (COMPLETE, PARTIAL) else "stopped"
        if (measured := self._read(facts.RESULTS)) is not None:
            self._private(facts.private_figures(measured))
        self._tell(lambda one: one.on_end(Ended(status, statement)))

    def _read(self, name: str) -> Any:
        path = self._folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def _lines(self, name: str) -> list[str]:
        path = self._folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []

    def _private(self, figures: Mapping[str, float]) -> None:
        step = self._step
        self._tell(lambda one: one.on_private(step, figures) if one.private_metrics else None)

    def _tell(self, call: Function[[Callback], None]) -> None:
        """Tell all; one that fails is told nothing more, for its trouble must cost no budget."""
        for one in list(self._told):
            try:
                call(one)
            except Exception:
                self._told.remove(one)
                _LOG.exception(
                    "%s failed and is told nothing more. The run goes on: what was charged stays "
                    "charged, and all that it would be told lies in %s.",
                    type(one).__name__, self._folder,
                )  # fmt: skip
