"""The corpus of real bugs: each is caught by a general check that its corrected twin passes.

And each is put before every layer; what lets it pass, and what has nothing to try, says why.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import table
from tests.corpus.case import PATTERN, Case, Layer, Passed, Trial
from tests.corpus.corpus import ALL, CAUGHT, MISSED

ROWS = 48
FOR_CANARIES = {1, 2, 3, 4, 6, 7, 8, 9, 13, 27, 31}  # that a white-box canary should try
README = Path(__file__).parent / "README.md"


def named(case: Case, tried: list[Trial]) -> list[Any]:
    """Checks of a case as parameters of a test."""
    parameters = []
    for k, trial in enumerate(tried):
        name = f"{case.number}-{trial.check.layer}-{k}"
        marks = [pytest.mark.slow] if trial.slow else []
        parameters.append(pytest.param(trial, id=name, marks=marks))
    return parameters


@pytest.mark.parametrize("trial", [p for case in ALL for p in named(case, list(case.trials))])
def test_a_bug_is_caught_and_its_corrected_twin_is_not(trial: Trial) -> None:
    """The same check with the same settings: only the bug makes the difference.

    Alarms of the statistical and canary layers have a chance of 1e-6 each; seeds are fixed.
    """
    found = trial.check.finding(trial.broken)
    assert found is not None, "the check passes the bug"
    twin = trial.check.finding(trial.fixed)
    assert twin is None, f"the check flags the corrected twin: {twin}"


@pytest.mark.parametrize(
    "trial", [p for case in ALL for p in named(case, [passed.trial for passed in case.passed])]
)
def test_a_bug_that_a_check_is_said_to_let_pass_passes_it(trial: Trial) -> None:
    """If a check learns to catch it, it belongs among the others; and the twin passes as well."""
    assert trial.check.finding(trial.broken) is None
    assert trial.check.finding(trial.fixed) is None


def test_every_row_is_there_once_with_its_source() -> None:
    """At least 44 of 48 rows are caught; the others say why they are not."""
    cases = CAUGHT + MISSED
    assert sorted(case.number for case in cases) == list(range(1, ROWS + 1))
    assert len(CAUGHT) >= 44
    assert all(case.trials and not case.missed for case in CAUGHT)
    assert all(case.missed and case.passed and not case.trials for case in MISSED)
    assert all(case.source.startswith("https://") or case.source == PATTERN for case in cases)


def test_every_layer_catches_something() -> None:
    """Each kind of check is tried on a bug."""
    assert {layer for case in CAUGHT for layer in case.layers} == {str(layer) for layer in Layer}


def test_the_table_is_what_the_tests_show() -> None:
    """README.md holds every row before every layer, to the letter: no more and no less."""
    (shown,) = re.findall(
        r"<!-- table -->\n(.*)\n<!-- table end -->", README.read_text(), re.DOTALL
    )
    assert shown.strip() == "\n".join(table.lines())
    assert f"{len(CAUGHT)} of {ROWS} rows are caught" in README.read_text()


def test_a_layer_that_is_neither_tried_nor_excused_is_an_error() -> None:
    """As is one that is both: the table cannot be made."""
    first, second = ALL[0], ALL[22]
    untried = replace(first, trials=first.trials[:0], passed=())
    with pytest.raises(LookupError, match="row 1, statistical: try it"):
        table.lines([untried])
    excused = replace(second, passed=(Passed(first.trials[0], "whatever"),))
    with pytest.raises(LookupError, match="row 23, replay: try it"):
        table.lines([excused])


def test_a_check_that_comes_to_catch_a_row_changes_the_table() -> None:
    """So that the table in README.md fails until it says so."""
    row = next(case for case in ALL if case.number == 9)
    better = row.and_(tuple(passed.trial for passed in row.passed), ())
    assert table.lines([better])[2] != table.lines([row])[2]


def test_canaries_are_tried_where_they_can_be() -> None:
    """On each row that is marked for them."""
    for case in ALL:
        if case.number in FOR_CANARIES:
            assert table.outcome(case, Layer.CANARY)[0] in (table.CAUGHT, table.PASSED)
