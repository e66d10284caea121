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
) -> None:
    """Start a SuperLink, and a SuperNode for each socket.

    Args:
        knobs: Flower's settings by environment. more: environment of all processes.
    """
    folder, port = processes.folder, free_port()
    address = f"127.0.0.1:{port}"
    environment = {**QUIET, **knobs, **more}
    _connection(folder / "home", address)
    processes.start(
        "superlink", "flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(port),
        "--database", str(folder / "link.db"), "--disable-runtime-dependency-installation",
        FLWR_HOME=str(folder / "home"), **environment,
    )  # fmt: skip
    until(lambda: "Uvicorn running" in processes.log("superlink"), "the SuperLink")
    for name, path in sockets.items():
        processes.start(
            f"node-{name}", "flower-supernode", "--insecure", "--superlink", address,
            "--port", str(free_port()), "--node-config", f'socket="{path}"',
            FLWR_HOME=str(folder / f"home-{name}"), **environment,
        )  # fmt: skip


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


def _connection(home: Path, address: str) -> None:
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "local"\n[superlink.local]\naddress = "{address}"\n'
        "insecure = true\n",
        encoding="utf-8",
    )
