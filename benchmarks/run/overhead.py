"""How much wall time a sampling pass spends on anything but the models' forwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accountants.ledger import Ledger
from unittest.mock import patch

from benchmarks.run.stopwatch import Part, Stopwatch
from dpfedsyn import checkpoint, config, messages, network, noise, privatise, rounds, sampler, server
from dpfedsyn import run as runner
from dpfedsyn.folder import RoundLog

FORWARDS, REST = "model forwards", "everything else"

# What is timed, and where it is looked up. The first is the work itself; the others are overhead.
PARTS = (
    Part(FORWARDS, network.Denoiser, "predict_noise"),
    Part("clip", privatise, "clip_rows"),
    Part("noise", noise.Keystream, "normal"),
    Part("release (sums, rounding)", privatise.AnswerMechanism, "release"),
    Part("digest of queries", messages, "digest"),
    Part("encoding of answers", messages, "encode_answer"),
    Part("ledger: find, admit", Ledger, "find"),
    Part("ledger: find, admit", Ledger, "admit"),
    Part("ledger: charge and reply committed", Ledger, "commit"),
    Part("server: step", sampler, "step"),
    Part("server: checkpoint", checkpoint, "save"),
    Part("round log: epsilon", rounds, "_spent"),
    Part("round log: file", RoundLog, "append"),
)


@dataclass(frozen=True)
class Overhead:
    """One sampling pass: wall seconds, rounds, and seconds of each part."""

    wall: float
    rounds: int
    parts: dict[str, float]

    @property
    def share(self) -> float:
        """(wall - forwards) / wall."""
        return (self.wall - self.parts[FORWARDS]) / self.wall


def measure(overrides: tuple[str, ...], say: Callable[[str], None]) -> Overhead:
    """Run the embedded example once, time its sampling pass, and throw the run away."""
    say("overhead: training the silos, then one timed sampling pass")
    loaded = config.load("hospitals", [*overrides, "evaluate.enabled=false", "answers.best_share=0"])
    watch, counts = Stopwatch(), []
    plain_sample = server.run_pass

    def timed_sample(*args: Any, **kwargs: Any) -> Any:
        with watch.timing(PARTS), watch.part(REST):
            results = plain_sample(*args, **kwargs)
        counts.append(results.state.round_number)
        return results

    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        with patch.object(server, "run_pass", timed_sample):
            runner.run(loaded, Path(folder) / "run")
    parts = dict(sorted(watch.seconds.items(), key=lambda item: -item[1]))
    return Overhead(sum(parts.values()), sum(counts), parts)
