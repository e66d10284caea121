"""The code stays readable: modules and functions of a size, and one name for one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from statistics import median

import dpfedsyn

ROOT = Path(dpfedsyn.__file__).parents[1]
MODULES = sorted(p for name in ("dpfedsyn", "accountants") for p in (ROOT / name).rglob("*.py"))
LINES, USUAL, SCREEN = 300, 200, 70

# The same notion on two sides of a boundary that neither may import across.
TWICE = {
    "Finding",  # of an audit, and of a replay: `dpfedsyn.testing` needs no run
    "Hazard",  # answered by the statement, and read from its JSON by the report
    "Spent",  # in a message, and as a callback is told it
    "Cells",  # of a loss lattice, and of clusters
    "Target",  # of an attack, and of a table
}


def test_modules_are_small() -> None:
    """No module has more than 300 lines, and half of them have fewer than 200."""
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert len(sizes) > 300
    assert {path: size for path, size in sizes.items() if size > LINES} == {}
    assert median(sizes.values()) < USUAL


def test_functions_fit_a_screen() -> None:
    """Docstring included."""
    long = {
        f"{path}: {node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= SCREEN
    }
    assert long == set()


def test_no_two_public_classes_share_a_name() -> None:
    """But for those whose reason is given above."""
    places = defaultdict(set)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(path)
    assert {name for name, found in places.items() if len(found) > 1} == TWICE
