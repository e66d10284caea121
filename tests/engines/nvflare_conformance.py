"""The server's part of an NVFlare job in which the conformance suite runs."""

from __future__ import annotations

from pathlib import Path

from nvflare.collab import collab

from dpfedsyn.nvflare.transport import NVFlareTransport
from tests.engines import conformance
from tests.engines.hosts import Hosts


class Server:
    """Write what is wrong, by check, to `outcomes.json` in the hosts' folder."""

    def __init__(self, folder: str, soon: float, checks: list[str]) -> None:
        self.folder = folder
        self.soon = soon
        self.checks = checks

    @collab.main
    def run(self) -> None:
        """Run the checks over the job's own sites."""
        sites = {site.name: site for site in collab.clients}
        with NVFlareTransport(sites, collab.context.is_aborted) as transport:
            hosts = Hosts(Path(self.folder), self.soon)
            conformance.write_outcomes(transport, hosts, self.checks)
