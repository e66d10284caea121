"""The server's part of a job: the run itself, resumed where a job before it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nvflare.collab import collab

from dpfedsyn import config as configuration
from dpfedsyn import remote
from dpfedsyn.collaboration import RunResult
from dpfedsyn.errors import DPError
from dpfedsyn.nvflare.ending import Ending
from dpfedsyn.nvflare.logged import Logged
from dpfedsyn.nvflare.transport import NVFlareTransport
from dpfedsyn.prometheus import beside
from dpfedsyn.report import write

_LOG = logging.getLogger(__name__)


class Server:
    """Runs a configuration over the job's sites and leaves the run's folder at the server.

    Args:
        config: TOML file at the server, or an example's name. out: the run's folder.
        overrides: `section.key=value`. silos: by site, which silo it forwards to; a site that is
            not named there forwards to the silo of its own name. metrics: port of the server's
        loopback that serves metrics (Prometheus); 0: none.
    """

    def __init__(
        self,
        config: str,
        out: str,
        overrides: Sequence[str] = (),
        silos: Mapping[str, str] | None = None,
        metrics: int = 0,
    ) -> None:
        self.config = config
        self.out = out
        self.overrides = list(overrides)
        self.silos = dict(silos or {})
        self.metrics = metrics

    @collab.main
    def run(self) -> str:
        """Run, or go on with, the collaboration; returns how it ended.

        Raises:
            DPError: as `dpfedsyn.remote.run`. RunAborted: a site's process is lost; the next job
                goes on from what was committed.
        """
        folder = Path(collab.workspace.get_run_dir(collab.fl_ctx.get_job_id()))
        aborted = collab.context.is_aborted
        try:
            done = self._run(aborted)
        except Exception as error:
            if not aborted():  # whatever a job meets while it ends is no end of the run
                _LOG.error("the run ended: %s", error)
                Ending("failed", _told(error)).write(folder)
            raise
        Ending(done.status, done.reason).write(folder)
        return done.status

    def _run(self, aborted: Callable[[], bool]) -> RunResult:
        sites = {self.silos.get(site.name, site.name): site for site in collab.clients}
        out = Path(self.out)
        resume = (out / "config.toml").is_file()
        config = configuration.load(self.config, self.overrides, records=False)
        progress = beside(Logged(), self.metrics)
        with NVFlareTransport(sites, aborted) as transport:
            try:
                done = remote.run(config, transport, out, resume=resume, progress=progress)
            finally:
                progress.finish()
        write(done.folder)
        return done


def _told(error: Exception) -> str:
    if isinstance(error, DPError):
        return str(error)
    return f"a fault of the server's part ({type(error).__name__}); the log of its job says more."
