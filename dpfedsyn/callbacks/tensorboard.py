"""A callback that writes a run for TensorBoard: settings, spending per round, the statement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from dpfedsyn.callbacks.facts import NOT_COVERED, SPENT, Ended, Round, Started
from dpfedsyn.errors import ConfigError


class TensorBoard:
    """Writes event files into a folder, for `tensorboard --logdir FOLDER`.

    Args:
        folder: for the event files; best not the run's own, which holds records and keys.
        private_metrics: also write what was measured on records without noise, below "private/".
            Whoever can read the folder then sees figures that no claim covers.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path | str, *, private_metrics: bool = False) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "callbacks: TensorBoard is not installed, so nothing was run; "
                "`pip install 'dpfedsyn[tensorboard]'`, or leave the callback out."
            ) from None
        self.private_metrics = private_metrics
        self._make, self._folder = SummaryWriter, str(folder)

    def on_start(self, started: Started) -> None:
        """Begin a file, with the public settings as a text."""
        self._writer = self._make(self._folder)
        lines = [f"    {key} = {value}" for key, value in started.settings.items()]
        self._writer.add_text("settings", "\n".join([f"Run {started.name}", "", *lines]))
        self._writer.add_text("spent", SPENT)
        if self.private_metrics:
            self._writer.add_text("private", NOT_COVERED)

    def on_round(self, done: Round) -> None:
        """Write what ledgers say was spent, and how many silos answered."""
        self._writer.add_scalar("silos/answered", len(done.answered), done.step)
        for name, rows in done.asked.items():
            self._writer.add_scalar(f"rows_asked/{name}", rows, done.step)
        for name, spent in done.spent.items():
            place = "spent_not_a_guarantee"
            self._writer.add_scalar(f"{place}/epsilon_upper/{name}", spent.epsilon_upper, done.step)
            self._writer.add_scalar(f"{place}/answers_mu/{name}", spent.answers_mu, done.step)

    def on_private(self, step: int, figures: Mapping[str, float]) -> None:
        """Write what was measured on records; never called without `private_metrics`."""
        for name, value in figures.items():
            self._writer.add_scalar(f"private/{name}", value, step)

    def on_end(self, ended: Ended) -> None:
        """Write the statement as a text, and close the file."""
        if ended.statement is not None:
            text = json.dumps(ended.statement, indent=2).replace("\n", "\n    ")
            self._writer.add_text("statement", f"    {text}")
        self._writer.add_text("status", ended.status)
        self._writer.close()
