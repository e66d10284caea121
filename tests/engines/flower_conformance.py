"""A ServerApp in which the conformance suite runs over Flower's own grid."""

from __future__ import annotations

from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from dpfedsyn.flower import security
from dpfedsyn.flower.transport import FlowerTransport
from tests.engines import conformance
from tests.engines.hosts import NAMES, Hosts

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Write what is wrong, by check, to `outcomes.json` in the hosts' folder."""
    settings = context.run_config
    folder = str(settings["keys"])
    keys = security.pinned(Path(folder), NAMES) if folder else None
    transport = FlowerTransport(grid, NAMES, keys)
    transport.wait(120.0)
    hosts = Hosts(Path(str(settings["folder"])), float(str(settings["soon"])))
    conformance.write_outcomes(transport, hosts, str(settings["checks"]).split(","))
