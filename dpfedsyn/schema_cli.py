"""`dpfedsyn schema`: draft the public schema of a table, and check one that was filled in."""

from pathlib import Path
from typing import Annotated

import typer

from dpfedsyn.console import block, one_error

app = typer.Typer(help="Draft and check the public schema of a table.", no_args_is_help=True)

Table = Annotated[Path, typer.Argument(metavar="FILE", help="A silo's table: CSV or Parquet.")]
Target = Annotated[
    str, typer.Option("--target", metavar="COLUMN", help="The label; else it is to be filled in.")
]
Name = Annotated[
    str, typer.Option("--name", metavar="NAME", help="Of the kind of data; default the file's.")
]
Dictionary = Annotated[
    Path | None,
    typer.Option(
        "--dictionary",
        metavar="FILE",
        help="A data dictionary (CSV, as of REDCap or a codebook), which fills in what it says.",
    ),
]
Written = Annotated[
    Path, typer.Argument(metavar="SCHEMA.toml", help="A schema, or a draft that was filled in.")
]


@app.command("draft")
def schema_draft(
    file: Table, target: Target = "", name: Name = "", dictionary: Dictionary = None
) -> None:
    """Print a schema to fill in: columns and kinds, no bounds, no categories, no cell of the file.

    Every run refuses it until its line `draft` is removed.
    """
    with one_error():
        from dpfedsyn import dictionary as dictionaries
        from dpfedsyn import raw
        from dpfedsyn.draft import draft
        from dpfedsyn.errors import DataError
        from dpfedsyn.sections import nearest

        found = raw.read(file)
        if target and target not in found.table.columns:
            near = nearest(target, list(found.table.columns))
            raise DataError(f"{file}: no column {target!r} for --target, so nothing was drafted; "
                            f"{near}")  # fmt: skip
        known = dictionaries.read(dictionary) if dictionary else {}
        text = draft(found.table, name or file.stem, found.delimiter, target, known)
        typer.echo(text, nl=False)
        for line in dictionaries.gaps(known, list(found.table.columns)) if dictionary else []:
            block(line)


@app.command("check")
def schema_check(schema: Written) -> None:
    """Read a schema and say what it describes, or everything that is wrong with it."""
    with one_error():
        from dpfedsyn import constraints, domain
        from dpfedsyn.encoding import TableEncoder

        encoder = domain.encoder(schema)
        typer.echo(
            f"{schema}: {encoder.dimension} coordinates, labels {', '.join(encoder.labels)}\n"
            f"digest {encoder.digest}"
        )
        if isinstance(encoder, TableEncoder):
            for line in constraints.sentences(encoder.schema.columns):
                typer.echo(f"in every row: {line}")
