"""`dpfedsyn run`: the whole collaboration, in this process or over silos elsewhere."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from dpfedsyn.console import (
    EXAMPLE,
    INTERRUPTED,
    STOPPED,
    Overrides,
    Sockets,
    Source,
    block,
    console,
    named_sockets,
    one_error,
)

RUN_FILES = ("state.json", "config.toml", "statement.json", "silos")
Out = Annotated[Path | None, typer.Option("--out", help="Run folder to write.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the run in --out; asks nothing twice.")
]
Port = Annotated[
    int | None,
    typer.Option("--metrics", metavar="PORT", help="Serve metrics on this loopback port."),
]


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
