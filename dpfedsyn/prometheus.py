"""What a run tells, as metrics on a loopback port, in the text format that Prometheus reads."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from dpfedsyn.errors import RunError
from dpfedsyn.progress import Progress, Several

HOST = "127.0.0.1"


def beside(progress: Progress, port: int) -> Progress:
    """Return a progress that also serves metrics; port 0: the one there is."""
    return Several(progress, Metrics(port)) if port else progress


class Metrics:
    """A progress that serves its last state at http://127.0.0.1:PORT/metrics.

    Everything in it is public: rounds, seconds, who answered, upper ends of epsilon.

    Raises:
        RunError: the port is in use.
    """

    def __init__(self, port: int) -> None:
        self._registry = registry = CollectorRegistry()
        self._rounds = Counter("dpfedsyn_rounds", "Rounds taken.", ["pass"], registry=registry)
        self._seconds = Gauge("dpfedsyn_round_seconds", "Of the last round.", registry=registry)
        self._left = Gauge("dpfedsyn_left_seconds", "Of the rounds to come.", registry=registry)
        self._missing = Counter(
            "dpfedsyn_missing", "Rounds that a silo was asked in and missed.", ["silo"],
            registry=registry,
        )  # fmt: skip
        self._epsilon = Gauge(
            "dpfedsyn_epsilon_upper", "Of what was spent, record level.", ["silo"],
            registry=registry,
        )  # fmt: skip
        try:
            self._server, self._thread = start_http_server(port, HOST, registry)
        except OSError as error:
            raise RunError(
                f"{HOST}:{port}: metrics cannot be served there ({error.strerror}); nothing was "
                "run. Give another --metrics port."
            ) from None

    def stage(self, name: str, total: int | None) -> None:
        """Stages are no metric."""

    def advance(self, text: str = "") -> None:
        """Nor are their steps."""

    def round(self, record: dict[str, Any]) -> None:
        """Take over what a round did."""
        self._rounds.labels(record["pass"]).inc()
        self._seconds.set(record.get("seconds", 0.0))
        self._left.set(record.get("left") or 0.0)
        for name in sorted(set(record.get("asked", {})) - set(record.get("answered", ()))):
            self._missing.labels(name).inc()
        for name, readings in record.get("silos", {}).items():
            upper = (readings.get("record") or {}).get("upper")
            if upper is not None:
                self._epsilon.labels(name).set(upper)

    def note(self, text: str) -> None:
        """Notes are no metric."""

    def finish(self) -> None:
        """Stop serving; may be said twice."""
        self._server.shutdown()
        self._server.server_close()
