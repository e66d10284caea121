"""A run that a silo's cap stops: foretold or not, it ends with what it has and says so."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn import checkpoint
from dpfedsyn.marking import find
from tests.end_to_end.small import REPEATABLE, SILOS, call, ledger, lines, read, rows, sets, tables

# Six rounds of anchored rows. One silo is away from the beginning, and its rows are handed over
# to the others when the run is resumed with less patience.
ANCHORED = (*REPEATABLE, "preset=best", "sampler.levels=6", "answers.reserve=0")
PATIENT = ('participation.away=["va 1-3"]', "participation.patience=10")
IMPATIENT = ('participation.away=["va 1-3"]', "participation.patience=0")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return a run that paid for its third round twice, and what the resumed command said.

    The server lost the round after all silos had been charged. Resumed with less patience it asks
    the third round about other rows, which are new questions: one round's budget is missing.
    """
    folder, save = tmp_path_factory.mktemp("cap") / "run", checkpoint.save

    def lost(path: Path, arrays: Any, **options: Any) -> None:
        if path.name == "best.safetensors" and int(arrays["round_number"]) == 3:
            raise KeyboardInterrupt
        save(path, arrays, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", lost)
        interrupted = call("run", "--out", folder, *sets((*ANCHORED, *PATIENT)))
    assert interrupted.exit_code == 130
    again = call("run", "--out", folder, "--resume", *sets((*ANCHORED, *IMPATIENT)),
                 "hospitals")  # fmt: skip
    return folder, again


def test_it_leaves_with_a_code_of_its_own_and_says_after_how_many_rounds(
    stopped: tuple[Path, Any],
) -> None:
    """State, statement, report and terminal name the rounds, the silo and what a larger cap is."""
    folder, result = stopped
    assert result.exit_code == 6, result.output
    taken = len(lines(folder / "rounds.jsonl"))
    words = f"stopped at the cap after {taken} of 6 rounds"
    assert 3 <= taken < 6
    flat = " ".join(result.output.split())
    assert f"PARTIAL RUN: {words}" in flat
    assert "A larger cap is a new budget" in flat
    state, statement = read(folder / "state.json"), read(find(folder, "statement.json"))
    assert state["status"] == statement["status"] == "partial"
    assert state["reason"] == statement["reason"]
    assert state["reason"].startswith(words)
    assert statement["rounds"] == {"taken": taken, "planned": 6}
    page = find(folder, "report.html").read_text(encoding="utf-8")
    assert words in page
    assert "A larger cap is a new budget" in page


def test_its_rows_are_usable_and_no_cap_was_passed(stopped: tuple[Path, Any]) -> None:
    """All rows are there, decoded; the ledgers verify, and no silo spent more than it allows."""
    folder, _ = stopped
    assert len(find(folder, "synthetic.csv").read_text(encoding="utf-8").splitlines()) == 1 + 90
    assert call("ledger", "verify", *(ledger(folder, silo) for silo in SILOS)).exit_code == 0
    for silo in read(find(folder, "statement.json"))["silos"]:
        assert silo["charged"]["B"]["mu"] <= silo["charged"]["B"]["cap_mu"]


def test_resuming_changes_nothing(stopped: tuple[Path, Any], tmp_path: Path) -> None:
    """The refused round is refused again at no cost; rows, charges and exit code stay."""
    folder = tmp_path / "run"
    shutil.copytree(stopped[0], folder)
    before = (rows(folder), tables(folder), read(folder / "state.json"))
    assert call("run", "--out", folder, "--resume").exit_code == 6
    assert (rows(folder), tables(folder), read(folder / "state.json")) == before


def test_a_larger_cap_is_not_slipped_in(stopped: tuple[Path, Any], tmp_path: Path) -> None:
    """Resumed with a larger mu the run is refused, with what a person may decide."""
    folder = tmp_path / "run"
    shutil.copytree(stopped[0], folder)
    before = rows(folder)
    result = call("run", "--out", folder, "--resume", "--set", "answers.mu=9000")
    assert result.exit_code == 2
    assert "a larger cap is a new budget" in " ".join(result.output.split())
    assert rows(folder) == before


def test_a_stop_that_the_plan_foretold_ends_well(tmp_path: Path) -> None:
    """The same sentence in state and statement, and exit code 0."""
    folder = tmp_path / "run"
    small = sets(("train.steps=5", "network.hidden=16", "evaluate.enabled=false"))
    result = call("run", "answers-only", "--out", folder, *small)
    assert result.exit_code == 0
    statement = read(find(folder, "statement.json"))
    taken = statement["rounds"]["taken"]
    assert 0 < taken < statement["rounds"]["planned"] == 24
    assert statement["reason"].startswith(f"stopped at the cap after {taken} of 24 rounds")


def test_a_cap_that_holds_no_round_leaves_no_rows(tmp_path: Path) -> None:
    """The first round is refused: no table, a statement that says so, and it was foretold."""
    folder = tmp_path / "run"
    small = sets(("train.steps=5", "network.hidden=16", "answers.mu=30.0"))
    result = call("run", "answers-only", "--out", folder, *small)
    assert result.exit_code == 0
    assert tables(folder) == {}
    assert read(find(folder, "statement.json"))["rounds"]["taken"] == 0
    assert read(folder / "state.json")["status"] == "partial"
