"""The corpus of real bugs: each is caught by a general check that its corrected twin passes."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.case import PATTERN, Case, Layer, Trial
from tests.corpus.corpus import CAUGHT, MISSED

ROWS = 48
TABLE = Path(__file__).parent / "README.md"


def trials(cases: tuple[Case, ...]) -> list[Any]:
    """Every check of every case, as a parameter of a test."""
    parameters = []
    for case in cases:
        for k, trial in enumerate(case.trials):
            name = f"{case.number}-{trial.check.layer}-{k}"
            marks = [pytest.mark.slow] if trial.slow else []
            parameters.append(pytest.param(trial, id=name, marks=marks))
    return parameters


@pytest.mark.parametrize("trial", trials(CAUGHT))
def test_a_bug_is_caught_and_its_corrected_twin_is_not(trial: Trial) -> None:
    """The same check with the same settings: only the bug makes the difference.

    Alarms of the statistical and canary layers have a chance of 1e-6 each; seeds are fixed.
    """
    found = trial.check.finding(trial.broken)
    assert found is not None, "the check passes the bug"
    twin = trial.check.finding(trial.fixed)
    assert twin is None, f"the check flags the corrected twin: {twin}"


@pytest.mark.parametrize("trial", trials(MISSED))
def test_a_row_that_is_listed_as_missed_is_missed(trial: Trial) -> None:
    """If a check learns to catch it, the row belongs among the others."""
    assert trial.check.finding(trial.broken) is None
    assert trial.check.finding(trial.fixed) is None


def test_every_row_is_there_once_with_its_source() -> None:
    """At least 44 of 48 rows are caught; the others say why they are not."""
    cases = CAUGHT + MISSED
    assert sorted(case.number for case in cases) == list(range(1, ROWS + 1))
    assert len(CAUGHT) >= 44
    assert all(case.trials and not case.missed for case in CAUGHT)
    assert all(case.missed for case in MISSED)
    assert all(case.source.startswith("https://") or case.source == PATTERN for case in cases)


def test_every_layer_catches_something() -> None:
    """Each kind of check is tried on a bug."""
    assert {layer for case in CAUGHT for layer in case.layers} == {str(layer) for layer in Layer}


def test_the_table_says_which_layer_catches_which_row() -> None:
    """README.md is what the tests show, row by row."""
    table = [
        tuple(cell.strip() for cell in line.strip("|\n").split("|"))
        for line in TABLE.read_text().splitlines()
        if re.match(r"\| *\d", line)
    ]
    assert table == [row(case) for case in sorted(CAUGHT + MISSED, key=lambda c: c.number)]


def row(case: Case) -> tuple[str, str, str]:
    """Number, bug with its source, layers."""
    layers = "none: " + case.missed if case.missed else ", ".join(case.layers)
    linked = f"[{case.title}]({case.source})"
    return str(case.number), case.title if case.source == PATTERN else linked, layers
