"""Every block of every page is run: Python in one namespace per page, commands in one folder."""

from __future__ import annotations

import doctest
import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.docs.page import PAGES, Block, blocks
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
                assert line in CI, f"{self._at(block)}: .ci/run does not hold {line!r}"
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


def read(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, slow: bool) -> None:
    """Follow a page from its top: to its end, or to its first slow block."""
    monkeypatch.chdir(folder)
    reader = Reader(page, folder)
    for block in blocks(page):
        if block.slow and not slow:
            break
        reader.follow(block)


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
    """A false assertion, a command that fails, another number, a block that nothing runs or says nothing."""
    reader = Reader("index.md", tmp_path, printed=printed)
    with pytest.raises(AssertionError):
        reader.follow(Block(language, None, body, 1))


def test_a_command_that_ci_does_not_run_is_found(tmp_path: Path) -> None:
    """The mark alone is no excuse."""
    block = Block("sh", None, "pip install nothing-like-it\n", 1, "<!-- by .ci/run -->")
    with pytest.raises(AssertionError, match="does not hold"):
        Reader("index.md", tmp_path).follow(block)
