"""Budgeted generation at the terminal: solve, write, run."""

import json
from pathlib import Path

import pytest

from dpfedsyn.marking import find
from tests.end_to_end.small import SILOS, call, ledger, lines, read, sets

TERMS = "(delta 1e-05, unit record, add-or-remove"


def test_the_example_of_the_readme_is_solved() -> None:
    """Both budgets, the frontier with its chosen line, the rule, and the plan of that point."""
    result = call("plan", "hospitals", "--epsilon", 3, "--answers-mu", 5)
    assert result.exit_code == 0
    flat = " ".join(result.output.split())
    assert f"record level epsilon <= 3.00 {TERMS}); answers alone mu <= 5 (any two models)" in flat
    assert "Chosen: 1 row in 40 rounds (ula, 10 x 4)" in flat
    assert "40 * ula, 10 x 4 yes 0 42.43 1 16.97 50.91 8.49 1.39 % 9.99" in flat
    assert "Rule: mu buys not one row whose noise is absorbed" in flat
    assert "Split of the record level's mu^2: counts 3 %, moments 57 %" in flat
    for silo in SILOS:
        assert f"{silo}: answers alone 33.11 33.10 1e-05 record add-or-remove" in flat


def test_json_holds_the_frontier_and_the_plan() -> None:
    """The same numbers as values; the chosen point is one of the frontier's."""
    options = ("--epsilon", 3, "--answers-mu", 500, "--json")
    result = call("plan", "hospitals", *options, "--set", "preset=best")
    solved = json.loads(result.output)
    assert solved["chosen"] in solved["frontier"]
    assert (solved["chosen"]["rows"], solved["chosen"]["rounds"]) == (59, 25)
    assert (solved["plan"]["rows"], solved["plan"]["rounds"]) == (59, 25)
    assert solved["budget"]["answers_mu"] == 500.0


def test_the_written_plan_is_the_solved_one_and_runs(tmp_path: Path) -> None:
    """`plan` of the file shows the numbers that were solved; `run` keeps both budgets."""
    file, folder = tmp_path / "p.toml", tmp_path / "run"
    small = sets(("train.steps=12", "network.hidden=24", "train.draws=2", "sampler.levels=5",
                  "evaluate.baselines=[]"))  # fmt: skip
    options = ("--epsilon", 3, "--answers-mu", 300, "--json", "--write", file, *small)
    solved = json.loads(call("plan", "hospitals", *options).stdout)
    assert json.loads(call("plan", file, "--json").output) == solved["plan"]
    assert call("run", file, "--out", folder).exit_code == 0
    assert len(lines(folder / "rounds.jsonl")) == solved["chosen"]["rounds"]
    table = find(folder, "synthetic.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 1 + solved["chosen"]["rows"]
    assert call("ledger", "verify", *(ledger(folder, silo) for silo in SILOS)).exit_code == 0
    for silo in read(find(folder, "statement.json"))["silos"]:
        assert silo["epsilon"]["upper"] <= 3.0
        assert silo["charged"]["B"]["mu"] <= silo["charged"]["B"]["cap_mu"] == 300.0


def test_a_single_row_is_generated_and_not_evaluated(tmp_path: Path) -> None:
    """So small a set has no neighbours to compare with; the run ends well without."""
    small = sets(("train.steps=5", "network.hidden=16", "train.draws=2"))
    file, folder = tmp_path / "p.toml", tmp_path / "run"
    options = ("--epsilon", 3, "--answers-mu", 5, "--write", file, *small)
    assert call("plan", "hospitals", *options).exit_code == 0
    result = call("run", file, "--out", folder)
    assert result.exit_code == 0
    assert len(find(folder, "synthetic.csv").read_text(encoding="utf-8").splitlines()) == 2
    assert not find(folder, "results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("hospitals", "--epsilon", 0.05), 3, "What would work: epsilon >= "),
        (("hospitals", "--answers-mu", 0.01), 3, "One absorbed row costs mu >= 42.5"),
        (("hospitals", "--epsilon", 0), 2, "allowed is"),
        (("hospitals", "--epsilon", 3, "--set", "preset=paper"), 2, "sampler.absorb = true"),
        (("hospitals", "--write", "p.toml"), 2, "--write needs"),
    ],
)
def test_what_cannot_be_solved_says_what_could(
    arguments: tuple[object, ...], code: int, said: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One block with the mend and its exit code; nothing is written."""
    monkeypatch.chdir(tmp_path)
    result = call("plan", *arguments)
    assert result.exit_code == code
    assert said in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    """Exit code 2 before anything is solved, and the file stays as it was."""
    file = tmp_path / "p.toml"
    file.write_text("mine")
    result = call("plan", "--epsilon", 3, "--write", file)
    assert result.exit_code == 2
    assert "is there already" in result.output
    assert file.read_text() == "mine"
