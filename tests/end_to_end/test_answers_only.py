"""The second example: epsilon grows round by round until a silo's filter refuses."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from dpfedsyn.marking import find
from tests.end_to_end.small import SILOS, call, ledger, lines, read, rows

QUICK = ("--set", "train.steps=5", "--set", "network.hidden=16", "--set", "train.draws=2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder and the output of the example, with smaller networks."""
    folder = tmp_path_factory.mktemp("answers-only") / "r2"
    result = call("run", "answers-only", "--out", folder, *QUICK)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_the_run_ends_partial_and_names_the_silo_that_refused(finished: tuple[Path, str]) -> None:
    """Switzerland allows half as much and refuses first; state, statement and output say so."""
    folder, output = finished
    state = read(folder / "state.json")
    assert state["status"] == "partial"
    assert [silo for silo in SILOS if silo in state["reason"]] == ["switzerland"]
    assert "PARTIAL" in output
    assert "switzerland" in output.partition("PARTIAL")[2]
    statement = read(find(folder, "statement.json"))
    assert (statement["status"], statement["reason"]) == ("partial", state["reason"])
    assert "switzerland" in find(folder, "report.html").read_text(encoding="utf-8")


def test_what_there_is_until_the_refusal_is_kept(finished: tuple[Path, str]) -> None:
    """A partial run still leaves its samples and ledgers that verify."""
    folder, _ = finished
    table = find(folder, "synthetic.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 1 + 8
    assert call("ledger", "verify", *(ledger(folder, s) for s in SILOS)).exit_code == 0


def test_epsilon_grows_with_every_round(finished: tuple[Path, str]) -> None:
    """Nothing but answers is paid for here, so every round costs every silo something."""
    log = lines(finished[0] / "rounds.jsonl")
    assert 2 <= len(log) < log[0]["of"]
    for silo in SILOS:
        for reading in ("record", "answers", "silo"):
            spent = [entry["silos"][silo][reading]["upper"] for entry in log]
            assert all(before < after for before, after in pairwise(spent))


def test_no_silo_gave_more_than_it_allows(finished: tuple[Path, str]) -> None:
    """The refused round was not charged to the silo that refused, and no claim passes its cap."""
    folder, _ = finished
    taken = len(lines(folder / "rounds.jsonl"))
    charged = {silo: len(found) for silo, found in rows(folder).items()}
    assert charged["switzerland"] == taken
    planned = read(find(folder, "plan.json"))["silos"]
    assert {s["name"]: s["rounds_that_fit"] for s in planned}["switzerland"] == taken
    # The others had answered the round already when switzerland refused it.
    assert all(taken <= charged[silo] <= taken + 1 for silo in SILOS)
    caps = {"cleveland": 8.0, "hungarian": 8.0, "switzerland": 4.0, "va": 8.0}
    for silo in read(find(folder, "statement.json"))["silos"]:
        assert silo["epsilon"]["upper"] <= caps[silo["name"]]
        assert silo["readings"]["record"]["upper"] <= silo["epsilon"]["upper"]
        assert set(silo["charged"]["R"]) | set(silo["charged"]["A"]) == set()


def test_a_run_that_would_end_early_must_be_allowed_to(tmp_path: Path) -> None:
    """Without `allow_partial` the same plan is over budget: exit code 3, and nothing is left."""
    folder = tmp_path / "r"
    result = call("run", "answers-only", "--out", folder, "--set", "answers.allow_partial=false")
    assert result.exit_code == 3
    assert "switzerland" in result.output
    assert "answers.mu" in result.output
    assert not folder.exists()


def test_the_plan_foretells_the_refusal() -> None:
    """`plan` names the silo, how many rounds it holds and what would fit, and ends well."""
    result = call("plan", "answers-only", "--json")
    assert result.exit_code == 0
    planned = json.loads(result.output)
    note = next(note for note in planned["notes"] if note.startswith("switzerland"))
    fitting = next(s["rounds_that_fit"] for s in planned["silos"] if s["name"] == "switzerland")
    assert f"{fitting} of {planned['rounds']} rounds" in note
    assert "answers.mu" in note
