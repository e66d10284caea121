"""Server and sites as processes of this machine: mutual TLS, loopback only, code of nobody.

For trying out and for tests. On several machines NVFlare's own provisioning takes this place: what
`_harden` writes into a site's folder is what a site's owner has to write.
"""

from __future__ import annotations

import json
import os
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
from dpfedsyn.nvflare import job
from dpfedsyn.nvflare.site import SOCKET

PROJECT, ORGANISATION, ADMIN = "dpfedsyn", "dpfedsyn", "admin@localhost.org"
HOST = "127.0.0.1"
START = 120.0  # seconds for the server to listen and all sites to be connected
STOP = 20.0  # seconds for processes to end by themselves

RIGHTS = {
    "submit_job": "any",
    "clone_job": "none",
    "manage_job": "any",
    "download_job": "any",
    "view": "any",
    "operate": "any",
    "shell_commands": "none",
    "byoc": "none",
}
"""What the administrator may do at server and sites: no code of theirs runs there, no shell."""


class Poc:
    """An NVFlare of this machine, for the time of a context.

    Args:
        workspace: folder that is made; keys, logs and jobs stay there. sockets: by site, the socket
            of its silo, which only that site's processes are told. port: on the loopback
            interface.

    Raises:
        RunError: the workspace is in use. FederationError: not all sites were connected in time.
    """

    def __init__(self, workspace: Path, sockets: Mapping[str, Path], port: int = 8002) -> None:
        self.workspace = workspace.absolute()
        self._sockets = dict(sockets)
        self._port = port
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        if self.workspace.exists() and any(self.workspace.iterdir()):
            raise RunError(
                f"{self.workspace}: this folder is not empty, so nothing was started. Name another."
            )
        self._provision()
        try:
            self._start("server", {})
            for site, socket in self._sockets.items():
                self._start(site, {SOCKET: str(socket.absolute())})
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
        return self.workspace / PROJECT / "prod_00" / name

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A session of the administrator, for the time of a context."""
        session = new_secure_session(ADMIN, str(self.kit(ADMIN)), timeout=START)
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

    def _provision(self) -> None:
        self.workspace.mkdir(parents=True, exist_ok=True)
        project = self.workspace.parent / f"{self.workspace.name}-project.json"
        project.write_text(json.dumps(_project(list(self._sockets), self._port)), encoding="utf-8")
        prepare_poc_provision([], 0, str(self.workspace), "", project_conf_path=str(project))
        project.unlink()
        _listen_on_loopback(self.kit("server"), self._port)
        _harden(self.kit("server"), job.AT_SERVER)
        for site in self._sockets:
            _harden(self.kit(site), job.AT_SITES)

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


def _project(sites: list[str], port: int) -> dict[str, Any]:
    builders = "nvflare.lighter.impl"
    templates = {"template_file": ["master_template.yml"]}
    server: dict[str, Any] = {
        "name": "server",
        "type": "server",
        "fed_learn_port": port,
        "default_host": HOST,
    }
    admin = {"name": ADMIN, "type": "admin", "role": "project_admin"}
    clients = [{"name": site, "type": "client"} for site in sites]
    participants: list[dict[str, Any]] = [server, admin, *clients]
    return {
        "api_version": 3,
        "name": PROJECT,
        "participants": [{**p, "org": ORGANISATION} for p in participants],
        "builders": [
            {"path": f"{builders}.workspace.WorkspaceBuilder", "args": templates},
            {"path": f"{builders}.static_file.StaticFileBuilder", "args": {}},
            {"path": f"{builders}.cert.CertBuilder"},
            {"path": f"{builders}.signature.SignatureBuilder"},
        ],
    }


def _listen_on_loopback(kit: Path, port: int) -> None:
    path = kit / "startup" / "fed_server.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for server in content["servers"]:
        server["service"]["target"] = f"{HOST}:{port}"  # as provisioned, on every interface
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _harden(kit: Path, classes: tuple[str, ...]) -> None:
    """Let jobs build these classes only, nobody bring code, and no site's log leave it."""
    local = kit / "local"
    resources = local / "resources.json"
    source = resources if resources.exists() else local / "resources.json.default"
    content = json.loads(source.read_text(encoding="utf-8"))
    content |= {"class_allow_list": list(classes), "class_list_enforcement_mode": "enforce"}
    content["allow_log_streaming"] = False  # else a job's error log is sent to the server
    resources.write_text(json.dumps(content, indent=2), encoding="utf-8")
    rights = {"format_version": "1.0", "permissions": {"project_admin": RIGHTS}}
    (local / "authorization.json").write_text(json.dumps(rights, indent=2), encoding="utf-8")
