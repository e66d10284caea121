"""Flower on the loopback: a SuperLink, a SuperNode per silo, and apps that are run on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.engines.processes import Processes, free_port, until

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
"""Without these two Flower looks for addresses outside."""

FAST = {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.05"}
"""Of the knobs that Flower has, the one that shortens a round."""


def federation(
    processes: Processes,
    sockets: Mapping[str, Path],
    knobs: Mapping[str, str] = FAST,
    more: Mapping[str, str] = {},
    keys: Path | None = None,
) -> None:
    """Start a SuperLink, and a SuperNode for each socket.

    Args:
        knobs: Flower's settings by environment. more: environment of all processes. keys: folder
            that `dpfedsyn.flower.security` wrote; None: no TLS, and whoever comes is a node.
    """
    folder, port = processes.folder, free_port()
    address = f"127.0.0.1:{port}"
    environment = {**QUIET, **knobs, **more}
    _connection(folder / "home", address, keys)
    processes.start(
        "superlink", "flower-superlink", *_of_the_link(keys), "--host", "127.0.0.1",
        "--port", str(port), "--database", str(folder / "link.db"),
        "--disable-runtime-dependency-installation",
        FLWR_HOME=str(folder / "home"), **environment,
    )  # fmt: skip
    until(lambda: "Uvicorn running" in processes.log("superlink"), "the SuperLink")
    for name, path in sockets.items():
        if keys is not None:
            _register(processes, keys / f"{name}.pub")
        processes.start(
            f"node-{name}", "flower-supernode", *_of_a_node(keys, name), "--superlink", address,
            "--port", str(free_port()), "--node-config", f'socket="{path}"',
            FLWR_HOME=str(folder / f"home-{name}"), **environment,
        )  # fmt: skip


def _of_the_link(keys: Path | None) -> list[str]:
    if keys is None:
        return ["--insecure"]
    return [
        "--ssl-ca-certfile", str(keys / "ca.crt"), "--ssl-certfile", str(keys / "server.crt"),
        "--ssl-keyfile", str(keys / "server.key"), "--enable-supernode-auth",
    ]  # fmt: skip


def _of_a_node(keys: Path | None, name: str) -> list[str]:
    if keys is None:
        return ["--insecure"]
    private = str(keys / f"{name}.key")
    return ["--root-certificates", str(keys / "ca.crt"), "--auth-supernode-private-key", private]


def _register(processes: Processes, public: Path) -> None:
    """Name a SuperNode's key to the SuperLink."""
    name = f"register-{public.stem}"
    processes.start(
        name, "flwr", "supernode", "register", str(public), "local",
        FLWR_HOME=str(processes.folder / "home"), **QUIET,
    )  # fmt: skip
    assert processes.running[name].wait(60.0) == 0, processes.log(name)


def submit(processes: Processes, app: Path, name: str, settings: Sequence[str] = ()) -> None:
    """Start a run of an app; its output follows in NAME.log.

    Args:
        settings: KEY=VALUE of the run configuration, in TOML.
    """
    config = ("--run-config", " ".join(settings)) if settings else ()
    processes.start(
        name, "flwr", "run", str(app), "local", "--stream", *config,
        FLWR_HOME=str(processes.folder / "home"), **QUIET,
    )  # fmt: skip


def write_app(folder: Path, server: str, client: str, config: Mapping[str, str | int]) -> Path:
    """Write an app of these modules' `app`s."""
    folder.mkdir()
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in config.items())
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "rounds"\nversion = "1.0.0"\n[tool.flwr.app]\npublisher = "dpfedsyn"\n'
        '[tool.flwr.app.components]\nserverapp = "server_app:app"\nclientapp = "client_app:app"\n'
        f"[tool.flwr.app.config]\n{keys}\n",
        encoding="utf-8",
    )
    (folder / "server_app.py").write_text(f"from {server} import app\n\n__all__ = ['app']\n")
    (folder / "client_app.py").write_text(f"from {client} import app\n\n__all__ = ['app']\n")
    return folder


def _connection(home: Path, address: str, keys: Path | None) -> None:
    home.mkdir()
    trusted = "insecure = true" if keys is None else f'root-certificates = "{keys / "ca.crt"}"'
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "local"\n[superlink.local]\naddress = "{address}"\n{trusted}\n',
        encoding="utf-8",
    )
