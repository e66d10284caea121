"""`dpfedsyn audit RUN`: look for violations in a run; further audits are commands beside it."""

from pathlib import Path
from typing import Annotated

import click
import typer
from typer.core import TyperGroup

from dpfedsyn.attacks.command import attack
from dpfedsyn.console import block, console, one_error

DEFAULT = "run"


class RunOrCommand(TyperGroup):
    """A group whose first argument may be a run folder: then it is the command `run`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take an argument that names no command for the run folder of the default command."""
        if args and self.get_command(ctx, args[0]) is None:
            args = [DEFAULT, *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    help="Audit a run, or the auditor: `dpfedsyn audit RUN` looks for violations in a run folder.",
    cls=RunOrCommand,
    no_args_is_help=True,
)
app.command("attack")(attack)

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `run` wrote.")]
Repetitions = Annotated[int, typer.Option(min=1, help="Audits of each correct mechanism.")]
PowerRepetitions = Annotated[int, typer.Option(min=1, help="Audits of each with less noise.")]
Calls = Annotated[int, typer.Option(min=60, help="Calls of each audit of a correct mechanism.")]
Seed = Annotated[int, typer.Option(min=0, help="Public seed of all draws.")]
Retrain = Annotated[
    bool, typer.Option("--retrain", help="Read the records and repeat the training, to compare.")
]


@app.command(DEFAULT)
def audit_run(folder: Folder, retrain: Retrain = False) -> None:
    """Audit a run's ledgers, statement, noise and mechanisms; `audit RUN` in short."""
    with one_error():
        from dpfedsyn import folder as folders
        from dpfedsyn.audit import runs
        from dpfedsyn.report import audits, terminal, write

        audited = runs.audit(folder, retrain=retrain)
        runs.keep(audited, folder)
        run = folders.opened(folder)
        if run.file("statement.json").is_file():
            write(folder)
        screen = console()
        shown = audited.to_dict()
        terminal.show(screen, (audits.summary(shown),), private=run.void is None)
        for remark in audits.remarks(shown):
            terminal.say(screen, remark)
        terminal.say(screen, audits.sentence(shown))
        terminal.say(screen, f"All of it: {run.file(runs.FILE)}, silo-internal like the ledgers.")
    raise typer.Exit(audited.exit_code)


@app.command("calibrate")
def audit_calibrate(
    repetitions: Repetitions = 40,
    power_repetitions: PowerRepetitions = 5,
    calls: Calls = 1_000,
    seed: Seed = 0,
) -> None:
    """Audit the auditor: false alarms and power on mechanisms that are known to be correct."""
    with one_error():
        from rich.progress import Progress

        from dpfedsyn.audit import runs
        from dpfedsyn.audit.calibration import calibrate, tables
        from dpfedsyn.report import terminal
        from dpfedsyn.report.tables import Table, text

        with Progress(console=console(), transient=True) as bar:
            task = bar.add_task("", total=None)
            measured = calibrate(
                repetitions,
                power_repetitions,
                calls,
                seed,
                progress=lambda name: bar.update(task, description=name),
            )
        captions = ("False alarms on correct mechanisms", "Found with less noise than claimed")
        for caption, (head, *rows) in zip(captions, tables(measured), strict=True):
            terminal.show(console(), (Table(caption, tuple(head), text(rows)),))
    if not measured.trustworthy:
        block("Error: false alarms contradict their level. No verdict of this auditor counts.")
        raise typer.Exit(runs.VIOLATED)
