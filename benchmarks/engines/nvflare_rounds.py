"""Rounds a second over NVFlare: bare Collab calls and the product's, in turns inside one job."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

from benchmarks.engines.processes import SETTINGS, Processes, free_port, ready, until
from dpfedsyn.nvflare import job, kits
from dpfedsyn.nvflare.poc import Poc

SILOS = ("a", "b")
ROWS = 64
LONGEST = 900.0  # seconds
SITE = "benchmarks.engines.nvflare_job.Site"
SERVER = "benchmarks.engines.nvflare_job.Server"
OWN_ADDRESS = "socket.connect '10.255.255.255'"
"""How a lookup begins that is none: NVFlare connects a UDP socket, sends nothing through it, and
reads from it which address this machine has (`nvflare.private.fed.authenticator`)."""


class Federation(Poc):
    """Server and sites that allow the benchmark's classes in place of the product's."""

    def _provision(self) -> None:
        super()._provision()
        kits.harden(self.kit("server"), (job.CONTROLLER, SERVER))
        for name in SILOS:
            kits.harden(self.kit(name), (job.EXECUTOR, SITE))


def seconds_a_round(rounds: int) -> tuple[dict[str, float], Sequence[str]]:
    """Return the mean seconds of a round by mode, and outside addresses that were looked for.

    The first round of each mode does not count. Addresses are seen in all processes but this one.

    Args:
        rounds: of each mode.
    """
    with tempfile.TemporaryDirectory(prefix="en-", dir="/tmp") as name:
        folder = Path(name)
        lookups, out = folder / "lookups", folder / "seconds.json"
        # NVFlare's processes take the environment of this one.
        watched = patch.dict(os.environ, {**SETTINGS, "DPFEDSYN_LOOKUPS": str(lookups)})
        with watched, Processes(folder) as processes:
            sockets = _stubs(processes)
            with Federation(folder / "poc", sockets, free_port()) as federation:
                _run(federation, _written(folder, out, rounds))
        seconds = json.loads(out.read_text(encoding="utf-8"))
        found = lookups.read_text().splitlines() if lookups.is_file() else []
    outside = [line for line in found if not line.startswith(OWN_ADDRESS)]
    return {mode: fmean(each) for mode, each in seconds.items()}, outside


def _stubs(processes: Processes) -> dict[str, Path]:
    sockets = {who: processes.folder / f"{who}.socket" for who in SILOS}
    for who, path in sockets.items():
        command = ("python", "-m", "benchmarks.engines.stub", who, str(path), str(ROWS))
        processes.start(f"stub-{who}", *command)
    until(lambda: all(map(ready, sockets.values())), "the stubs")
    return sockets


def _written(folder: Path, out: Path, rounds: int) -> Path:
    """Write the product's job, and put the benchmark's classes where the product's stand."""
    path = job.Job("rounds", "hospitals", folder / "run", SILOS).write(folder)
    arguments = {"out": str(out), "rounds": rounds, "rows": ROWS}
    server = {"id": "run", "path": SERVER, "args": arguments}
    _put(path / "server" / "config" / "config_fed_server.json", server)
    site = {"id": "forwarder", "path": SITE, "args": {}}
    _put(path / "site" / "config" / "config_fed_client.json", site)
    return path


def _put(path: Path, component: Mapping[str, Any]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [each["id"] for each in content["components"]] == [component["id"]]
    content["components"] = [component]
    path.write_text(json.dumps(content), encoding="utf-8")


def _run(federation: Federation, path: Path) -> None:
    """Hand the job in once; what its server's part logged is shown where it fails."""
    with federation.session() as session:
        number = session.submit_job(str(path))
        meta = session.wait_for_job(number, timeout=LONGEST, poll_interval=job.POLL)
    if meta["status"] != "FINISHED:COMPLETED":
        for log in federation.kit("server").glob(f"{number}/log.txt"):
            print(log.read_text(encoding="utf-8", errors="replace")[-2000:])
    assert meta["status"] == "FINISHED:COMPLETED", meta["status"]
