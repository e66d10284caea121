"""Progress: a live bar on a terminal, plain lines elsewhere, and epsilon after every round."""

import io

import pytest
from rich.console import Console

from dpfedsyn.progress import Progress, RichProgress, Silent, round_line
from dpfedsyn.report.wording import Terms
from tests.dpfedsyn import run_folders

TERMS = Terms(1e-5, "record", "add-or-remove")


def play(progress: Progress) -> None:
    """A run of two stages, as a runner would report it."""
    progress.stage("training [bold]", 4)
    progress.advance("cleveland")
    progress.stage("rounds", 3)
    for record in run_folders.rounds("default", "ula", 3):
        progress.round(record)
    progress.note("silo hungary refused round 4")
    progress.finish()
    progress.finish()


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=140, highlight=False)


def shown(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def test_pipe_gets_one_line_per_stage_and_per_round() -> None:
    """Nothing else is written, and no control sequence."""
    pipe = console(terminal=False)
    play(RichProgress(TERMS, pipe))
    lines = shown(pipe).splitlines()
    assert [line.strip().split(":")[0] for line in lines] == [
        "training [bold] (4 steps)",
        "rounds (3 steps)",
        "default (ula) 1/3",
        "default (ula) 2/3",
        "default (ula) 3/3",
        "silo hungary refused round 4",
    ]
    assert "\x1b" not in shown(pipe)


def test_every_round_line_holds_all_three_readings_with_terms() -> None:
    """Record level first; huge and missing readings are said in words."""
    flat = round_line(run_folders.rounds("default", "ula", 1)[0], TERMS)
    assert "record epsilon <= 7.99; answers alone epsilon <= 1.9e+05, no protection" in flat
    assert "(delta 1e-05, unit record, add-or-remove)" in flat
    assert flat.endswith("; silo level none")
    growing = round_line(run_folders.rounds("default", "ula", 1, flat=False)[0], TERMS)
    assert "silo level epsilon <= 1.98 (delta 1e-05, unit silo, replace)" in growing


@pytest.mark.parametrize("steps", [3, None])
def test_terminal_shows_the_current_epsilon_in_the_bar(steps: int | None) -> None:
    """The live bar counts rounds and ends at the last epsilon; markup in names stays text."""
    screen = console(terminal=True)
    progress = RichProgress(TERMS, screen)
    play(progress)
    progress.stage("empty", steps)
    progress.finish()
    text = shown(screen)
    assert "3/3" in text
    assert "epsilon <= 7.99" in text
    assert "training [bold]" in text


def test_silent_twin_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that calls the library sees no output."""
    play(Silent())
    assert capsys.readouterr() == ("", "")


def test_a_run_that_promises_nothing_shows_no_epsilon() -> None:
    """But the mark, in every line of a round."""
    line = round_line(run_folders.rounds("default", "ula", 1)[0], TERMS, private=False)
    assert line.startswith("NON-PRIVATE: default (ula) 1/1: nothing is promised")
    assert "epsilon" not in line
