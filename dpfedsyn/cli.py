"""The command line: run, plan, status, report, ledger, audit, statement, silo, init.

Exit codes: 0 done (also a run that ended partial, by plan); 1 silos that do not answer, or not as
agreed; 2 bad input; 3 over budget, nothing released; 4 damaged or locked ledger, or a statement
that is not what was signed; 5 an audit found a violation; 6 stopped at a silo's cap before the
planned round; 130 interrupted.
Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from dpfedsyn import (
    __version__,
    after_cli,
    audit_cli,
    export_cli,
    init_cli,
    ledger_cli,
    model_cli,
    schema_cli,
    silo_cli,
    statement_cli,
)
from dpfedsyn.console import (
    EXAMPLE,
    INTERRUPTED,
    Overrides,
    Sockets,
    block,
    console,
    named_sockets,
    one_error,
)

STOPPED = 6
RUN_FILES = ("state.json", "config.toml", "statement.json", "silos")

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
app.command("export")(export_cli.export)
app.command("sample")(after_cli.sample)
app.command("distill")(after_cli.distill)

Source = Annotated[
    str | None,
    typer.Argument(metavar="[CONFIG|EXAMPLE]", help=f"TOML file or example; default {EXAMPLE}."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder to write.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the run in --out; asks nothing twice.")
]
Port = Annotated[
    int | None,
    typer.Option("--metrics", metavar="PORT", help="Serve metrics on this loopback port."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")]
Epsilon = Annotated[
    float | None,
    typer.Option("--epsilon", metavar="E", help="Solve for a plan of at most E, of the unit."),
]
AnswersMu = Annotated[
    float | None,
    typer.Option("--answers-mu", metavar="MU", help="And of at most MU for the answers alone."),
]
After = Annotated[
    list[Path] | None,
    typer.Option("--after", metavar="RUN", help="An earlier run on the same records; repeatable."),
]
Write = Annotated[
    Path | None, typer.Option("--write", metavar="FILE.toml", help="Keep the solved plan.")
]
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
def run(
    config: Source = None,
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = False,
    silo: Sockets = None,
    metrics: Port = None,
) -> None:
    """Run the whole collaboration and leave a run folder."""
    with one_error():
        from dpfedsyn.config import load

        _check_resume(out, resume)
        source = config or _default_source(out, resume)
        loaded = load(source, overrides or [], records=not silo)
        from dpfedsyn.folder import next_free

        folder = out or next_free(loaded)
        _check_folder(folder, resume)
        _run(_over(silo) if silo else _here, loaded, folder, resume, metrics, silo or [])


def _here(config: Any, folder: Path, resume: bool, progress: Any) -> Any:
    """Run all silos in this process."""
    from dpfedsyn import run as runner

    return runner.run(config, folder, resume=resume, progress=progress)


def _over(silos: list[str]) -> Any:
    """Return a run over silos that are processes on this machine."""
    from dpfedsyn import remote
    from dpfedsyn.engine import sockets

    found = named_sockets(silos)

    def run_over(config: Any, folder: Path, resume: bool, progress: Any) -> Any:
        with sockets.transport(found) as transport:
            return remote.run(config, transport, folder, resume=resume, progress=progress)

    return run_over


@app.command()
def plan(
    config: Source = None,
    overrides: Overrides = None,
    epsilon: Epsilon = None,
    answers_mu: AnswersMu = None,
    write: Write = None,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """Print what a run will cost, or what a budget buys, before anything runs."""
    with one_error():
        from dpfedsyn.config import load

        if epsilon is not None or answers_mu is not None:
            if after:
                raise typer.BadParameter("--after belongs to a plan, not to a frontier.")
            _solve(load(config or EXAMPLE, overrides or []), epsilon, answers_mu, write, as_json)
            return
        if write is not None:
            raise typer.BadParameter("--write needs --epsilon or --answers-mu: nothing was solved.")
        from dpfedsyn.errors import BudgetExhausted
        from dpfedsyn.folder import finite
        from dpfedsyn.plan import make
        from dpfedsyn.report import terminal

        planned = make(load(config or EXAMPLE, overrides or []))
        shown = planned.to_dict()
        if after:
            from dpfedsyn import earlier

            shown["after"] = earlier.together(planned, after)
        if as_json:
            typer.echo(json.dumps(finite(shown), indent=2, allow_nan=False))
        else:
            terminal.plan(console(), shown)
        if not planned.fits:
            faults = "\n".join(f"  - {fault}" for fault in planned.faults)
            raise BudgetExhausted(
                f"The plan does not fit its budget; a run would release nothing.\n{faults}"
            )


def _solve(
    config: Any, epsilon: float | None, answers_mu: float | None, write: Path | None, as_json: bool
) -> None:
    """Print what a budget buys, and keep the chosen point as a configuration that `run` takes."""
    from dpfedsyn import frontier
    from dpfedsyn.config import absolute, dump
    from dpfedsyn.errors import RunError
    from dpfedsyn.folder import finite
    from dpfedsyn.report import terminal

    if write is not None and write.exists():
        raise RunError(f"{write}: is there already; nothing was written. Give another --write.")
    solved = frontier.solve(config, epsilon=epsilon, answers_mu=answers_mu)
    if write is not None:
        write.write_text(dump(absolute(solved.plan.config)), encoding="utf-8")
        block(f"Written: {write}. `dpfedsyn run {shlex.quote(str(write))}` runs it.")
    if as_json:
        typer.echo(json.dumps(finite(solved.to_dict()), indent=2, allow_nan=False))
    else:
        terminal.frontier(console(), solved.to_dict())


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


def _run(
    run_it: Any, config: Any, folder: Path, resume: bool, port: int | None, silos: list[str]
) -> None:
    """Run, write the report, print the tables; Ctrl-C leaves a resumable run."""
    from dpfedsyn.progress import Progress, Several, shown
    from dpfedsyn.report import terminal, write
    from dpfedsyn.report.finished import read

    screen = console()
    told: list[Progress] = [shown(config, screen)]
    if port is not None:
        from dpfedsyn.prometheus import Metrics

        told.append(Metrics(port))
    progress = Several(*told)
    try:
        result = run_it(config, folder, resume, progress)
        progress.stage("report", None)
        page = write(result.folder)
        progress.finish()
        terminal.run(screen, read(result.folder))
        terminal.say(screen, f"Run folder: {result.folder}   Report: {page}")
        if not result.foreseen:
            raise typer.Exit(STOPPED)
    except KeyboardInterrupt:
        progress.finish()
        block(_interrupted(folder, silos))
        raise typer.Exit(INTERRUPTED) from None
    finally:
        progress.finish()


def _default_source(out: Path | None, resume: bool) -> str:
    """A resumed run is configured by its own folder; any other by the first example."""
    own = None if out is None or not resume else out / "config.toml"
    return str(own) if own is not None and own.is_file() else EXAMPLE


def _check_resume(out: Path | None, resume: bool) -> None:
    from dpfedsyn.errors import RunError

    if resume and out is None:
        raise RunError("--resume: which run? Nothing was run. Name its folder with --out.")


def _check_folder(folder: Path, resume: bool) -> None:
    """Refuse a folder that a run would mix with, before anything is written."""
    from dpfedsyn.errors import RunError
    from dpfedsyn.folder import unused

    in_the_way = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if in_the_way.exists() and not in_the_way.is_dir():
        raise RunError(f"{in_the_way}: is a file, so nothing was run. Give another --out.")
    if resume and not _holds_run(folder):
        raise RunError(f"{folder}: holds no run to resume. Drop --resume, or mend --out.")
    if not resume and _holds_run(folder):
        raise RunError(
            f"{folder}: already holds a run, and a second one would mix with it. Nothing was run. "
            "Continue it with --resume, or give another --out."
        )
    if not resume and not unused(folder):
        raise RunError(f"{folder}: is not empty. Nothing was run. Give a new folder with --out.")


def _holds_run(folder: Path) -> bool:
    from dpfedsyn.marking import find

    return any(find(folder, name).exists() for name in RUN_FILES)


def _interrupted(folder: Path, silos: list[str]) -> str:
    if not _holds_run(folder):
        return "Interrupted before anything was written or charged."
    command = shlex.join(
        ["dpfedsyn", "run", "--out", str(folder), "--resume"]
        + [part for entry in silos for part in ("--silo", entry)]
    )
    kept = "by the silos" if silos else f"in {folder}"
    return f"Interrupted. Every charge is kept {kept}.\n`{command}` continues the run."
