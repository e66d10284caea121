"""A page of the documentation: its blocks in order, and what is done with each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.end_to_end.small import ROOT

DOCS = ROOT / "docs"
NOTEBOOK = ".ipynb"
PAGES = sorted(
    path.relative_to(DOCS).as_posix()
    for path in DOCS.rglob("*")
    if path.suffix in {".md", NOTEBOOK}
)
NOTEBOOKS = [page for page in PAGES if page.endswith(NOTEBOOK)]

SLOW = "<!-- slow -->"  # before a block: it and those behind it take more than some seconds
BY_CI = "<!-- by .ci/run -->"  # before a block: `.ci/run` holds its lines
INCLUDED = re.compile(r'^--8<-- "([^":]+)(?::(\w+))?"$', re.MULTILINE)

_FENCE = re.compile(
    r"(?P<mark>^<!-- [^\n]* -->\n)?^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is to be written to, and its marks."""

    language: str
    file: str | None
    body: str
    line: int
    mark: str = ""

    @property
    def slow(self) -> bool:
        """Whether it takes more than some seconds."""
        return self.mark == SLOW

    @property
    def by_ci(self) -> bool:
        """Whether `.ci/run` runs its lines."""
        return self.mark == BY_CI


def source(page: str) -> str:
    """Return a page as it is written, what it includes left out; a notebook as Markdown."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return of_notebook(json.loads(text)) if page.endswith(NOTEBOOK) else text


def of_notebook(notebook: dict[str, Any]) -> str:
    """Return a notebook as Markdown: its cells in order, those of code as blocks of Python."""
    return "\n\n".join(
        f"```python\n{text}\n```" if cell["cell_type"] == "code" else text
        for cell in notebook["cells"]
        for text in ["".join(cell["source"])]
    )


def whole(page: str) -> str:
    """Return a page as it is read: with the files, and parts of files, that it includes."""
    return INCLUDED.sub(lambda found: included(found[1], found[2]), source(page))


def included(file: str, section: str | None) -> str:
    """Return a file of the repository, or what lies between two marks in it."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if section is None:
        return text
    (part,) = re.findall(
        rf"--8<-- \[start:{section}\][^\n]*\n(.*?)^[^\n]*--8<-- \[end:{section}\]",
        text,
        re.DOTALL | re.MULTILINE,
    )
    return str(part)


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order; not those of what it includes."""
    return parsed(source(page))


def parsed(text: str) -> list[Block]:
    """Return the fenced blocks of a text, in order."""
    found = []
    for fence in _FENCE.finditer(text):
        info = fence["info"].strip()
        title = _TITLE.search(info)
        found.append(
            Block(
                language=info.split()[0] if info else "",
                file=title[1] if title else None,
                body=fence["body"],
                line=text.count("\n", 0, fence.start("info")) + 1,
                mark=(fence["mark"] or "").strip(),
            )
        )
    return found


def prose(page: str) -> str:
    """Return a page as it is read, without its code."""
    return re.sub(r"^```.*?^```$", "", whole(page), flags=re.MULTILINE | re.DOTALL)


def existing(name: str) -> bool:
    """Whether a file `tests/...`, or a test `tests/...::name` in it, exists."""
    file, _, test = name.partition("::")
    path = Path(ROOT / file)
    if not path.exists():
        return False
    return not test or re.search(rf"def {test}\(", path.read_text(encoding="utf-8")) is not None
