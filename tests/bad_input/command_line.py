"""The command line: files and arguments of `dpfedsyn run` that are at fault, and other commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from dpfedsyn.errors import ConfigError, DataError
from tests.bad_input.case import GOOD, Case
from tests.bad_input.configurations import copied
from tests.end_to_end.small import call

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


def ran(example: Path) -> Result:
    """Run a copy of the example."""
    return call("run", example / "config.toml", "--out", example.parent / "run")


def _broken(change: Callable[[Path], None], *words: str) -> Case:
    def make(folder: Path) -> Path:
        example = copied(folder)
        change(example)
        return example

    *said, mend = words
    return Case(make, ran, tuple(said), mend)


def _argued(arguments: tuple[str, ...], *words: str) -> Case:
    *said, mend = words

    def run(folder: Path) -> Result:
        return call("run", *arguments, "--out", folder / "run")

    return Case(lambda folder: folder, run, tuple(said), mend)


def _drafted(content: bytes, *said: str, mend: str) -> Case:
    """A file of which `dpfedsyn schema draft` is to make a schema."""

    def make(folder: Path) -> Path:
        (folder / "silo.csv").write_bytes(content)
        return folder / "silo.csv"

    return Case(make, lambda path: call("schema", "draft", path), ("FILE", *said), mend, DataError)


DRAFTS = {
    "a draft of nothing": _drafted(b"", "no rows below a header", mend="give a file with a line"),
    "a draft of a header": _drafted(b"age,sex\n", "no rows below a header", mend="rows below it"),
    "a draft of names twice": _drafted(b"age,age\n1,2\n", "'age' twice", mend="give each a name"),
    "a draft of ragged rows": _drafted(b"age,sex\n1\n", "row 2: 1 fields", mend="correct the row"),
    "a draft of UTF-16": _drafted(GOOD.encode("utf-16"), "UTF-16", mend="save it as UTF-8"),
    "a draft of Latin-1": _drafted(b"age,sex\n1,\xe9\n", "line 2", mend="save it as UTF-8"),
    "a draft of an open quote": _drafted(
        b'age,sex\n1,"m\n', "line 2", mend="correct the quotation marks"
    ),
}


def _written(*names: str, said: tuple[str, ...], mend: str) -> Case:
    """Files, `schema.toml` last, of which `dpfedsyn init run` is to make a configuration."""

    def run(folder: Path) -> Result:
        *files, schema = (folder / name for name in names)
        return call("init", "run", *files, "--schema", schema)

    return Case(copied, run, said, mend, ConfigError)


OWN = {
    "a configuration of no file": _written(
        "none.csv", "schema.toml", said=("none.csv: no such file",), mend="correct the path"
    ),
    "a configuration of one file twice": _written(
        "config.toml", "config.toml", "schema.toml", said=("both would be silo 'config'",),
        mend="rename one of the files",
    ),
    "a configuration without a schema": _written(
        "config.toml", "none.toml", said=("none.toml: no such schema",),
        mend="dpfedsyn schema draft",
    ),
}  # fmt: skip

CASES = {
    **{f"{name} (run)": _broken(change, *words) for name, (change, words) in BROKEN_FILES.items()},
    **{
        f"{name} (--set)": _argued(arguments, *words)
        for name, (arguments, words) in BROKEN_ARGUMENTS.items()
    },
    **DRAFTS,
    **OWN,
}
