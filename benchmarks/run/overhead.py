"""How much wall time a sampling pass spends on anything but the models' forwards.

A whole pass of the embedded example is timed as it runs: real silos, ledgers on disk, checkpoints
and log. Then the *bare* pass: the same queries, carried by the same engine, answered by the models'
forwards alone. Overhead is what the whole pass takes longer, as a share of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from accountants.ledger import Ledger
from benchmarks.run.stopwatch import Part, Stopwatch, Time
from dpfedsyn import (
    checkpoint,
    config,
    lattice,
    messages,
    network,
    privatise,
    rounds,
    sampler,
    server,
    silo,
)
from dpfedsyn import run as runner
from dpfedsyn.diffusion import signal_shares
from dpfedsyn.engine.asking import Asking
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.folder import RoundLog
from dpfedsyn.messages import ScoreQuery

FORWARDS = "model forwards"

# What is timed, and where it is looked up. The first is the work itself; the others are overhead.
PARTS = (
    Part(FORWARDS, network.Denoiser, "predict_noise"),
    Part("silo: checks, arrays, energies", silo.Silo, "answer"),
    Part("silo: digest of the query", messages, "digest"),
    Part("silo: ledger looked up, filter asked", Ledger, "find"),
    Part("silo: ledger looked up, filter asked", Ledger, "admit"),
    Part("silo: rows clipped", privatise, "clip_rows"),
    Part("silo: rows truncated, checked", privatise, "checked"),
    Part("silo: noise drawn", lattice.Lattice, "noise"),
    Part("silo: parts and noise added", privatise.AnswerMechanism, "release"),
    Part("silo: query decoded", messages, "decode_query"),
    Part("silo: answer encoded", messages, "encode_answer"),
    Part("server: query encoded", messages, "encode_query"),
    Part("server: answer decoded", messages, "decode_answer"),
    Part("silo: charge and reply committed", Ledger, "commit"),
    Part("server: queries and answers gathered", server, "ask"),
    Part("server: waiting for silos", LocalTransport, "query"),
    Part("server: step", sampler, "step"),
    Part("server: checkpoint", checkpoint, "save"),
    Part("round log: epsilon in three readings", rounds, "_readings"),
    Part("round log: file", RoundLog, "append"),
)


@dataclass(frozen=True)
class Overhead:
    """One pass: wall seconds, those of the bare pass, and where the time of all threads went."""

    wall: float
    bare: float
    rounds: int
    silos: int
    parts: dict[str, Time]

    @property
    def share(self) -> float:
        """(wall - bare) / wall."""
        return (self.wall - self.bare) / self.wall

    @property
    def work(self) -> float:
        """Processor seconds of the forwards, all threads together."""
        return self.parts[FORWARDS].processor

    @property
    def rest(self) -> float:
        """Processor seconds of everything else."""
        return sum(time.processor for time in self.parts.values()) - self.work


@dataclass
class Recorder:
    """Times the first pass of a run, keeps its queries and asks them once more of bare models."""

    watch: Stopwatch = field(default_factory=Stopwatch)
    models: dict[str, Any] = field(default_factory=dict)
    queries: list[Mapping[str, ScoreQuery]] = field(default_factory=list)
    wall: float = 0.0
    bare: float = 0.0

    def forward(self, name: str, query: ScoreQuery) -> Any:
        """Do what a silo would do if it had nothing to protect."""
        signal = signal_shares()[query.t]
        return self.models[name].predict_noise(query.x, signal, query.labels)

    def replay(self) -> None:
        """Take the bare pass."""

        def forwards(name: str) -> Callable[[bytes], bytes]:
            def forward(number: bytes) -> bytes:
                self.forward(name, self.queries[int.from_bytes(number, "big")][name])
                return b""

            return forward

        with LocalTransport({name: forwards(name) for name in self.models}) as transport:
            began = time.perf_counter()
            for number, queries in enumerate(self.queries):
                payload = number.to_bytes(4, "big")
                transport.query("bare", dict.fromkeys(queries, payload), None)
            self.bare = time.perf_counter() - began


def measure(overrides: tuple[str, ...]) -> Overhead:
    """Run the embedded example once with these overrides and time its first pass."""
    settings = [*overrides, "evaluate.enabled=false", "answers.best_share=0"]
    loaded, recorder = config.load("hospitals", settings), Recorder()
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder, recording(recorder):
        runner.run(loaded, Path(folder) / "run")
    parts = dict(sorted(recorder.watch.times.items(), key=lambda item: -item[1].processor))
    return Overhead(
        recorder.wall, recorder.bare, len(recorder.queries), len(recorder.models), parts
    )


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Put the recorder around the sampling pass of whatever runs meanwhile."""
    plain, plain_pass, plain_ask = runner._collaborated, server.run_pass, Asking.ask

    def collaborated(plan: Any, members: Mapping[str, Any], *rest: Any) -> Any:
        recorder.models = {name: member.trained.models[0] for name, member in members.items()}
        with patch.object(Asking, "ask", ask), recorder.watch.timing(PARTS):
            done = plain(plan, members, *rest)
        recorder.replay()
        return done

    def run_pass(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        result = plain_pass(*args, **kwargs)
        recorder.wall = time.perf_counter() - began
        return result

    def ask(engine: Asking, queries: Mapping[str, ScoreQuery]) -> Any:
        recorder.queries.append(queries)
        return plain_ask(engine, queries)

    with (
        patch.object(runner, "_collaborated", collaborated),
        patch.object(server, "run_pass", run_pass),
    ):
        yield
