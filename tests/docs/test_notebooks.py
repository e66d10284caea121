"""Notebooks: what may stand in their files, and the hook that makes pages of them.

Their cells are run by `test_blocks.py`, without Jupyter, and in it by `mkdocs build`.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.docs.page import DOCS, NOTEBOOKS, of_notebook
from tests.end_to_end.small import ROOT

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEYS = {
    "code": {"cell_type", "execution_count", "id", "metadata", "outputs", "source"},
    "markdown": {"cell_type", "id", "metadata", "source"},
}
DRAWS = "plt.subplots("

Notebook = dict[str, Any]


def read(page: str) -> Notebook:
    """Return a notebook."""
    notebook: Notebook = json.loads((DOCS / page).read_text(encoding="utf-8"))
    return notebook


def faults(notebook: Notebook) -> list[str]:
    """Return what must not be in a notebook's file: outputs, traces of a machine, no Python."""
    about = {key: value for key, value in notebook.items() if key != "cells"}
    found = []
    if about != {"metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}:
        found.append(f"not of format 4.5, or more than what to run it with: {about}")
    ids = [cell.get("id", "") for cell in notebook["cells"]]
    if len(set(ids)) < len(ids):
        found.append("an id twice")
    return found + [
        f"cell {cell.get('id')}: {text}" for cell in notebook["cells"] for text in of(cell)
    ]


def of(cell: dict[str, Any]) -> list[str]:
    """Return what must not be in a cell."""
    if set(cell) != KEYS.get(cell["cell_type"]):
        return ["other entries than its kind has"]
    found, text = [], "".join(cell["source"])
    if not re.fullmatch(r"[a-z0-9-]{1,64}", cell["id"]):
        found.append("an id that is no word")
    if set(cell["metadata"]) != ({"alt"} if DRAWS in text else set()):
        found.append("a figure without a description, or other metadata")
    if cell["cell_type"] == "code":
        if cell["outputs"] or cell["execution_count"] is not None:
            found.append("outputs, which the site's build makes: clear them")
        try:
            compile(text, cell["id"], "exec")
        except SyntaxError as error:
            found.append(f"no plain Python: {error}")
    return found


def test_there_are_notebooks() -> None:
    """The search finds them."""
    assert {"notebooks/hospitals.ipynb", "notebooks/test-your-own-mechanism.ipynb"} <= set(
        NOTEBOOKS
    )


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_a_notebook_s_file_is_clean(page: str) -> None:
    """As nbformat writes it, with named cells and nothing of the machine where it was made."""
    notebook = read(page)
    assert faults(notebook) == []
    written = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    assert (DOCS / page).read_text(encoding="utf-8") == written


def first(notebook: Notebook, kind: str) -> dict[str, Any]:
    """Return the first cell of a kind."""
    cell: dict[str, Any] = next(cell for cell in notebook["cells"] if cell["cell_type"] == kind)
    return cell


SPOILED: dict[str, Callable[[Notebook], Any]] = {
    "outputs": lambda book: first(book, "code")["outputs"].append({"output_type": "error"}),
    "a count": lambda book: first(book, "code").update(execution_count=3),
    "no id": lambda book: first(book, "markdown").pop("id"),
    "an id twice": lambda book: book["cells"][1].update(id=book["cells"][0]["id"]),
    "older": lambda book: book.update(nbformat_minor=4),
    "a machine": lambda book: book["metadata"].update(vscode={"path": "here"}),
    "a cell's": lambda book: first(book, "code")["metadata"].update(collapsed=True),
    "magic": lambda book: first(book, "code")["source"].append("\n%matplotlib inline"),
    "no description": lambda book: first(book, "code")["source"].append(f"\n{DRAWS})"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_what_must_not_be_in_a_notebook_is_found(kind: str) -> None:
    """One fault of each kind, in a notebook that has none."""
    notebook = copy.deepcopy(read(NOTEBOOKS[0]))
    SPOILED[kind](notebook)
    assert faults(notebook)


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    """`.ci/notebooks.py`, where the extra `docs` is installed."""
    for name in ("ipykernel", "mkdocs", "nbclient", "nbformat"):
        pytest.importorskip(name)
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / ".ci" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def notebook_of(*cells: str, **metadata: str) -> str:
    """Return a notebook of code cells after a heading."""
    code = [
        {
            "cell_type": "code", "execution_count": None, "id": f"code-{k}", "metadata": metadata,
            "outputs": [], "source": text.splitlines(keepends=True),
        }
        for k, text in enumerate(cells)
    ]  # fmt: skip
    heading = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# Title"]}
    whole = {"cells": [heading, *code], "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole)


def test_a_page_shows_what_cells_print_and_draw(hook: ModuleType) -> None:
    """Cells in one namespace; text as blocks, a figure as a file beside the page."""
    draw = "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()"
    done = hook.executed(notebook_of("x = 2\nprint(x)\nx + 1", draw, alt="Empty axes."), "page")
    assert done.text.startswith("# Title\n\n```python\nx = 2\nprint(x)\nx + 1\n```\n\n")
    assert "```text\n2\n```\n\n```text\n3\n```" in done.text
    assert done.text.endswith("![Empty axes.](page-1.png)\n")
    assert done.figures["page-1.png"].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("assert 1 > 2", "a cell failed"),
        ("import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()", "says nothing to"),
    ],
)
def test_a_notebook_that_is_wrong_stops_the_build(hook: ModuleType, cell: str, said: str) -> None:
    """An error of a cell, and a figure that nothing describes."""
    from mkdocs.exceptions import PluginError

    with pytest.raises(PluginError, match=said):
        hook.executed(notebook_of(cell), "page")


def test_the_page_that_is_tested_is_the_page_that_is_built(hook: ModuleType) -> None:
    """But for outputs: what `of_notebook` makes of cells is what the hook does."""
    source = notebook_of("x = 2", "y = x")
    assert hook.executed(source, "page").text == of_notebook(json.loads(source)) + "\n"
