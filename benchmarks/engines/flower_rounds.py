"""Rounds a second over Flower: bare with the same knobs, with its defaults, and through us."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.engines import flower
from benchmarks.engines.processes import Processes, ready, until

SILOS = ("a", "b")
ROWS = 64
LONGEST = 900.0  # seconds


def seconds_a_round(mode: str, rounds: int) -> tuple[float, Sequence[str]]:
    """Return the mean seconds of a round, and outside addresses that were looked for.

    Args:
        mode: of `benchmarks.engines.flower_apps.MODES`.
    """
    with tempfile.TemporaryDirectory(prefix="en-", dir="/tmp") as name:
        folder = Path(name)
        with Processes(folder) as processes:
            sockets = {who: folder / f"{who}.socket" for who in SILOS}
            if mode == "ours":
                _stubs(processes, sockets)
            lookups = folder / "lookups"
            watched = {"DPFEDSYN_LOOKUPS": str(lookups)}
            knobs = {} if mode == "defaults" else flower.FAST
            flower.federation(processes, sockets, knobs, watched)
            app = flower.write_app(
                folder / "app", "benchmarks.engines.flower_apps", _client(mode),
                {"mode": mode, "rounds": rounds, "rows": ROWS, "silos": ",".join(SILOS),
                 "out": str(folder / "seconds.json")},
            )  # fmt: skip
            flower.submit(processes, app, "run")
            until((folder / "seconds.json").is_file, f"rounds ({mode})", LONGEST)
            seconds = json.loads((folder / "seconds.json").read_text())
            found = lookups.read_text().splitlines() if lookups.is_file() else []
    return fmean(seconds), found


def _client(mode: str) -> str:
    return "dpfedsyn.flower.client" if mode == "ours" else "benchmarks.engines.flower_client"


def _stubs(processes: Processes, sockets: dict[str, Path]) -> None:
    for who, path in sockets.items():
        command = ("python", "-m", "benchmarks.engines.stub", who, str(path), str(ROWS))
        processes.start(f"stub-{who}", *command)
    until(lambda: all(map(ready, sockets.values())), "the stubs")
