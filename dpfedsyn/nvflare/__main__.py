"""`python -m dpfedsyn.nvflare`: a run over an NVFlare of this machine, to try it out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[str, typer.Argument(metavar="CONFIG|EXAMPLE", help="The run, on this machine.")]
Out = Annotated[Path, typer.Option("--out", help="Run folder; one that holds a run is resumed.")]
Silos = Annotated[
    list[str], typer.Option("--silo", metavar="NAME=SOCKET", help="A silo's process; all of them.")
]
Workspace = Annotated[
    Path, typer.Option("--workspace", help="New folder of keys, logs and jobs of NVFlare.")
]
Port = Annotated[int, typer.Option("--port", help="Of NVFlare's server, on the loopback.")]


def main(config: Config, silo: Silos, out: Out, workspace: Workspace, port: Port = 8002) -> None:
    """Start server and sites on the loopback with mutual TLS, run one job in them, and end them."""
    # Not before it is known what is wanted: help needs no NVFlare.
    from dpfedsyn.config import findable
    from dpfedsyn.errors import DPError
    from dpfedsyn.nvflare import poc
    from dpfedsyn.nvflare.job import Job

    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    sockets = dict(map(_socket, silo))
    job = Job("run", findable(config), out.absolute(), list(sockets))
    try:
        ending = poc.run(job, sockets, workspace, port)
    except DPError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(f"{out}: {ending.status}" + (f" ({ending.reason})" if ending.reason else ""))


def _socket(entry: str) -> tuple[str, Path]:
    name, mark, path = entry.partition("=")
    if not (name and mark and path):
        raise typer.BadParameter(f"--silo {entry}: give NAME=SOCKET.")
    return name, Path(path).absolute()


if __name__ == "__main__":
    typer.run(main)
