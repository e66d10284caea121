"""A run's folder: whose it is, and what a kill at any write leaves of it."""

import json
from pathlib import Path

import pytest

from dpfedsyn import config as configuration
from dpfedsyn import folder as folders
from dpfedsyn.errors import RunError
from dpfedsyn.folder import RoundLog

CONFIG = configuration.load("hospitals")


def test_a_kill_while_the_first_file_is_written_leaves_a_folder_that_a_run_can_begin_in(
    tmp_path: Path,
) -> None:
    """Half a config.toml is nothing: the run begins, and the half is gone."""
    (tmp_path / "config.toml.part").write_text("name =")
    folders.start(tmp_path, CONFIG, resume=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "state.json"]
    assert json.loads((tmp_path / "state.json").read_text())["status"] == "running"


def test_a_folder_with_anything_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Somebody's file is neither mixed with a run nor removed."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match=r"not empty.*--out"):
        folders.start(tmp_path, CONFIG, resume=False)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    """A file stands where a folder should: named, with the mend."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be made.*--out"):
        folders.start(tmp_path / "file" / "run", CONFIG, resume=False)


def test_a_round_that_is_told_again_stands_once_and_a_cut_line_is_dropped(tmp_path: Path) -> None:
    """A kill in the middle of a line loses that line; the round is told again on resumption."""
    path = tmp_path / "rounds.jsonl"
    log = RoundLog(path)
    for number in (1, 2):
        log.append({"pass": "default", "round": number, "epsilon": float("inf")})
    whole = path.read_text()
    path.write_text(whole[:-5])
    resumed = RoundLog(path)
    for number in (1, 2):
        resumed.append({"pass": "default", "round": number, "epsilon": float("inf")})
    assert path.read_text() == whole
    assert [json.loads(line)["epsilon"] for line in whole.splitlines()] == [None, None]


def test_a_round_that_is_taken_again_replaces_what_was_told_of_it(tmp_path: Path) -> None:
    """The kill came before the checkpoint, and then others answered: the last telling counts."""
    path = tmp_path / "rounds.jsonl"
    log = RoundLog(path)
    for number in (1, 2):
        log.append({"pass": "default", "round": number, "answered": ["a"]})
    resumed = RoundLog(path)
    resumed.append({"pass": "default", "round": 2, "answered": ["a", "b"]})
    resumed.append({"pass": "default", "round": 3, "answered": ["b"]})
    told = [(r["round"], r["answered"]) for r in RoundLog(path).of("default")]
    assert told == [(1, ["a"]), (2, ["a", "b"]), (3, ["b"])]


def test_a_damaged_line_is_one_clear_error_and_keeps_the_file(tmp_path: Path) -> None:
    """Charges are in the ledgers: the message says so, and how to go on."""
    path = tmp_path / "rounds.jsonl"
    path.write_text("{damaged\n")
    with pytest.raises(RunError, match="charges are in the ledgers"):
        RoundLog(path)
    assert path.read_text() == "{damaged\n"
