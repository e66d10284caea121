"""The command line: run, plan, ledger, report.

Exit codes: 0 done (also a run that ended partial, by plan); 1 silos that do not answer, or not as
agreed; 2 bad input; 3 over budget, nothing released; 4 damaged or locked ledger; 6 stopped at a
silo's cap before the planned round; 130 interrupted.
Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dpfedsyn import __version__

EXAMPLE = "hospitals"
STOPPED, INTERRUPTED = 6, 130
RUN_FILES = ("state.json", "config.toml", "statement.json", "silos")

app = typer.Typer(
    name="dpfedsyn",
    help="One private synthetic data set from several silos that keep their records and models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and those may be records
    add_completion=False,
)
ledger_app = typer.Typer(help="Look into a silo's privacy ledger.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")

Source = Annotated[
    str | None,
    typer.Argument(metavar="[CONFIG|EXAMPLE]", help=f"TOML file or example; default {EXAMPLE}."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a key; may be repeated."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder to write.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the run in --out; asks nothing twice.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")]
Epsilon = Annotated[
    float | None,
    typer.Option("--epsilon", metavar="E", help="Solve for a plan of at most E at record level."),
]
AnswersMu = Annotated[
    float | None,
    typer.Option("--answers-mu", metavar="MU", help="And of at most MU for the answers alone."),
]
Write = Annotated[
    Path | None, typer.Option("--write", metavar="FILE.toml", help="Keep the solved plan.")
]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="ledger.sqlite of a silo.")]
Head = Annotated[
    str | None, typer.Option("--expected-head", metavar="HEX", help="Head exported earlier.")
]
Heads = Annotated[
    Path | None, typer.Option("--heads", metavar="FILE", help="Heads exported or signed earlier.")
]
HeadsOut = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write there instead of printing.")
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
    config: Source = None, overrides: Overrides = None, out: Out = None, resume: Resume = False
) -> None:
    """Run the whole collaboration and leave a run folder."""
    with _one_error():
        from dpfedsyn.config import load

        _check_resume(out, resume)
        loaded = load(config or _default_source(out, resume), overrides or [])
        from dpfedsyn import run as runner

        folder = out or runner.default_out(loaded)
        _check_folder(folder, resume)
        _run(runner, loaded, folder, resume)


@app.command()
def plan(
    config: Source = None,
    overrides: Overrides = None,
    epsilon: Epsilon = None,
    answers_mu: AnswersMu = None,
    write: Write = None,
    as_json: AsJson = False,
) -> None:
    """Print what a run will cost, or what a budget buys, before anything runs."""
    with _one_error():
        from dpfedsyn.config import load

        if epsilon is not None or answers_mu is not None:
            _solve(load(config or EXAMPLE, overrides or []), epsilon, answers_mu, write, as_json)
            return
        if write is not None:
            raise typer.BadParameter("--write needs --epsilon or --answers-mu: nothing was solved.")
        from dpfedsyn.errors import BudgetExhausted
        from dpfedsyn.folder import finite
        from dpfedsyn.plan import make
        from dpfedsyn.report import terminal

        planned = make(load(config or EXAMPLE, overrides or []))
        if as_json:
            typer.echo(json.dumps(finite(planned.to_dict()), indent=2, allow_nan=False))
        else:
            terminal.plan(_console(), planned.to_dict())
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
        _block(f"Written: {write}. `dpfedsyn run {shlex.quote(str(write))}` runs it.")
    if as_json:
        typer.echo(json.dumps(finite(solved.to_dict()), indent=2, allow_nan=False))
    else:
        terminal.frontier(_console(), solved.to_dict())


@app.command()
def report(folder: Folder) -> None:
    """Write report.html from the files of a run folder."""
    with _one_error():
        from dpfedsyn.report import write

        typer.echo(str(write(folder)))


@ledger_app.command("show")
def ledger_show(files: Files) -> None:
    """Print what each ledger has charged."""
    with _one_error():
        from dpfedsyn.report import ledgers, terminal

        for path in files:
            terminal.show(_console(), [ledgers.of(path, _verified(path))])


@ledger_app.command("verify")
def ledger_verify(files: Files, expected_head: Head = None, heads: Heads = None) -> None:
    """Recompute chain, charges and totals of each ledger from its rows alone."""
    if expected_head is not None and (len(files) != 1 or heads is not None):
        raise typer.BadParameter(
            f"--expected-head belongs to one ledger and excludes --heads, got {len(files)} files."
        )
    codes = [_verify_one(path, expected_head, heads) for path in files]
    raise typer.Exit(max(codes))


@ledger_app.command("export-head")
def ledger_export_head(files: Files, out: HeadsOut = None) -> None:
    """Write the last link of each ledger's chain as JSON, for others to keep."""
    with _one_error():
        _export(files, out, signed=False)


