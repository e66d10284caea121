"""Bad input: one clear error that names file, row or key and the mend; exit code 2; no output."""

import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from dpfedsyn import run as runner
from dpfedsyn.progress import Silent
from tests.end_to_end.small import SMALL, call, sets, small


def assert_one_error(output: str, words: tuple[str, ...]) -> None:
    """One block, no traceback, and it holds these words."""
    flat = " ".join(output.split())
    assert len(re.findall(r"\bError:", flat)) == 1, output
    assert "Traceback" not in flat
    for word in words:
        assert word in flat, (word, flat)


def test_the_copied_example_runs_when_nothing_is_broken(tmp_path: Path) -> None:
    """The faults above are what is refused, not the copy."""
    example = tmp_path / "example"
    shutil.copytree(str(files("dpfedsyn") / "examples" / "hospitals"), example)
    quick = sets((*SMALL, "evaluate.enabled=false"))
    result = call("run", example / "config.toml", "--out", tmp_path / "out", *quick)
    assert result.exit_code == 0, result.output


def test_a_used_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A folder with anything in it, and a file in its place."""
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("keep me")
    (tmp_path / "file").write_text("keep me")
    for name, words in (("used", ("is not empty", "--out")), ("file", ("is a file", "--out"))):
        result = call("run", "--out", tmp_path / name)
        assert result.exit_code == 2
        assert_one_error(result.output, words)
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["mine.txt"]
    assert (tmp_path / "file").read_text() == "keep me"


def test_a_run_is_not_resumed_with_another_configuration(tmp_path: Path) -> None:
    """Ledgers and checkpoints of one configuration do not fit another; the charges stay."""

    class StopAtOnce(Silent):
        def round(self, record: dict[str, object]) -> None:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        runner.run(small(), folder, progress=StopAtOnce())
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    other = ("--set", "answers.rows=80")
    result = call("run", folder / "config.toml", *other, "--out", folder, "--resume")
    assert result.exit_code == 2
    assert_one_error(result.output, ("another configuration", "--out"))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert call("run", "--out", folder, "--resume").exit_code == 0


@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_missing_ledger_is_named(command: str, tmp_path: Path) -> None:
    """The error says where a ledger lies."""
    result = call("ledger", command, tmp_path / "ledger.sqlite")
    assert result.exit_code == 2
    assert_one_error(result.output, ("no such ledger", "RUN/silos/NAME/ledger.sqlite"))


def test_a_report_needs_a_run(tmp_path: Path) -> None:
    """A folder without a statement is refused, and no page is left there."""
    result = call("report", tmp_path)
    assert result.exit_code == 2
    assert_one_error(result.output, (str(tmp_path),))
    assert list(tmp_path.iterdir()) == []
