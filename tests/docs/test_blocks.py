"""Every block of every page is run: Python in one namespace per page, commands in one folder.

A notebook is a page whose cells are such blocks, and needs no Jupyter here. In it, notebooks are
run by `mkdocs build` (`.ci/notebooks.py`).
"""

from __future__ import annotations

import doctest
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from dpfedsyn.brought.declaration import KEYS
from dpfedsyn.settings import SiloSettings
from tests.docs import generated
from tests.docs.page import INCLUDED, PAGES, Block, blocks, existing, included, parsed, source
from tests.end_to_end.small import ROOT, environment

RUN, WRITTEN = {"python", "sh"}, {"csv", "ini", "python", "toml"}
LOOSELY = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
SLOW_PAGES = [page for page in PAGES if any(block.slow for block in blocks(page))]


@dataclass
class Reader:
    """Somebody who reads a page and types what it says, in a folder of their own."""

    page: str
    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    printed: str = ""

    def follow(self, block: Block) -> None:
        """Do what a block says; one that says what was printed is compared with that."""
        if block.by_ci:
            for line in block.body.splitlines():
                assert held(line), f"{self._at(block)}: .ci/run does not hold {line!r}"
        elif block.file:
            assert block.language in WRITTEN, self._at(block)
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        elif block.language == "python":
            self._exec(block)
        elif block.language == "sh":
            self._shell(block)
        else:
            assert block.language == "text", f"{self._at(block)}: nothing runs {block.language!r}"
            assert block.body.replace("...", "").strip(), f"{self._at(block)}: shows nothing"
            same = doctest.OutputChecker().check_output(block.body, self.printed, LOOSELY)
            assert same, f"{self._at(block)} says\n{block.body}\nand what was printed is\n" + (
                self.printed
            )

    def _exec(self, block: Block) -> None:
        code = "\n" * block.line + block.body  # tracebacks name the page's own lines
        with redirect_stdout(io.StringIO()) as out:
            exec(compile(code, self.page, "exec"), self.names)
        self.printed = out.getvalue()

    def _shell(self, block: Block) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.body],
            cwd=self.folder,
            env={**environment(), "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{self._at(block)}: {ran.returncode}\n{ran.stdout[-4000:]}"
        self.printed = ran.stdout

    def _at(self, block: Block) -> str:
        return f"docs/{self.page}:{block.line}"


def held(line: str) -> bool:
    """Whether `.ci/run` holds a command; it installs with the tests' extra."""
    return line in CI or (line == "pip install ." and "pip install '.[test]'" in CI)


def read(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, slow: bool) -> None:
    """Follow a page from its top: to its end, or to its first slow block."""
    monkeypatch.chdir(folder)
    plt.switch_backend("agg")  # wherever there is a screen, too
    reader = Reader(page, folder)
    for block in blocks(page):
        if block.slow and not slow:
            break
        reader.follow(block)
    plt.close("all")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_happens(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are written, commands end with 0, and what is said to be printed is printed."""
    read(page, tmp_path, monkeypatch, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW_PAGES)
def test_what_a_long_page_says_happens(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, to the end."""
    read(page, tmp_path, monkeypatch, slow=True)


# What runs the blocks of files that pages include, by file and language. "" is what cannot be run
# as it stands: its lines are read by the test that is named.
INCLUDED_BLOCKS = {
    ("README.md", "python"): "tests/end_to_end/test_readme.py::test_the_python_of_the_readme_runs",
    ("README.md", "sh"): (
        "tests/end_to_end/test_readme.py::test_every_command_of_the_readme_is_run_by_ci"
    ),
    ("README.md", "toml"): (
        "tests/end_to_end/test_readme.py::test_the_schema_of_the_readme_shows_every_kind_and_every_tie"
    ),
    ("README.md", "bash"): "tests/engines/test_as_typed.py",
    ("README.md", ""): "tests/docs/test_blocks.py::test_what_is_quoted_of_a_brought_model_is_known",
    ("dpfedsyn/testing/FIVE_MINUTES.md", "python"): (
        "tests/dpfedsyn/test_testing_third_party.py::test_the_five_minutes_page_is_true"
    ),
    ("dpfedsyn/testing/FIVE_MINUTES.md", "sh"): (
        "tests/dpfedsyn/test_testing_third_party.py::test_the_five_minutes_page_is_true"
    ),
    ("dpfedsyn/testing/FIVE_MINUTES.md", "text"): (
        "tests/dpfedsyn/test_testing_third_party.py::test_the_five_minutes_page_is_true"
    ),
}


def unheld(page: str) -> set[tuple[str, str]]:
    """Return the kinds of blocks that a page includes and no test is named for."""
    text = source(page)
    kinds = {
        (file, block.language)
        for file, section in INCLUDED.findall(text)
        for block in parsed(included(file, section or None))
    }
    return {kind for kind in kinds if not existing(INCLUDED_BLOCKS.get(kind, "nothing"))}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_includes_is_held_elsewhere(page: str) -> None:
    """Blocks of included files are not run here: by which test they are is written above."""
    assert unheld(page) == set()


def test_an_included_block_that_no_test_holds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the page of a brought model would be without its test."""
    monkeypatch.delitem(INCLUDED_BLOCKS, ("README.md", ""))
    assert unheld("how-to/own-model.md") == {("README.md", "")}


def test_what_is_quoted_of_a_brought_model_is_known() -> None:
    """Its keys are a silo's, its declaration's are those that are read, its options are there."""
    quoted = [b.body for b in parsed(included("README.md", "model")) if not b.language]
    table, declaration, claim = quoted
    command, _, keys = claim.partition("\n\n")
    silo = tomllib.loads(table)["silos"][0] | tomllib.loads(keys)
    assert set(silo) <= {field.name for field in fields(SiloSettings)}
    assert set(json.loads(declaration)) <= set(KEYS)
    known = dict(generated.every_command())["dpfedsyn", "model", "claim"].params
    assert set(re.findall(r"--\w+", command)) <= {name for p in known for name in p.opts}


@pytest.mark.parametrize(
    ("language", "body", "printed"),
    [
        ("python", "assert 1 > 2\n", ""),
        ("sh", "false\n", ""),
        ("text", "8.00\n", "8.01\n"),
        ("", "anything\n", ""),
        ("text", "...\n", "anything\n"),
    ],
)
def test_a_page_that_is_wrong_is_found(
    language: str, body: str, printed: str, tmp_path: Path
) -> None:
    """A false assertion, a command that fails, another number, nothing to run, nothing said."""
    reader = Reader("index.md", tmp_path, printed=printed)
    with pytest.raises(AssertionError):
        reader.follow(Block(language, None, body, 1))


def test_a_command_that_ci_does_not_run_is_found(tmp_path: Path) -> None:
    """The mark alone is no excuse."""
    block = Block("sh", None, "pip install nothing-like-it\n", 1, "<!-- by .ci/run -->")
    with pytest.raises(AssertionError, match="does not hold"):
        Reader("index.md", tmp_path).follow(block)