@ledger_app.command("sign")
def ledger_sign(files: Files, out: HeadsOut = None) -> None:
    """Write the same, signed by each silo's own key (Ed25519)."""
    with _one_error():
        _export(files, out, signed=True)


def _export(files: list[Path], out: Path | None, *, signed: bool) -> None:
    from dpfedsyn import heads, keys
    from dpfedsyn.checkpoint import write_bytes

    signers = [keys.load(path.parent / "key") if signed else None for path in files]
    found = [heads.of(_verified(p), signer) for p, signer in zip(files, signers, strict=True)]
    text = heads.dump(found)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_bytes(out, text.encode())


def _verify_one(path: Path, expected_head: str | None, heads: Path | None) -> int:
    """Verify one ledger; its fault is printed and does not hide the others'."""
    try:
        with _one_error():
            from dpfedsyn.report import ledgers, terminal

            verified = _verified(path, expected_head, heads)
            terminal.say(_console(), ledgers.line(path, verified))
            for warning in verified.warnings:
                terminal.say(_console(), f"  {warning}")
    except typer.Exit as left:
        if left.exit_code == INTERRUPTED:
            raise
        return left.exit_code
    return 0


def _verified(path: Path, head: str | None = None, exported: Path | None = None) -> Any:
    """Verify a ledger against its anchor, if it lies in a run, and against an exported head."""
    from accountants.anchor import FileAnchor
    from accountants.verification import verify
    from dpfedsyn import folder, heads, keys
    from dpfedsyn.errors import RunError

    if not path.is_file():
        raise RunError(f"{path}: no such ledger. Give RUN/silos/NAME/ledger.sqlite.")
    key = keys.load(path.parent / "key")
    if exported is not None:
        head = heads.expected(path, heads.load(exported), key)
    kept = folder.anchor_of(path, key.ledger_id)
    anchor = None if kept is None else FileAnchor(kept, key=key.chain)
    return verify(path, key=key.chain, expected_head=head, anchor=anchor)


def _run(runner: Any, config: Any, folder: Path, resume: bool) -> None:
    """Run, write the report, print the tables; Ctrl-C leaves a resumable run."""
    from dpfedsyn.progress import RichProgress
    from dpfedsyn.report import terminal, wording, write
    from dpfedsyn.report.finished import read

    privacy = config.privacy
    console = _console()
    terms = wording.Terms(privacy.delta, privacy.unit, privacy.adjacency)
    progress = RichProgress(terms, console)
    try:
        result = runner.run(config, folder, resume=resume, progress=progress)
        progress.stage("report", None)
        page = write(result.folder)
        progress.finish()
        terminal.run(console, read(result.folder))
        terminal.say(console, f"Run folder: {result.folder}   Report: {page}")
        if not result.foreseen:
            raise typer.Exit(STOPPED)
    except KeyboardInterrupt:
        progress.finish()
        _block(_interrupted(folder))
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
    return any((folder / name).exists() for name in RUN_FILES)


def _interrupted(folder: Path) -> str:
    if not _holds_run(folder):
        return "Interrupted before anything was written or charged."
    command = f"dpfedsyn run --out {shlex.quote(str(folder))} --resume"
    return f"Interrupted. Every charge is kept in {folder}.\n`{command}` continues the run."


@contextmanager
def _one_error() -> Iterator[None]:
    """Print an expected error as one block and leave with its code; bugs keep their traceback."""
    try:
        yield
    except KeyboardInterrupt:
        _block("Interrupted before anything was written or charged.")
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        _block(
            f"Error: {error.filename or 'a file'}: {error.strerror or error}. What was charged "
            "stays charged. Mend the path, its mode or the disk, and try again (--resume)."
        )
        raise typer.Exit(2) from None
    except Exception as error:
        from dpfedsyn.errors import DPError

        if not isinstance(error, DPError):
            raise
        _block(f"Error: {error}")
        raise typer.Exit(error.exit_code) from None


def _block(text: str) -> None:
    from dpfedsyn.report.wording import plain

    typer.echo(plain(text), err=True)


def _console() -> Console:
    return Console(highlight=False)
