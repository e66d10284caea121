"""`python -m dpfedsyn.nvflare`: a run over an NVFlare of this machine, to try it out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from dpfedsyn.console import EXAMPLE, one_error

Config = Annotated[str, typer.Argument(metavar="CONFIG|EXAMPLE")]
Out = Annotated[Path, typer.Option("--out", help="Run folder; one that holds a run is resumed.")]
Silos = Annotated[
    list[str], typer.Option("--silo", metavar="NAME=SOCKET", help="A silo's process; all of them.")
]
Workspace = Annotated[
    Path, typer.Option("--workspace", help="New folder of keys, logs and jobs of NVFlare.")
]
Port = Annotated[int, typer.Option("--port", help="Of NVFlare's server, on the loopback.")]


def main(
    silo: Silos,
    out: Out,
    workspace: Workspace,
    config: Config = EXAMPLE,
    port: Port = 8002,
) -> None:
    """Start server and sites on the loopback with mutual TLS, run one job in them, and end them."""
    with one_error():
        from dpfedsyn.nvflare import poc
        from dpfedsyn.nvflare.job import Job

        logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
        sockets = {}
        for entry in silo:
            name, mark, path = entry.partition("=")
            if not (name and mark and path):
                raise typer.BadParameter(f"--silo {entry}: give NAME=SOCKET.")
            sockets[name] = Path(path).absolute()
        source = Path(config)
        named = str(source.absolute()) if source.is_file() else config
        ending = poc.run(Job("run", named, out.absolute(), list(sockets)), sockets, workspace, port)
        print(f"{out}: {ending.status}" + (f" ({ending.reason})" if ending.reason else ""))


if __name__ == "__main__":
    typer.run(main)
