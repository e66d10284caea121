"""Server and sites as processes of this machine: mutual TLS, loopback only, code of nobody.

For trying out and for tests. On several machines NVFlare's own provisioning takes this place: what
`kits.harden` writes into a site's folder is what a site's owner has to write.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from nvflare.fuel.flare_api.flare_api import new_secure_session
from nvflare.tool.poc.poc_commands import prepare_poc_provision

from dpfedsyn.errors import FederationError, RunError
from dpfedsyn.folder import vacant
from dpfedsyn.nvflare import job, kits
from dpfedsyn.nvflare.ending import Ending
from dpfedsyn.nvflare.site import SOCKET

START = 120.0  # seconds for the server to listen and all sites to be connected
STOP = 20.0  # seconds for processes to end by themselves


class Poc:
    """An NVFlare of this machine, for the time of a context.

    Args:
        workspace: folder that is made; keys, logs and jobs stay there. sockets: by site, the socket
            of its silo, which only that site's processes are told. port: on the loopback
            interface.

    Raises:
        RunError: the workspace or the port is in use. FederationError: not all sites were
            connected in time.
    """

    def __init__(self, workspace: Path, sockets: Mapping[str, Path], port: int = 8002) -> None:
        self.workspace = workspace.absolute()
        self._sockets = dict(sockets)
        self._port = port
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        if not vacant(self.workspace):
            raise RunError(
                f"{self.workspace}: this folder is not empty, so nothing was started. Name another."
            )
        self._require_port()
        self._provision()
        try:
            self._start("server", {})
            for site, path in self._sockets.items():
                self._start(site, {SOCKET: str(path.absolute())})
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def kit(self, name: str) -> Path:
        """The startup kit, and working folder, of a participant."""
        return self.workspace / kits.PROJECT / "prod_00" / name

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A session of the administrator, for the time of a context."""
        session = new_secure_session(kits.ADMIN, str(self.kit(kits.ADMIN)), timeout=START)
        try:
            yield session
        finally:
            session.close()

    def process(self, name: str) -> int:
        """Number of a participant's process."""
        return self._processes[name].pid

    def children(self, name: str) -> list[int]:
        """Numbers of the job processes of a participant."""
        return [child.pid for child in psutil.Process(self.process(name)).children()]

    def _require_port(self) -> None:
        """Where another process listens, NVFlare's server ends and all sites wait for it."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended
            try:
                probe.bind((kits.HOST, self._port))
            except OSError as error:
                raise RunError(
                    f"{kits.HOST}:{self._port}: NVFlare's server cannot listen there "
                    f"({error.strerror}), so nothing was started. Give another port."
                ) from None

    def _provision(self) -> None:
        self.workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        project = self.workspace.parent / f"{self.workspace.name}-project.json"
        project.write_text(
            json.dumps(kits.project(list(self._sockets), self._port)), encoding="utf-8"
        )
        prepare_poc_provision([], 0, str(self.workspace), "", project_conf_path=str(project))
        project.unlink()
        kits.listen_on_loopback(self.kit("server"), self._port)
        kits.harden(self.kit("server"), job.AT_SERVER)
        for site in self._sockets:
            kits.harden(self.kit(site), job.AT_SITES)

    def _start(self, name: str, environment: Mapping[str, str]) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        inherited = {key: value for key, value in os.environ.items() if key != SOCKET}
        with (self.workspace / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                ["bash", str(self.kit(name) / "startup" / "sub_start.sh"), "--once"],
                env={**inherited, "PATH": path, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + START
        with self.session() as session:
            while time.monotonic() < deadline:
                there = {client.name for client in session.get_connected_client_list()}
                if set(self._sockets) <= there:
                    return
                time.sleep(0.5)
        raise FederationError(
            f"not all sites were connected within {START:g} s, so no job was handed in; the logs "
            f"in {self.workspace} say why."
        )

    def _stop(self) -> None:
        """End every process that was started, and the jobs' processes below them."""
        ours = [psutil.Process(p.pid) for p in self._processes.values() if p.poll() is None]
        ours += [child for process in ours for child in process.children(recursive=True)]
        for process in ours:
            process.terminate()
        _, left = psutil.wait_procs(ours, STOP)
        for process in left:
            process.kill()
        for started in self._processes.values():
            started.wait()
        self._processes.clear()


def run(wanted: job.Job, sockets: Mapping[str, Path], workspace: Path, port: int = 8002) -> Ending:
    """Run one job in an NVFlare of this machine; arguments and errors as of `Poc` and `job.run`."""
    with Poc(workspace, sockets, port) as poc, poc.session() as session:
        return job.run(session, wanted)
