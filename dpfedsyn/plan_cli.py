"""`dpfedsyn plan`: what a run will cost, or what a budget buys, before anything runs."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from dpfedsyn.console import (
    EXAMPLE,
    Overrides,
    Source,
    block,
    console,
    one_error,
)

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
AsJson = Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")]


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
    from dpfedsyn.errors import RunError
    from dpfedsyn.folder import finite
    from dpfedsyn.report import terminal
    from dpfedsyn.resolved import absolute, dump

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
