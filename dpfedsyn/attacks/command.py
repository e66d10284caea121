"""`dpfedsyn audit attack RUN`: attack the synthetic tables of a run, for its owner's eyes."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpfedsyn.console import console, one_error

if TYPE_CHECKING:
    from dpfedsyn.attacks.target import Target

FILE = "attacks.json"
INTERNAL = (
    "Internal, unpaid: do not publish. Computed from real records without noise, for whoever holds "
    "them; no epsilon covers it."
)
MEANS = (
    "An attack that succeeds is a risk that was measured. An attack that fails proves nothing: "
    "only the stated epsilon and delta are a guarantee."
)

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `run` wrote.")]
OneSilo = Annotated[
    str | None, typer.Option("--silo", metavar="NAME", help="Attack this silo's records only.")
]
Python = Annotated[
    Path | None,
    typer.Option("--python", metavar="PATH", help="An interpreter that has anonymeter."),
]
MakeEnv = Annotated[
    bool, typer.Option("--make-env", help="Install anonymeter in an environment of its own first.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=1.0, help="For each process.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of subsets, pairs and queries.")]


def attack(
    folder: Folder,
    silo: OneSilo = None,
    python: Python = None,
    make_env: MakeEnv = False,
    timeout: Timeout = 600.0,
    seed: Seed = 0,
) -> None:
    """Attack a run's synthetic tables with the records at hand: internal, do not publish."""
    with one_error():
        from dpfedsyn import folder as folders
        from dpfedsyn.attacks import environment, target
        from dpfedsyn.report import attacks as shown
        from dpfedsyn.report import terminal

        began = perf_counter()
        if make_env and python is not None:
            raise typer.BadParameter("--make-env makes the interpreter that --python would name.")
        attacked = target.read(folder, silo=silo, seed=seed)
        if make_env:
            environment.make(environment.default_folder(), timeout=timeout)
        asked = make_env or python is not None
        found = attacks(attacked, folder, python, asked=asked, timeout=timeout, seed=seed)
        found["seconds"] = round(perf_counter() - began, 1)
        run = folders.opened(folder)
        run.write_json(FILE, found)
        screen = console()
        terminal.say(screen, INTERNAL)
        terminal.show(screen, shown.of({"attacks": found}), private=run.void is None)
        for line in (*shown.remarks(found), f"Written: {run.file(FILE)}. {MEANS}"):
            terminal.say(screen, line)


def attacks(
    attacked: Target,
    folder: Path,
    python: Path | None = None,
    *,
    asked: bool = True,
    timeout: float = 600.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Carry out every attack and return what attacks.json holds.

    Args:
        folder: of the run; records lie there in files while another process attacks them.
        python: an interpreter that has anonymeter; None: the default environment's.
        asked: whether anonymeter's attacks are an error where they cannot be carried out; else
            they are named as not run, with the reason.

    Raises:
        AttackError: anonymeter is absent, fails or takes too long, and was asked for.
    """
    from dataclasses import asdict

    from dpfedsyn.attacks.allowed import allowed
    from dpfedsyn.attacks.membership import FALSE_POSITIVE_RATES, membership
    from dpfedsyn.attacks.risks import risks
    from dpfedsyn.errors import AttackError

    anonymeter, not_run = None, None
    try:
        anonymeter = asdict(risks(attacked, folder, python, timeout=timeout, seed=seed))
    except AttackError as failure:
        if asked:
            raise
        not_run = str(failure)
    claim = allowed(attacked.plan, attacked.silos)
    rates = {str(fpr): claim.true_positive_rate(fpr) for fpr in FALSE_POSITIVE_RATES}
    return {
        "internal": INTERNAL,
        "means": MEANS,
        "silos": list(attacked.silos),
        "seed": seed,
        "records": {
            "used": len(attacked.used),
            "reference": len(attacked.reference),
            "control": len(attacked.control),
        },
        "allowed": {"void": claim.void, "auc": claim.auc, "rates": rates},
        "membership": membership(attacked, claim, seed=seed),
        "anonymeter": anonymeter,
        "not_run": not_run,
    }
