"""`dpfedsyn export`: a run's rows as a folder that others can take."""

from pathlib import Path
from typing import Annotated

import typer

from dpfedsyn.console import one_error

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run that has ended.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="New folder.")]
Title = Annotated[str, typer.Option("--title", help="Of the data set; default the run's name.")]
Licence = Annotated[
    str, typer.Option("--licence", help="Of the data set, as its owners decide: cc-by-4.0, ...")
]


def export(run: Run, folder: Folder, title: Title = "", licence: Licence = "") -> None:
    """Write rows, claim, a card (README.md) and Croissant metadata; nothing internal goes along."""
    with one_error():
        from dpfedsyn import export as exporting

        for path in exporting.write(run, folder, title=title, licence=licence):
            typer.echo(str(path))
