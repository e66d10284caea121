"""Small runs of the embedded examples, in this process or in one of their own."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

import dpfedsyn
from dpfedsyn import cli, config
from dpfedsyn.marking import every, plain
from dpfedsyn.settings import Config

SILOS = ("cleveland", "hungarian", "switzerland", "va")
ROUNDS = {"default": 6, "best": 25}
STEPS, BLOCK = 12, 5  # of DP-SGD: blocks of 5, 5 and 2 steps
BLOCKS = 3
SMALL = (
    "answers.rows=90",
    f"train.steps={STEPS}",
    f"train.block={BLOCK}",
    "train.draws=2",
    "network.hidden=24",
    "sampler.levels=3",
    "sampler.steps_per_level=2",
)
# Repeatable noise voids every promise; without it two runs could not be compared byte for byte.
REPEATABLE = (*SMALL, "privacy.unsafe_noise_seed=7", "evaluate.enabled=false")
ROOT = Path(__file__).parents[2]


def sets(overrides: tuple[str, ...]) -> list[str]:
    """Return the overrides as arguments of the command line."""
    return [argument for override in overrides for argument in ("--set", override)]


def small(*more: str) -> Config:
    """Return the configuration of a small, repeatable run of the hospitals."""
    return config.load("hospitals", [*REPEATABLE, *more])


def call(*arguments: object) -> Result:
    """Run the command line in this process; a bug's exception is raised, not swallowed."""
    runner = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    result = runner.invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def environment() -> dict[str, str]:
    """Return an environment in which a child imports what this process imports."""
    source = str(Path(dpfedsyn.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "COLUMNS": "120", "NO_COLOR": "1"}


def python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def ledger(run: Path, silo: str) -> Path:
    """Return the path of a silo's ledger."""
    return run / "silos" / silo / "ledger.sqlite"


def rows(run: Path) -> dict[str, list[tuple[str, int, bytes]]]:
    """Return kind, uses and digest of every ledger's rows, read past the program."""
    found = {}
    for silo in SILOS:
        if ledger(run, silo).is_file():
            with sqlite3.connect(ledger(run, silo)) as connection:
                query = "SELECT kind, uses, digest FROM charges ORDER BY seq"
                found[silo] = connection.execute(query).fetchall()
            connection.close()
    return found


def read(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object per line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tables(run: Path) -> dict[str, bytes]:
    """Return the bytes of a run's synthetic tables, by their plain names."""
    return {plain(path.name): path.read_bytes() for path in every(run, "synthetic*.csv")}
