"""`dpfedsyn init`: a configuration for one's own files, or an app for silos on other machines."""

from pathlib import Path
from typing import Annotated

import typer

from dpfedsyn.console import EXAMPLE, console, one_error

app = typer.Typer(
    help="Write a configuration for your own files, or an app for silos on other machines.",
    no_args_is_help=True,
)

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Each silo's records: a silo per file.")
]
Schema = Annotated[
    Path, typer.Option("--schema", metavar="SCHEMA.toml", help="Public, of all of them.")
]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Of the run.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="New folder of the app.")]
Source = Annotated[
    str, typer.Option("--config", metavar="CONFIG|EXAMPLE", help="The run; on the server.")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Run folder on the server; default DIR/run.")
]
Sites = Annotated[
    list[str] | None,
    typer.Option("--site", metavar="NAME", help="NVFlare site, named as its silo; default all."),
]
Secure = Annotated[
    bool, typer.Option("--secure", help="Also a test federation's certificates and keys.")
]
Address = Annotated[
    str, typer.Option("--address", metavar="HOST:PORT", help="Where the SuperLink is reached.")
]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="DIR",
        help="Public keys of the silos' SuperNodes, NAME.pub, on the server; nobody else is asked.",
    ),
]


@app.command("run")
def init_run(files: Files, schema: Schema = Path("schema.toml"), name: Name = "own") -> None:
    """Print a configuration for these files, to look through: budget, unit, public sizes, rows."""
    with one_error():
        from dpfedsyn import own_run

        silos, unit = own_run.silos_of(files), own_run.unit_of(schema)
        typer.echo(own_run.text(name, schema, silos, unit=unit), nl=False)


@app.command("flower")
def init_flower(
    folder: Folder,
    config: Source = EXAMPLE,
    out: Out = None,
    address: Address = "127.0.0.1:8000",
    secure: Secure = False,
    keys: Keys = None,
) -> None:
    """Write a Flower app that carries a run's bytes; it holds no records and no models."""
    with one_error():
        from dpfedsyn.config import load
        from dpfedsyn.flower import app as flower
        from dpfedsyn.flower.address import host
        from dpfedsyn.report import terminal

        # All that can be refused comes first: what is half written would be in its own way.
        silos, reached = [silo.name for silo in load(config, records=False).silos], host(address)
        flower.require_new(folder)
        home = folder / "federation"
        pins = home if secure and keys is None else keys
        written = flower.write(folder, config, out or folder / "run", pins)
        if secure:
            from dpfedsyn.flower import security

            written += security.write(home, silos, [reached])
        authority = home / "ca.crt" if secure else None
        written.append(flower.connect(home, address, authority))
        for path in written:
            terminal.say(console(), str(path))


@app.command("nvflare")
def init_nvflare(
    folder: Folder, config: Source = EXAMPLE, out: Out = None, sites: Sites = None
) -> None:
    """Write an NVFlare job that carries a run's bytes; it holds two class names and no code."""
    with one_error():
        from dpfedsyn.config import findable, load
        from dpfedsyn.nvflare.job import Job
        from dpfedsyn.report import terminal

        loaded = load(config, records=False)
        chosen = sites or [silo.name for silo in loaded.silos]
        run = (out or folder / "run").absolute()
        written = Job(loaded.name, findable(config), run, chosen).write(folder)
        terminal.say(console(), f"{written}\n`submit_job {written.absolute()}` hands it in.")
