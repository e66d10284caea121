"""Who may import whom: the contracts of import-linter, and what an import really loads."""

import ast
from pathlib import Path

import pytest

from tests.end_to_end.small import ROOT, python

HEAVY = ("torch", "opacus", "pandas", "sklearn", "matplotlib")
INSIDE_A_SILO = (
    "architecture",
    "base",
    "data",
    "dpsgd",
    "encoding",
    "federation",
    "keys",
    "moments",
    "network",
    "noise",
    "objective",
    "plain_training",
    "pretrain",
    "privatise",
    "silo",
    "train",
    "unet",
)


def loaded(statement: str) -> set[str]:
    """Return the modules that a fresh Python holds after a statement."""
    ran = python("-c", f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))")
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def within(modules: set[str], names: tuple[str, ...]) -> set[str]:
    """Return which of the names, or of what lies in them, were loaded."""
    return {m for m in modules if any(m == name or m.startswith(f"{name}.") for name in names)}


def test_the_layers_are_kept() -> None:
    """Every contract of import-linter in pyproject.toml holds."""
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    ran = python("-c", command, "--no-cache", cwd=ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " 0 broken" in ran.stdout


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import accountants", (*HEAVY, "dpfedsyn", "scipy.stats", "cryptography")),
        ("import accountants.__main__", (*HEAVY, "dpfedsyn", "scipy.stats")),
        ("import dpfedsyn", (*HEAVY, "numpy", "accountants")),
        ("import dpfedsyn.messages", HEAVY),
        ("import dpfedsyn.report", (*HEAVY, "numpy")),
        ("import dpfedsyn.config, dpfedsyn.plan, dpfedsyn.frontier", ("torch", "opacus")),
        ("import dpfedsyn.server", (*HEAVY, *(f"dpfedsyn.{name}" for name in INSIDE_A_SILO))),
        ("import dpfedsyn.silo", ("torch", "opacus", "dpfedsyn.server", "dpfedsyn.data")),
    ],
)
def test_an_import_loads_no_more_than_its_layer(statement: str, never: tuple[str, ...]) -> None:
    """What must not be reached is absent from sys.modules, whatever the way to it."""
    modules = loaded(statement)
    assert statement.split()[1].rstrip(",") in modules
    assert within(modules, never) == set()


def test_help_loads_nothing_heavy() -> None:
    """`dpfedsyn --help` answers without torch, numpy or accounting."""
    command = (
        "import contextlib, io, sys\n"
        "from dpfedsyn import cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    cli.app(['--help'], prog_name='dpfedsyn')"
    )
    modules = loaded(command)
    assert "typer" in modules
    assert within(modules, (*HEAVY, "numpy", "scipy", "accountants")) == set()


def test_the_check_itself_sees_what_is_loaded() -> None:
    """Training does load torch and Opacus, so their absence elsewhere says something."""
    modules = loaded("import dpfedsyn.train")
    assert {"torch", "opacus"} <= modules


def test_one_subpackage_names_opacus() -> None:
    """No module outside dpfedsyn.dpsgd imports Opacus, not even inside a function."""
    importers = set()
    for package in ("dpfedsyn", "accountants"):
        for path in (ROOT / package).rglob("*.py"):
            if "opacus" in imported(path):
                importers.add(path.relative_to(ROOT).parent)
    assert importers == {Path("dpfedsyn/dpsgd")}


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
