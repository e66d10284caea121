"""Statements of every kind, from a plan and made-up charges: no run is needed."""

import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from dpfedsyn import config as configuration
from dpfedsyn import plan as planning
from dpfedsyn import statement
from dpfedsyn.folder import RunFolder, finite
from dpfedsyn.plan import Plan
from dpfedsyn.released import Charged, LastHeard
from dpfedsyn.statement import Outcome, ReleasedFile

STATED = (
    'statement.curator="Clinics, together"',
    "statement.curator_type=Nonprofit",
    "statement.author=somebody",
    'statement.published="2026-11-29"',
    "statement.contact=data@example.org",
)
ROWS = b"age,outcome\n41,well\n"
KINDS = ("complete", "partial", "void by its seed", "void without noise", "not heard", "unsampled")


@cache
def plan_of(name: str, *overrides: str) -> Plan:
    """The plan of an example."""
    return planning.make(configuration.load(name, overrides))


def charge(plan: Plan, name: str, last: LastHeard | None = None) -> Charged:
    """A silo that has answered a little."""
    budget = plan.budgets[name]
    record = None if budget.record_mu is None else budget.at_record_level(1.0)
    inside = () if budget.training is None else ("dp-sgd", "moments")
    released = ("counts",) if budget.counts_released else ()
    return Charged("a" * 32, name.encode().hex(), released, inside, 3, 1.0, record, last)


def file(content: bytes = ROWS, name: str = "synthetic.csv") -> ReleasedFile:
    """A file of rows as a statement names it."""
    return ReleasedFile(name, sha256(content).hexdigest(), len(content), 1, "default", "ula", 3)


def made(
    name: str = "hospitals",
    *overrides: str,
    outcome: Outcome | None = None,
    last: LastHeard | None = None,
    evaluated: bool = True,
) -> dict[str, Any]:
    """A statement as it is written and read again."""
    plan = plan_of(name, *overrides)
    charges = {silo: charge(plan, silo, last) for silo in plan.budgets}
    ended = outcome or Outcome("complete", None, 3, 3)
    told = statement.make(plan, charges, ended, [file()], evaluated=evaluated)
    read: dict[str, Any] = json.loads(json.dumps(finite(told), allow_nan=False))
    return read


@cache
def _kind(kind: str) -> str:
    match kind:
        case "partial":
            told = made(outcome=Outcome("partial", "va: no more", 2, 3))
        case "void by its seed":
            told = made("hospitals", "privacy.unsafe_noise_seed=1")
        case "void without noise":
            told = made("hospitals", "train.method='not-private'")
        case "not heard":
            told = made(last=LastHeard(2, 4))
        case "unsampled":
            told = made("answers-only", *STATED, evaluated=False)
        case _:
            told = made("hospitals", *STATED)
    return json.dumps(told)


def of(kind: str) -> dict[str, Any]:
    """A statement of a kind, one's own to change."""
    read: dict[str, Any] = json.loads(_kind(kind))
    return read


def folder(path: Path, kind: str = "complete", mark: str = "") -> Path:
    """A folder as an export leaves it: statement, record and rows."""
    path.mkdir(parents=True, exist_ok=True)
    statement.keep(RunFolder(path), of(kind))
    (path / "synthetic.csv").write_bytes(ROWS)
    for content in list(path.iterdir()):
        content.rename(path / f"{mark}{content.name}")
    return path
