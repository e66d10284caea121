"""kill -9 at random moments of whole runs: nothing is under-counted, doubled or stuck."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.small import python

FEW, MANY = 30, 500
# Each life is killed at a random share of what a whole run takes; the moments differ from machine
# to machine, so a failure is kept: the folder of the failed run lies where pytest keeps its own.
SEED = 20261125


def told(folder: Path, kills: int) -> dict[str, Any]:
    """Kill runs so many times, in a process of its own, and return all that was seen."""
    command = ("-m", "tests.end_to_end.kills", str(folder), str(kills), str(SEED))
    done = python(*command, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def require_nothing_lost(run: dict[str, Any]) -> None:
    """Every ledger verifies, only grows, and holds whatever had left its silo."""
    before: dict[str, list[Any]] = {}
    for moment in filter(None, run["moments"]):
        assert moment["verified"], moment["said"]
        for silo, rows in before.items():
            assert moment["rows"][silo][: len(rows)] == rows
        before = moment["rows"]
        charged = {
            (silo, round_number, sha256.lower())
            for silo, rows in before.items()
            for kind, round_number, _, _, sha256 in rows
            if kind == "answer"
        }
        assert {tuple(entry) for entry in moment["released"]} <= charged


def require_one_answer_each(run: dict[str, Any]) -> None:
    """Whatever a silo answered in a round, in all lives of the run, are the same bytes."""
    answers: dict[tuple[str, int], set[str]] = {}
    for silo, round_number, sha256 in run["moments"][-1]["released"]:
        answers.setdefault((silo, round_number), set()).add(sha256)
    assert answers
    assert all(len(different) == 1 for different in answers.values())


def require_same_end(run: dict[str, Any], whole: dict[str, Any]) -> None:
    """The run was finished, and wasted at most one step per kill; with repeatable noise none."""
    rows, wanted = run["moments"][-1]["rows"], whole["rows"]
    kills = len(run["moments"]) - 1
    assert run["table"].count("\n") == whole["table"].count("\n")
    assert rows.keys() == wanted.keys()
    for silo in wanted:
        assert 0 <= len(rows[silo]) - len(wanted[silo]) <= kills
    if run["noise"] == "repeatable":
        assert rows == wanted
        assert run["table"] == whole["table"]
    else:
        assert run["table"] != whole["table"]


@pytest.mark.parametrize(
    "kills", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_kill_9_at_random_moments_neither_loses_a_charge_nor_doubles_an_answer(
    kills: int, tmp_path: Path
) -> None:
    """0 under-counted charges, 0 answers with other noise, at most one wasted step per kill, and
    every run ends as one that nobody killed."""
    seen = told(tmp_path, kills)
    assert sum(len(run["moments"]) - 1 for run in seen["runs"]) == kills
    for run in seen["runs"]:
        require_nothing_lost(run)
        require_one_answer_each(run)
        require_same_end(run, seen["whole"])
