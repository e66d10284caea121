"""The ServerApp: the server's part of a run, over a Flower grid."""

from __future__ import annotations

import logging
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from dpfedsyn import config as configuration
from dpfedsyn import remote
from dpfedsyn.flower import security
from dpfedsyn.flower.transport import FlowerTransport
from dpfedsyn.folder import next_free
from dpfedsyn.progress import shown
from dpfedsyn.prometheus import beside
from dpfedsyn.report import write

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run, or go on with, the run that the app's configuration names.

    Keys of the run configuration: `config` (TOML file or example, on the server's machine),
    `overrides` (SECTION.KEY=VALUE, separated by ";"), `out` (folder; one that holds a run is
    resumed), `keys` (folder of the silos' public keys; "": whoever says so stands for a silo),
    `wait` (seconds for all silos to be connected), `metrics` (loopback port; 0: none).
    """
    settings = context.run_config
    overrides = [part.strip() for part in str(settings["overrides"]).split(";") if part.strip()]
    config = configuration.load(str(settings["config"]), overrides, records=False)
    out = Path(str(settings["out"])) if settings["out"] else next_free(config)
    logging.getLogger("dpfedsyn").setLevel(logging.INFO)
    names = [silo.name for silo in config.silos]
    pins = str(settings["keys"])
    keys = security.pinned(Path(pins), names) if pins else None
    transport = FlowerTransport(grid, names, keys)
    transport.wait(float(settings["wait"]))
    progress = beside(shown(config), int(settings["metrics"]))
    resume = (out / "config.toml").is_file()
    result = remote.run(config, transport, out, resume=resume, progress=progress)
    progress.finish()
    progress.note(f"Run folder: {result.folder.absolute()}   Report: {write(result.folder)}")
