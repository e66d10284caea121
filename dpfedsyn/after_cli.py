"""After the collaboration: further rows, by its silos within their budget or by a copy for nothing.

Exit codes as of `run`: 3 where a top-up is more than the budget holds, and nothing was released.
"""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from dpfedsyn.console import INTERRUPTED, STOPPED, Sockets, block, console, named_sockets, one_error

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run that has ended.")]
Further = Annotated[
    int | None, typer.Option("--rows", metavar="N", min=1, help="How many further rows.")
]
Preset = Annotated[
    str | None, typer.Option("--preset", help="Of the sampler; default the run's own.")
]
Noise = Annotated[
    float,
    typer.Option("--noise", metavar="X", help="X times the noise of the run: X^2 times cheaper."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the top-up that was interrupted.")
]
Drawn = Annotated[int, typer.Option("--rows", metavar="N", min=1, help="How many rows to draw.")]
To = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Default RUN/distilled-1, -2 ...")
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Of the draws; default a fresh one, printed.")
]


def sample(
    folder: Run,
    rows: Further = None,
    preset: Preset = None,
    noise: Noise = 1.0,
    resume: Resume = False,
    silo: Sockets = None,
) -> None:
    """Ask the run's silos for further rows, within what their ledgers have left."""
    with one_error():
        from dpfedsyn.topup_start import Wanted

        if resume == (rows is not None):
            raise typer.BadParameter("give --rows N, or --resume for what was interrupted.")
        _top_up(folder, Wanted(rows, preset, noise), silo or [])


def _top_up(folder: Path, wanted: Any, silos: list[str]) -> None:
    """Top up, write the report anew, say what there is; Ctrl-C leaves what --resume continues."""
    from dpfedsyn import topping_up
    from dpfedsyn.engine import sockets
    from dpfedsyn.folder import PARTIAL
    from dpfedsyn.marking import find
    from dpfedsyn.report import terminal, write
    from dpfedsyn.statement.signing import SIGNATURES

    screen = console()
    progress = _progress(folder, screen)
    try:
        if silos:
            with sockets.transport(named_sockets(silos)) as transport:
                one = topping_up.over(folder, transport, wanted, progress)
        else:
            one = topping_up.here(folder, wanted, progress)
        progress.stage("report", None)
        page = write(folder)
    except KeyboardInterrupt:
        progress.finish()
        command = ["dpfedsyn", "sample", str(folder), "--resume"]
        again = shlex.join(command + [part for entry in silos for part in ("--silo", entry)])
        block(f"Interrupted. Every charge is kept. `{again}` goes on, if a round was begun.")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        progress.finish()
    names = ", ".join(str(folder / file["name"]) for file in one.files) or "none"
    terminal.say(screen, f"Top-up {one.number}: {one.rows} rows, {one.status}. Rows: {names}")
    for line in _left(folder):
        terminal.say(screen, line)
    terminal.say(screen, f"The claim is the run's, at its caps. Report: {page}")
    if find(folder, SIGNATURES).is_file():
        terminal.say(
            screen,
            "The statement names these rows too, so what was signed before is no longer what it "
            "says: have it signed again (`dpfedsyn statement sign`).",
        )
    if one.status == PARTIAL:
        block(f"Stopped: {one.reason}")
        raise typer.Exit(STOPPED)


def _progress(folder: Path, screen: Any) -> Any:
    """Progress with the run's terms, without which no epsilon is printed."""
    from dpfedsyn import config
    from dpfedsyn.folder import require_ended
    from dpfedsyn.progress import shown

    require_ended(folder)
    return shown(config.load(str(folder / "config.toml"), records=False), screen)


def _left(folder: Path) -> list[str]:
    """Say what each silo's budget for answers has left."""
    from dpfedsyn.report import wording
    from dpfedsyn.report.finished import read

    told = []
    for silo in read(folder).statement["silos"]:
        budget = silo["budget"]["answers_mu2"]
        told.append(
            f"{silo['name']}: {budget['remaining']:.6g} of mu^2 = {budget['cap']:.6g} are left"
            f"{wording.behind(silo.get('brought'))}."
        )
    return told


def distill(folder: Run, rows: Drawn, out: To = None, seed: Seed = None) -> None:
    """Draw any number of further rows from the run's own rows: nothing is asked or charged."""
    with one_error():
        import secrets

        from dpfedsyn.distill import distil
        from dpfedsyn.marking import find
        from dpfedsyn.report import terminal
        from dpfedsyn.report.finished import read
        from dpfedsyn.statement.signing import SIGNATURES
        from dpfedsyn.statement.verifying import claim, verify

        if find(folder, SIGNATURES).is_file():
            verify(folder)  # a claim that somebody signed is repeated only as it was signed
        done = distil(folder, rows, out, seed=secrets.randbits(63) if seed is None else seed)
        screen = console()
        names = ", ".join(str(path) for path in (*done.files, done.statement))
        terminal.say(screen, f"{rows} rows, seed {done.seed}: {names}")
        terminal.say(screen, "Post-processing of the run's rows; the claim is the run's:")
        for line in claim(read(folder).statement):
            terminal.say(screen, line)
