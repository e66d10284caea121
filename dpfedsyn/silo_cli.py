"""`dpfedsyn silo`: one silo as a process of its own, on its own machine, by its own user."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from dpfedsyn.console import Overrides, console, one_error

app = typer.Typer(help="Run one silo as a process of its own.", no_args_is_help=True)

Source = Annotated[
    str, typer.Argument(metavar="CONFIG|EXAMPLE", help="The run that all sides have agreed on.")
]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Which of its silos this is.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="Key, ledger and model; default silos/RUN-NAME."),
]
Records = Annotated[
    Path | None,
    typer.Option("--records", metavar="FILE", help="This silo's records, where they lie here."),
]
Model = Annotated[
    Path | None,
    typer.Option("--model", metavar="PATH", help="The model that it brings, where it lies here."),
]
Socket = Annotated[
    Path | None,
    typer.Option("--socket", metavar="PATH", help="Unix socket; default HOME/socket."),
]
Group = Annotated[
    str | None, typer.Option("--group", help="Group that may open the socket; default your own.")
]
Allowed = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="USER", help="User who may ask, beside you; repeatable."),
]
HomeFolder = Annotated[Path, typer.Argument(metavar="HOME", help="A silo's folder.")]


@app.command("serve")
def silo_serve(
    config: Source,
    name: Name,
    home: Home = None,
    records: Records = None,
    model: Model = None,
    socket: Socket = None,
    group: Group = None,
    allow: Allowed = None,
    overrides: Overrides = None,
) -> None:
    """Train, or read back what was trained, and answer until the process is told to end.

    The socket answers how the silo is, what it has released and spent, and questions about
    samples, each charged to the ledger before it is answered; where all silos' sums make the base,
    it gives its own.
    """
    with one_error():
        from dpfedsyn.daemon import process, users

        _log()
        opened = _open(config, name, home, records, model, overrides)
        where = (socket or opened.folder.path / "socket").absolute()
        allowed, group_id = users.numbers(allow or []), users.group(group)
        process.serve(opened, opened.resident(), where, allowed, group_id)


@app.command("train")
def silo_train(
    config: Source,
    name: Name,
    home: Home = None,
    records: Records = None,
    model: Model = None,
    overrides: Overrides = None,
) -> None:
    """Train the silo and leave; `serve` reads back what was trained."""
    with one_error():
        from dpfedsyn.daemon import process

        _log()
        opened = _open(config, name, home, records, model, overrides)
        process.train(opened, opened.resident())
        typer.echo(f"{name}: trained. Key, ledger and model: {opened.folder.path}")


@app.command("status")
def silo_status(home: HomeFolder, socket: Socket = None) -> None:
    """Ask a silo's process how it is, and what it has released and spent."""
    with one_error():
        from dpfedsyn.daemon import look
        from dpfedsyn.report import terminal

        for line in look.lines((socket or home / "socket").absolute()):
            terminal.say(console(), line)


@app.command("ledger")
def silo_ledger(home: HomeFolder) -> None:
    """Print what the silo's ledger has charged; the process must have ended."""
    from dpfedsyn.ledger_cli import ledger_show

    with one_error():
        from dpfedsyn.errors import RunError

        found = sorted(home.glob("silos/*/ledger.sqlite"))
        if not found:
            raise RunError(f"{home}: holds no silo's ledger. Give the --home of `silo serve`.")
    ledger_show(found)


def _open(
    source: str,
    name: str,
    home: Path | None,
    records: Path | None,
    model: Path | None,
    overrides: list[str] | None,
) -> Any:
    from dpfedsyn.config import load
    from dpfedsyn.daemon import process
    from dpfedsyn.resolved import with_places

    loaded = with_places(load(source, overrides or [], records=False), name, records, model)
    return process.open_home(loaded, name, home or Path("silos") / f"{loaded.name}-{name}")


def _log() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
