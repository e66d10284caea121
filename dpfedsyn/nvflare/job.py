"""The job of a run: two class names and no code, handed in again where a lost site ended it."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpfedsyn.errors import ConfigError, FederationError, RunError, SiloUnavailable
from dpfedsyn.folder import vacant
from dpfedsyn.nvflare.ending import Ending, read

EXECUTOR = "nvflare.collab.runtime.executor.CollabExecutor"
CONTROLLER = "nvflare.collab.runtime.controller.CollabController"
FORWARDER = "dpfedsyn.nvflare.site.Forwarder"
SERVER = "dpfedsyn.nvflare.server.Server"
AT_SITES = (EXECUTOR, FORWARDER)
"""The classes that a site has to allow (`class_allow_list`), and the only ones."""
AT_SERVER = (CONTROLLER, SERVER)
"""The classes that the server has to allow."""

POLL = 1.0  # seconds between two looks at a job
TRIES = 5

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What a job of this package says.

    Attributes:
        name: letters, digits, `.`, `_`, `-`.
        config: TOML file at the server, or an example's name.
        out: the run's folder at the server.
        sites: NVFlare names of the sites that take part, all of which have to be there.
        overrides: `section.key=value`.
        silos: by site, which silo it forwards to, where that is not the site's own name.
        sync: seconds in which sites have to be ready.
        metrics: loopback port of the server's machine; 0: none.
    """

    name: str
    config: str
    out: Path
    sites: Sequence[str]
    overrides: Sequence[str] = ()
    silos: Mapping[str, str] = field(default_factory=dict)
    sync: int = 120
    metrics: int = 0

    def write(self, folder: Path) -> Path:
        """Write the job as NVFlare takes it, below `folder`; returns where it lies.

        Guarantee:
            There is no `custom` folder in it: sites that grant nobody `byoc` run it all the same,
            with what is installed there.

        Raises:
            ConfigError: a path is relative, or the run's folder and the job's lie in each other.
            RunError: something lies there already.
        """
        self._check()
        path = folder / self.name
        self._require_new(path)
        _json(path / "meta.json", self._meta())
        _json(path / "server" / "config" / "config_fed_server.json", self._server())
        _json(path / "site" / "config" / "config_fed_client.json", _site())
        return path

    def _check(self) -> None:
        relative = [str(self.out)] if not self.out.is_absolute() else []
        if "/" in self.config and not Path(self.config).is_absolute():
            relative.append(self.config)
        if relative:
            raise ConfigError(
                f"{', '.join(relative)}: relative, and the server's job would look for it in a "
                "folder of its own; nothing was handed in. Give absolute paths, at the server."
            )

    def _require_new(self, path: Path) -> None:
        where = path.absolute()
        if where == self.out or where in self.out.parents or self.out in where.parents:
            raise ConfigError(
                f"{path}: the job would lie in the folder of its run ({self.out}), or that in the "
                "job, so nothing was written. Give another --out."
            )
        if not vacant(path):
            raise RunError(f"{path}: is not empty, so no job was written. Name a new folder.")

    def _meta(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "resource_spec": {},
            "deploy_map": {"server": ["server"], "site": list(self.sites)},
            "min_clients": len(self.sites),
            "mandatory_clients": list(self.sites),
        }

    def _server(self) -> dict[str, Any]:
        run = {
            "config": self.config,
            "out": str(self.out),
            "overrides": list(self.overrides),
            "silos": dict(self.silos),
            "metrics": self.metrics,
        }
        controller = {"server_obj_id": "run", "sync_task_timeout": self.sync}
        return {
            "format_version": 2,
            "workflows": [{"id": "controller", "path": CONTROLLER, "args": controller}],
            "components": [{"id": "run", "path": SERVER, "args": run}],
        }


def _site() -> dict[str, Any]:
    executor = {"path": EXECUTOR, "args": {"client_obj_id": "forwarder"}}
    return {
        "format_version": 2,
        "executors": [{"tasks": ["*"], "executor": executor}],
        "components": [{"id": "forwarder", "path": FORWARDER, "args": {}}],
    }


def run(session: Any, job: Job, tries: int = TRIES) -> Ending:
    """Hand a job in until its run has ended, and return how it did.

    A job whose site's process died ends as a whole. The next one goes on from the server's
    checkpoint; silos give the answers of a repeated step from their stores, at no further cost.

    Args:
        session: of `nvflare.fuel.flare_api`.
        tries: jobs in all that are handed in.

    Raises:
        SiloUnavailable: none of the jobs came to its end. FederationError: the run ended by an
            error, which the next job would meet too.
    """
    ids: list[str] = []
    for _ in range(tries):
        with tempfile.TemporaryDirectory() as folder:
            ids.append(session.submit_job(str(job.write(Path(folder)))))
            meta = session.wait_for_job(ids[-1], poll_interval=POLL)
            session.download_job_result(ids[-1], folder)
            ending = read(Path(folder))
        if ending is None:
            _LOG.warning("job %s was lost (%s)", ids[-1], meta.get("status"))
        elif ending.status == "failed":
            raise FederationError(
                f"NVFlare job {ids[-1]}: {ending.reason}\n"
                f"What was committed is in {job.out}, at the server."
            )
        else:
            return ending
    raise SiloUnavailable(
        f"No job came to its end ({', '.join(ids)}); what was committed is in {job.out}, at the "
        "server. See to the sites' NVFlare clients and their logs, and hand the job in again."
    )


def _json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
