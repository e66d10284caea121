"""What commands share: one block for an expected error, the terminal, the same options."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

INTERRUPTED = 130
STOPPED = 6  # at a silo's cap, before the planned round
EXAMPLE = "hospitals"

Source = Annotated[
    str | None,
    typer.Argument(metavar="[CONFIG|EXAMPLE]", help=f"TOML file or example; default {EXAMPLE}."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a key; may be repeated."),
]

Sockets = Annotated[
    list[str] | None,
    typer.Option(
        "--silo",
        metavar="NAME=SOCKET",
        help="A silo that is a process on this machine; all of them.",
    ),
]


@contextmanager
def one_error() -> Iterator[None]:
    """Print an expected error as one block and leave with its code; bugs keep their traceback."""
    try:
        yield
    except KeyboardInterrupt:
        block("Interrupted before anything was written or charged.")
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        block(
            f"Error: {error.filename or 'a file'}: {error.strerror or error}. What was charged "
            "stays charged. Mend the path, its mode or the disk, and try again (--resume)."
        )
        raise typer.Exit(2) from None
    except Exception as error:
        from dpfedsyn.errors import DPError

        if not isinstance(error, DPError):
            raise
        block(f"Error: {error}")
        raise typer.Exit(error.exit_code) from None


def block(text: str) -> None:
    from dpfedsyn.report.wording import plain

    typer.echo(plain(text), err=True)


def named_sockets(entries: list[str]) -> dict[str, Path]:
    """Return the sockets of NAME=SOCKET options, by silo."""
    found = {}
    for entry in entries:
        name, _, path = entry.partition("=")
        if not path:
            raise typer.BadParameter(f"--silo {entry}: give NAME=SOCKET.")
        found[name] = Path(path).absolute()
    return found


def console() -> Console:
    return Console(highlight=False)
