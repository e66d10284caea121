"""Bad input: one clear error that names file, row or key and the mend; exit code 2; no output."""

import re
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from dpfedsyn import run as runner
from dpfedsyn.progress import Silent
from tests.end_to_end.small import SMALL, call, sets, small

CLEVELAND = "data/processed.cleveland.data"


def _cell(line: int, column: int, text: str, file: str = CLEVELAND) -> Callable[[Path], None]:
    """Return a change of one cell, lines and columns counted from 1."""

    def change(example: Path) -> None:
        rows = [row.split(",") for row in (example / file).read_text().splitlines()]
        rows[line - 1][column - 1] = text
        (example / file).write_text("\n".join(",".join(row) for row in rows) + "\n")

    return change


def _replace(file: str, before: str, after: str) -> Callable[[Path], None]:
    def change(example: Path) -> None:
        text = (example / file).read_text()
        assert text.count(before) >= 1
        (example / file).write_text(text.replace(before, after, 1))

    return change


def _both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(example: Path) -> None:
        for one in changes:
            one(example)

    return change


# name: (what is done to a copy of the example, words that the error must hold)
BROKEN_FILES: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "missing file": (
        lambda example: (example / "data/processed.va.data").unlink(),
        ("silos.va", "processed.va.data is missing", "mend its path"),
    ),
    "empty file": (
        lambda example: (example / CLEVELAND).write_text(""),
        ("processed.cleveland.data", "holds no rows", "fill it"),
    ),
    "unknown category": (
        _cell(5, 3, "9"),
        ("processed.cleveland.data, line 5, column cp", "'9'", "1, 2, 3, 4", "correct the cell"),
    ),
    "outside the bounds": (
        _both(_replace("schema.toml", 'outside = "clip"', 'outside = "error"'), _cell(7, 1, "140")),
        ("line 7, column age", "140", "[20, 90]", "widen `bounds`"),
    ),
    "unknown label": (
        _cell(3, 14, "7"),
        ("line 3, column num", "'7'", "0, 1, 2, 3, 4", "correct the cell"),
    ),
    "not a number": (
        _cell(2, 1, "nan"),
        ("line 2, column age", "'nan' is not a finite number", "correct the cell"),
    ),
    "infinity": (
        _cell(2, 10, "inf"),
        ("line 2, column oldpeak", "'inf' is not a finite number", "correct the cell"),
    ),
    "a field too few": (
        _replace(CLEVELAND, ",6.0,0\n", ",0\n"),
        ("processed.cleveland.data, line 1", "13 fields instead of 14", "correct the line"),
    ),
    "a line of names": (
        lambda example: (example / CLEVELAND).write_text(
            "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num\n"
            + (example / CLEVELAND).read_text()
        ),
        ("line 1", "column names", "header = true"),
    ),
    "not a text": (
        lambda example: (example / CLEVELAND).write_bytes(b"\xff\xfe\x00\x01"),
        ("processed.cleveland.data", "not a table of text", "UTF-8"),
    ),
    "unknown key in the file": (
        _replace("config.toml", "delta = 1e-5", "detla = 1e-5"),
        ("privacy.detla", "Did you mean `delta`?"),
    ),
    "unknown key in the schema": (
        _replace("schema.toml", "bounds = [20, 90]", "bound = [20, 90]"),
        ("columns.age", "unknown key `bound`", "did you mean `bounds`?"),
    ),
    "no TOML": (
        _replace("config.toml", "delta = 1e-5", "delta = = 1e-5"),
        ("config.toml", "not a TOML file", "Mend that line"),
    ),
    "two silos of one name": (
        _replace("config.toml", 'name = "va"', 'name = "hungarian"'),
        ("'hungarian' stands twice", "give every silo its own"),
    ),
}

# name: (arguments of `dpfedsyn run`, words that the error must hold)
BROKEN_ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown key": (
        ("--set", "privacy.epsilom=4"),
        ("privacy.epsilom", "Did you mean `epsilon`?"),
    ),
    "unknown section": (("--set", "privcy.epsilon=4"), ("privcy", "Did you mean `privacy`?")),
    "unknown example": (("hospital",), ("hospital: neither", "Did you mean `hospitals`?")),
    "negative epsilon": (
        ("--set", "privacy.epsilon=-1.0"),
        ("privacy.epsilon = -1.0", "allowed is (0, 1e+06]"),
    ),
    "epsilon is no number": (("--set", "privacy.epsilon=nan"), ("privacy.epsilon", "allowed is")),
    "a word for a number": (
        ("--set", "train.steps=many"),
        ("train.steps = 'many'", "expected int"),
    ),
    "wrong number of shares": (
        ("--set", 'weights.source="public"', "--set", "weights.labels=[0.5, 0.3, 0.2]"),
        ("weights.labels", "3 shares", "2 labels"),
    ),
    "no value": (("--set", "privacy.epsilon"), ("section.key=value",)),
    "several faults at once": (
        ("--set", "privacy.epsilom=4", "--set", "train.stesp=4"),
        ("Did you mean `epsilon`?", "Did you mean `steps`?"),
    ),
    "resume of nothing": (("--resume",), ("holds no run to resume", "Drop --resume")),
}


def assert_one_error(output: str, words: tuple[str, ...]) -> None:
    """One block, no traceback, and it holds these words."""
    flat = " ".join(output.split())
    assert len(re.findall(r"\bError:", flat)) == 1, output
    assert "Traceback" not in flat
    for word in words:
        assert word in flat, (word, flat)


@pytest.mark.parametrize("fault", BROKEN_FILES)
def test_a_broken_file_is_named_with_its_mend(fault: str, tmp_path: Path) -> None:
    """Every file is checked before anything is charged; the folder is not even made."""
    example = tmp_path / "example"
    shutil.copytree(str(files("dpfedsyn") / "examples" / "hospitals"), example)
    change, words = BROKEN_FILES[fault]
    change(example)
    result = call("run", example / "config.toml", "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert_one_error(result.output, words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", BROKEN_ARGUMENTS)
def test_a_wrong_argument_is_named_with_its_mend(fault: str, tmp_path: Path) -> None:
    """Unknown keys come with the nearest known one, values with what is allowed."""
    arguments, words = BROKEN_ARGUMENTS[fault]
    result = call("run", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert_one_error(result.output, words)
    assert not (tmp_path / "out").exists()


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
