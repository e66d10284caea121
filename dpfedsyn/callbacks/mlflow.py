"""A callback that keeps a run in MLflow: public settings, spending per round, the statement."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from dpfedsyn.callbacks.facts import NOT_COVERED, SPENT, Ended, Round, Started
from dpfedsyn.errors import ConfigError

AT_ONCE = 100  # parameters or metrics that MLflow takes in one batch


class MLflow:
    """Writes a run of MLflow's tracking server, with a client of its own.

    Args:
        experiment: that the run belongs to; it is made where there is none.
        tracking_uri: of the server or folder; None: as MLflow is configured.
        private_metrics: also write what was measured on records without noise, below "private/".
            Whoever can read the server then sees figures that no claim covers.

    Raises:
        ConfigError: MLflow is not installed.
    """

    def __init__(
        self,
        experiment: str = "dpfedsyn",
        *,
        tracking_uri: str | None = None,
        private_metrics: bool = False,
    ) -> None:
        try:
            from mlflow import entities
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise ConfigError(
                "callbacks: MLflow is not installed, so nothing was run; "
                "`pip install 'dpfedsyn[mlflow]'`, or leave the callback out."
            ) from None
        self.private_metrics = private_metrics
        self._client, self._entities = MlflowClient(tracking_uri), entities
        self._experiment, self._run = experiment, ""

    def on_start(self, started: Started) -> None:
        """Begin a run, with the public settings as its parameters."""
        found = self._client.get_experiment_by_name(self._experiment)
        number = (
            found.experiment_id
            if found is not None
            else self._client.create_experiment(self._experiment)
        )
        self._run = self._client.create_run(number, run_name=started.name).info.run_id
        self._tag("spent", SPENT)
        if self.private_metrics:
            self._tag("private", NOT_COVERED)
        settings = [
            self._entities.Param(key, str(value)) for key, value in started.settings.items()
        ]
        for first in range(0, len(settings), AT_ONCE):
            self._client.log_batch(self._run, params=settings[first : first + AT_ONCE])

    def on_round(self, done: Round) -> None:
        """Write what ledgers say was spent, and how many silos answered."""
        figures: dict[str, float] = {"silos/answered": len(done.answered)}
        for name, rows in done.asked.items():
            figures[f"rows/asked/{name}"] = rows
        for name, spent in done.spent.items():
            figures[f"spent_not_a_guarantee/epsilon_upper/{name}"] = spent.epsilon_upper
            figures[f"spent_not_a_guarantee/answers_mu/{name}"] = spent.answers_mu
        self._write(figures, done.step)

    def on_private(self, step: int, figures: Mapping[str, float]) -> None:
        """Write what was measured on records; never called without `private_metrics`."""
        self._write({f"private/{name}": value for name, value in figures.items()}, step)

    def on_end(self, ended: Ended) -> None:
        """Write the statement, and the guarantee of each silo."""
        if ended.statement is not None:
            self._client.log_dict(self._run, dict(ended.statement), "statement.json")
            for silo in ended.statement["silos"]:
                upper = silo["epsilon"]["upper"]
                terms = f"delta {silo['delta']:g}, unit {silo['unit']}, {silo['adjacency']}"
                told = "none" if upper is None else f"epsilon <= {upper:.6g} ({terms})"
                self._tag(f"guarantee.{silo['name']}", told)
        self._tag("status", ended.status)
        self._client.set_terminated(
            self._run, "KILLED" if ended.status == "stopped" else "FINISHED"
        )

    def _write(self, figures: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [
            self._entities.Metric(_key(name), value, now, step)
            for name, value in figures.items()
            # Some of MLflow's stores keep infinity as the largest float, which it is not.
            if math.isfinite(value)
        ]
        for first in range(0, len(metrics), AT_ONCE):
            self._client.log_batch(self._run, metrics=metrics[first : first + AT_ONCE])

    def _tag(self, name: str, text: Any) -> None:
        self._client.set_tag(self._run, f"dpfedsyn.{name}", text)


def _key(name: str) -> str:
    """A name of the characters that MLflow allows."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)
