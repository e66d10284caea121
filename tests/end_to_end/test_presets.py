"""The other two presets from end to end: the literal method, and what measures best."""

from pathlib import Path

import pytest

from dpfedsyn import config
from dpfedsyn import run as runner
from dpfedsyn.marking import find
from tests.end_to_end.small import REPEATABLE, SILOS, lines, read, rows, tables

TRAINING = tuple(setting for setting in REPEATABLE if not setting.startswith("sampler."))


def finished(folder: Path, *more: str) -> Path:
    """Run the hospitals with these settings and return the folder."""
    result = runner.run(config.load("hospitals", [*TRAINING, *more]), folder)
    assert result.status == "complete"
    return result.folder


def test_paper_is_the_literal_method_and_still_accounted(tmp_path: Path) -> None:
    """No energies are released, weights are equal, and every round is one charged answer."""
    run = finished(tmp_path / "run", "preset=paper", "sampler.levels=8", "answers.best_share=0")
    assert set(tables(run)) == {"synthetic.csv"}
    log = lines(run / "rounds.jsonl")
    assert [(r["pass"], r["sampler"], r["of"]) for r in log] == [("paper", "ula", 8)] * 8
    (planned,) = read(find(run, "plan.json"))["passes"]
    assert (planned["energy"], planned["step"]) == ("l2", "blend")
    assert planned["energy_noise"] is None
    for charged in rows(run).values():
        assert sum(kind == "answer" for kind, _, _ in charged) == 8


def test_best_is_one_pass_with_the_whole_budget(tmp_path: Path) -> None:
    """No second pass follows, and each sample asked one silo only."""
    run = finished(tmp_path / "run", "preset=best", "sampler.levels=8")
    assert set(tables(run)) == {"synthetic.csv"}
    log = lines(run / "rounds.jsonl")
    assert [(r["pass"], r["sampler"]) for r in log] == [("best", "ancestral")] * 8
    assert sum(log[-1]["responsibilities"]) == pytest.approx(1.0)
    asked = {silo: sum(kind == "answer" for kind, _, _ in rows(run)[silo]) for silo in SILOS}
    assert set(asked.values()) <= {0, 8}
    assert sum(asked.values()) >= 8


@pytest.mark.parametrize("step", ["blend", "mix"])
def test_released_and_path_energies_go_with_every_step(step: str, tmp_path: Path) -> None:
    """The combinations between the presets run and finish as well."""
    for energy in ("released", "path"):
        settings = (f"sampler.step={step}", f"sampler.energy={energy}", "sampler.levels=2")
        run = finished(tmp_path / energy, *settings, "answers.best_share=0")
        assert len(tables(run)) == 1
