"""What a top-up begins with: the run planned again, its statement, and the top-ups before it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpfedsyn import config as configuration
from dpfedsyn import folder as folders
from dpfedsyn import marking, statement, topups
from dpfedsyn import plan as planning
from dpfedsyn.errors import RunError
from dpfedsyn.folder import RUNNING
from dpfedsyn.passes import PassPlan, planned_passes
from dpfedsyn.plan import Plan
from dpfedsyn.settings import Config
from dpfedsyn.statement import Outcome, ReleasedFile
from dpfedsyn.topups import TopUp


@dataclass(frozen=True)
class Wanted:
    """What to ask for.

    Attributes:
        rows: how many; None: go on with the top-up that has not ended.
        preset: None: the run's.
        noise: times the noise of the run's rows.
    """

    rows: int | None
    preset: str | None = None
    noise: float = 1.0


@dataclass(frozen=True)
class Begun:
    """A top-up among the others, and its pass."""

    plan: Plan
    before: tuple[TopUp, ...]
    one: TopUp
    part: PassPlan
    fresh: bool
    told: dict[str, Any]  # the statement so far


def begin(run: Path, wanted: Wanted, *, records: bool = True) -> Begun:
    """Plan the run again, from its own folder, and the top-up behind those before it.

    Args:
        records: whether the files of records have to be there.

    Raises:
        RunError: no ended run; a file of it is missing or damaged. ConfigError: bad input.
    """
    folders.require_ended(run)
    config = configuration.load(str(run / "config.toml"), records=records)
    found, told = topups.read(run), _statement(run)
    _require_all(run, config, found, told)
    if wanted.rows is None:
        if not found or found[-1].status != RUNNING:
            raise RunError(
                f"{run}: has no top-up that was interrupted, so there is nothing to go on with. "
                "Ask for further rows with --rows."
            )
        *before, one = found
    else:
        before = list(found)
        one = topups.new(found, config, wanted.rows, wanted.preset, wanted.noise)
    plan = planning.make(config)
    plan.require()
    part = topups.passes(config, (*before, one))[-1]
    return Begun(plan, tuple(before), one, part, wanted.rows is not None, told)


def _statement(run: Path) -> dict[str, Any]:
    """Return the run's statement, whose facts stay as they are."""
    path = marking.find(run, statement.FILE)
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Outcome(told["status"], told["reason"], **told["rounds"])
        for file in told["release"]["files"]:
            ReleasedFile(**file)
        told["settings"]["evaluated"], told["settings"]["one_process"], told["top_ups"]
        return told
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: this statement is missing or damaged ({type(error).__name__}: {error}), so "
            f"nothing was asked. `dpfedsyn run --out {run} --resume` writes it again at no cost."
        ) from None


def _require_all(
    run: Path, config: Config, found: Sequence[TopUp], told: Mapping[str, Any]
) -> None:
    """Refuse to go on where a top-up was asked for that top-ups.json does not know.

    Its rounds were charged: another one under its name would take its checkpoint for its own.
    """
    known = {part.name for part in (*planned_passes(config), *topups.passes(config, found))}
    begun = {path.stem for path in (run / "checkpoint").glob("*.safetensors")}
    begun |= {f"more-{one['number']}" for one in told["top_ups"]}
    if lost := sorted(begun - known):
        raise RunError(
            f"{run / topups.FILE}: does not know {', '.join(lost)}, whose rounds were asked and "
            "charged, so nothing was asked now. Put the file back."
        )
