"""The command line: run, plan, status, report, ledger, audit, statement, silo, init.

Exit codes: 0 done (also a run that ended partial, by plan); 1 silos that do not answer, or not as
agreed; 2 bad input; 3 over budget, nothing released; 4 damaged or locked ledger, or a statement
that is not what was signed; 5 an audit found a violation; 6 stopped at a silo's cap before the
planned round; 130 interrupted.
Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from dpfedsyn import (
    __version__,
    after_cli,
    audit_cli,
    export_cli,
    init_cli,
    ledger_cli,
    model_cli,
    plan_cli,
    run_cli,
    schema_cli,
    silo_cli,
    statement_cli,
)
from dpfedsyn.console import (
    console,
    one_error,
)

app = typer.Typer(
    name="dpfedsyn",
    help="One private synthetic data set from several silos that keep their records and models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and those may be records
    add_completion=False,
)
app.add_typer(ledger_cli.app, name="ledger")
app.add_typer(audit_cli.app, name="audit")
app.add_typer(silo_cli.app, name="silo")
app.add_typer(model_cli.app, name="model")
app.add_typer(init_cli.app, name="init")
app.add_typer(schema_cli.app, name="schema")
app.add_typer(statement_cli.app, name="statement")
app.command("run")(run_cli.run)
app.command("plan")(plan_cli.plan)
app.command("export")(export_cli.export)
app.command("sample")(after_cli.sample)
app.command("distill")(after_cli.distill)

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `run` wrote.")]


def main() -> None:
    """Run the command line."""
    app(prog_name="dpfedsyn")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dpfedsyn {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
def status(folder: Folder) -> None:
    """Say how far a run is, who misses rounds, and how long it will take."""
    with one_error():
        from dpfedsyn.report import standing, terminal

        for line in standing.lines(folder):
            terminal.say(console(), line)


@app.command()
def report(folder: Folder) -> None:
    """Write report.html from the files of a run folder."""
    with one_error():
        from dpfedsyn.report import write

        typer.echo(str(write(folder)))
